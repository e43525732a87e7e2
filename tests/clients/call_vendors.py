"""The vendors' own libraries, and those that speak many vendors' APIs.

Each function ranks through one client and returns indices and scores in the order that the client gives.
"""

from collections.abc import Callable, Iterable
from typing import Any

import cohere
import dashscope
import litellm
import voyageai
from mixedbread import Mixedbread
from pinecone import Pinecone
from rerankers.models.api_rankers import APIRanker
from xinference_client.client.restful.restful_client import RESTfulRerankModelHandle

Ranking = Iterable[tuple[int, float]]
Call = Callable[[str, str, str, list[str]], Ranking]

TOP_N = 5
"""How many documents each client asks for that is not in ALL."""

litellm.suppress_debug_info = True


def cohere_v1(url: str, key: str, query: str, documents: list[str]) -> Ranking:
    answer = cohere.Client(key, base_url=url).rerank(
        model="m", query=query, documents=documents, top_n=TOP_N, return_documents=True
    )
    assert all(each.document.text == documents[each.index] for each in answer.results)
    return [(each.index, each.relevance_score) for each in answer.results]


def cohere_v2(url: str, key: str, query: str, documents: list[str]) -> Ranking:
    answer = cohere.ClientV2(key, base_url=url).rerank(model="m", query=query, documents=documents)
    return [(each.index, each.relevance_score) for each in answer.results]


def voyage(url: str, key: str, query: str, documents: list[str]) -> Ranking:
    answer = voyageai.Client(api_key=key, base_url=url).rerank(
        query, documents, model="rerank-2.5", top_k=TOP_N
    )
    assert answer.total_tokens > 0
    return [(each.index, each.relevance_score) for each in answer.results]


def pinecone(url: str, key: str, query: str, documents: list[str]) -> Ranking:
    answer = Pinecone(api_key=key, host=url).inference.rerank(
        model="bge-reranker-v2-m3", query=query, documents=documents
    )
    assert all(each.document["text"] == documents[each.index] for each in answer.data)
    return [(each.index, each.score) for each in answer.data]


def mixedbread(url: str, key: str, query: str, documents: list[str]) -> Ranking:
    answer = Mixedbread(api_key=key, base_url=url).rerank(
        model="m", query=query, input=documents, top_k=TOP_N, return_input=True
    )
    assert all(each.input == documents[each.index] for each in answer.data)
    return [(each.index, each.score) for each in answer.data]


def dashscope_sdk(url: str, key: str, query: str, documents: list[str]) -> Ranking:
    dashscope.base_http_api_url = url
    answer = dashscope.TextReRank.call(
        model="m", query=query, documents=documents, top_n=TOP_N, return_documents=True, api_key=key
    )
    assert answer.status_code == 200, answer
    results = answer.output["results"]
    assert all(each["document"]["text"] == documents[each["index"]] for each in results)
    return [(each["index"], each["relevance_score"]) for each in results]


def xinference(url: str, key: str, query: str, documents: list[str]) -> Ranking:
    handle = RESTfulRerankModelHandle("builtin", url, {"Authorization": f"Bearer {key}"})
    answer = handle.rerank(documents, query, top_n=TOP_N)
    return [(each["index"], each["relevance_score"]) for each in answer["results"]]


def of_litellm(provider: str, **options: Any) -> Call:
    def call(url: str, key: str, query: str, documents: list[str]) -> Ranking:
        answer = litellm.rerank(
            model=f"{provider}/m", query=query, documents=documents, api_base=url, api_key=key, **options
        )
        return [(each["index"], each["relevance_score"]) for each in answer.results]

    return call


def of_litellm_deepinfra(url: str, key: str, query: str, documents: list[str]) -> Ranking:
    """DeepInfra's answers are scores in the order of the input, and litellm leaves them so."""
    return sorted(of_litellm("deepinfra")(url, key, query, documents), key=lambda each: -each[1])


def of_rerankers(provider: str) -> Call:
    def call(url: str, key: str, query: str, documents: list[str]) -> Ranking:
        answer = APIRanker("m", key, provider, url=url, verbose=0).rank(query=query, docs=documents)
        return [(each.doc_id, each.score) for each in answer.results]

    return call


CLIENTS: dict[str, Call] = {
    "cohere Client": cohere_v1,
    "cohere ClientV2": cohere_v2,
    "voyageai": voyage,
    "pinecone": pinecone,
    "mixedbread": mixedbread,
    "dashscope": dashscope_sdk,
    "xinference-client": xinference,
    **{
        f"litellm {provider}": of_litellm(provider, top_n=TOP_N)
        for provider in (
            "azure_ai",
            "cohere",
            "dashscope",
            "fireworks_ai",
            "hosted_vllm",
            "huggingface",
            "infinity",
            "jina_ai",
            "litellm_proxy",
            "nvidia_nim",
            "nvidia_nim/ranking",
            "scaleway",
            "together_ai",
            "voyage",
        )
    },
    "litellm deepinfra": of_litellm_deepinfra,
    **{
        f"rerankers {provider}": of_rerankers(provider)
        for provider in (
            "cohere",
            "jina",
            "voyage",
            "mixedbread.ai",
            "pinecone",
            "text-embeddings-inference",
        )
    },
}
ALL = frozenset(
    {
        "cohere ClientV2",
        "pinecone",
        "litellm deepinfra",
        *(name for name in CLIENTS if name.startswith("rerankers ")),
    }
)
"""Clients that ask for as many as there are, or for no number."""
