"""Podium ranks documents for a query with a cross-encoder model, over HTTP.

A file imports only from lower floors; `docs/architecture.md` draws them and `lint-imports` holds them.
"""
