"""The operator: a Reranker becomes a cached, placed, scaled service whose status tells the truth.

Rule: decisions are pure functions from values to values; only `cluster`, `workqueue`, `health`, `handlers`
and `__main__` meet a clock, a socket or a cluster. A file imports only from lower floors (`lint-imports`).
"""
