"""The operator: a Reranker becomes a cached, placed, scaled service whose status tells the truth.

Rule: decisions are pure functions from values to values; only the room `run` and `__main__` meet a clock, a
socket or a cluster. A room imports only from lower ones (`lint-imports`; docs/architecture.md shows them).
"""
