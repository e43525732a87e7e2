"""Haystack's rankers. Each function returns indices and scores in the order that the client gives."""

from collections.abc import Callable, Iterable
from typing import Any

from haystack import Document
from haystack.utils import Secret
from haystack_integrations.components.rankers.cohere import CohereRanker
from haystack_integrations.components.rankers.huggingface_api import HuggingFaceTEIRanker
from haystack_integrations.components.rankers.jina import JinaRanker
from haystack_integrations.components.rankers.nvidia import NvidiaRanker
from haystack_integrations.components.rankers.vllm import VLLMRanker
from mixedbread_ai_haystack.rerankers import MixedbreadReranker

Ranking = Iterable[tuple[int, float]]
Maker = Callable[[str, Secret], Any]

TOP_N = 5
"""How many documents each client asks for."""
ALL: frozenset[str] = frozenset()
"""Clients that ask for as many as there are: none here."""


def of(maker: Maker) -> Callable[[str, str, str, list[str]], Ranking]:
    def call(url: str, key: str, query: str, documents: list[str]) -> Ranking:
        ranker = maker(url, Secret.from_token(key))
        if hasattr(ranker, "warm_up"):
            ranker.warm_up()
        told = [Document(content=text, meta={"index": index}) for index, text in enumerate(documents)]
        ranked = ranker.run(query=query, documents=told)["documents"]
        # Mixedbread's keeps its score among the metadata.
        return [(each.meta["index"], each.meta.get("rerank_score", each.score)) for each in ranked]

    return call


CLIENTS = {
    "haystack cohere": of(
        lambda url, key: CohereRanker(model="m", api_key=key, api_base_url=url, top_k=TOP_N)
    ),
    "haystack jina": of(lambda url, key: JinaRanker(model="m", api_key=key, base_url=url, top_k=TOP_N)),
    "haystack mixedbread": of(
        lambda url, key: MixedbreadReranker(model="m", api_key=key, base_url=url, top_k=TOP_N)
    ),
    "haystack nvidia": of(
        lambda url, key: NvidiaRanker(model="builtin", api_url=url, api_key=key, top_k=TOP_N)
    ),
    "haystack huggingface-api": of(lambda url, key: HuggingFaceTEIRanker(url=url, token=key, top_k=TOP_N)),
    "haystack vllm": of(lambda url, key: VLLMRanker(model="m", api_base_url=url, api_key=key, top_k=TOP_N)),
}
