"""The running process: API server, watches, work queue, one look at a Reranker, health, logs, metrics.

Rule: only here are clocks, sockets and threads; what to do is decided below.
"""
