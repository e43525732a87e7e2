"""What was seen of the cluster, as values: the store of trimmed objects, and what pods say about themselves.

Rule: reads what others wrote and says what it means; decides nothing and renders nothing.
"""
