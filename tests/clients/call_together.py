"""Together's own library, before its second version, which checks every field of an answer.

Each function returns indices and scores in the order that the client gives.
"""

from collections.abc import Callable, Iterable

from together import Together

Ranking = Iterable[tuple[int, float]]

TOP_N = 5
"""How many documents each client asks for."""
ALL: frozenset[str] = frozenset()
"""Clients that ask for as many as there are: none here."""


def together(url: str, key: str, query: str, documents: list[str]) -> Ranking:
    answer = Together(api_key=key, base_url=url, max_retries=0).rerank.create(
        model="m", query=query, documents=documents, top_n=TOP_N, return_documents=True
    )
    assert all(each.document["text"] == documents[each.index] for each in answer.results)
    return [(each.index, each.relevance_score) for each in answer.results]


CLIENTS: dict[str, Callable[[str, str, str, list[str]], Ranking]] = {"together": together}
