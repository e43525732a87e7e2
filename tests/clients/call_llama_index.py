"""LlamaIndex's rerankers. Each function returns indices and scores in the order that the client gives."""

from collections.abc import Callable, Iterable

from llama_index.core.postprocessor.types import BaseNodePostprocessor
from llama_index.core.schema import NodeWithScore, TextNode
from llama_index.postprocessor.cohere_rerank import CohereRerank
from llama_index.postprocessor.jinaai_rerank import JinaRerank
from llama_index.postprocessor.nvidia_rerank import NVIDIARerank
from llama_index.postprocessor.siliconflow_rerank import SiliconFlowRerank
from llama_index.postprocessor.tei_rerank import TextEmbeddingInference

Ranking = Iterable[tuple[int, float]]
Maker = Callable[[str, str], BaseNodePostprocessor]

TOP_N = 5
"""How many documents each client asks for."""
ALL: frozenset[str] = frozenset()
"""Clients that ask for as many as there are: none here."""


def of(maker: Maker) -> Callable[[str, str, str, list[str]], Ranking]:
    def call(url: str, key: str, query: str, documents: list[str]) -> Ranking:
        nodes = [
            NodeWithScore(node=TextNode(text=text, id_=str(index)), score=0)
            for index, text in enumerate(documents)
        ]
        ranked = maker(url, key).postprocess_nodes(nodes, query_str=query)
        return [(int(each.node.node_id), each.score) for each in ranked]

    return call


CLIENTS = {
    "llama-index cohere": of(
        lambda url, key: CohereRerank(api_key=key, model="m", base_url=url, top_n=TOP_N)
    ),
    "llama-index jinaai": of(lambda url, key: JinaRerank(api_key=key, model="m", base_url=url, top_n=TOP_N)),
    "llama-index tei": of(
        lambda url, key: TextEmbeddingInference(base_url=url, auth_token=f"Bearer {key}", top_n=TOP_N)
    ),
    "llama-index nvidia": of(
        lambda url, key: NVIDIARerank(model="builtin", base_url=url, api_key=key, top_n=TOP_N)
    ),
    "llama-index siliconflow": of(
        lambda url, key: SiliconFlowRerank(model="m", base_url=url, api_key=key, top_n=TOP_N)
    ),
}
