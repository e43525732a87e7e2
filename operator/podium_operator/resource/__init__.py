"""The Reranker itself: its fields, rules, reference and names, as users and the API server know it.

Rule: knows no cluster and no child; whatever is here follows from one resource alone.
"""
