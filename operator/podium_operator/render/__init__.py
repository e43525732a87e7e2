"""Every child as it should be: functions from a Reranker and what was seen to manifests.

Rule: renders all of a child each time; never compares it with the live object.
"""
