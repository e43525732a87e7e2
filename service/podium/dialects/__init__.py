"""Rerank APIs on the wire: bytes to RankRequest, Ranking to bytes. Pure; no dialect knows another."""
