"""LangChain's rerankers. Each function returns indices and scores in the order that the client gives."""

from collections.abc import Callable, Iterable

from infinity_client.api.default import rerank as infinity_rerank
from infinity_client.client import AuthenticatedClient, Client
from infinity_client.models import RerankInput, ReRankResult
from langchain_cohere import CohereRerank
from langchain_community.document_compressors import InfinityRerank, JinaRerank, jina_rerank
from langchain_core.documents import Document
from langchain_nvidia_ai_endpoints import NVIDIARerank
from langchain_voyageai import VoyageAIRerank

Ranking = Iterable[tuple[int, float]]

TOP_N = 5
"""How many documents each client asks for that is not in ALL."""
ALL = frozenset({"langchain-nvidia-ai-endpoints", "infinity-client"})
"""Clients that ask for as many as there are, or for no number."""


def cohere(url: str, key: str, query: str, documents: list[str]) -> Ranking:
    ranker = CohereRerank(model="m", cohere_api_key=key, base_url=url, top_n=TOP_N)
    return [(each["index"], each["relevance_score"]) for each in ranker.rerank(documents, query)]


def nvidia(url: str, key: str, query: str, documents: list[str]) -> Ranking:
    ranker = NVIDIARerank(model="builtin", base_url=url, api_key=key, top_n=len(documents))
    told = [Document(text, metadata={"index": index}) for index, text in enumerate(documents)]
    ranked = ranker.compress_documents(told, query)
    return [(each.metadata["index"], each.metadata["relevance_score"]) for each in ranked]


def voyage(url: str, key: str, query: str, documents: list[str]) -> Ranking:
    ranker = VoyageAIRerank(model="rerank-2.5", voyage_api_key=key, base_url=url, top_k=TOP_N)
    told = [Document(text, metadata={"index": index}) for index, text in enumerate(documents)]
    ranked = ranker.compress_documents(told, query)
    return [(each.metadata["index"], each.metadata["relevance_score"]) for each in ranked]


def jina(url: str, key: str, query: str, documents: list[str]) -> Ranking:
    jina_rerank.JINA_API_URL = url  # a constant of the module; there is no argument for it
    found = JinaRerank(jina_api_key=key, model="m", top_n=TOP_N).rerank(documents, query)
    return [(each["index"], each["relevance_score"]) for each in found]


def infinity(url: str, key: str, query: str, documents: list[str]) -> Ranking:
    client = Client(base_url=url, headers={"Authorization": f"Bearer {key}"})
    found = InfinityRerank(client=client, model="m", top_n=TOP_N).rerank(documents, query)
    return [(each["index"], each["relevance_score"]) for each in found]


def infinity_client(url: str, key: str, query: str, documents: list[str]) -> Ranking:
    client = AuthenticatedClient(base_url=url, token=key)
    ask = RerankInput(query=query, documents=documents, model="m", return_documents=True)
    answer = infinity_rerank.sync(client=client, body=ask)
    assert isinstance(answer, ReRankResult), answer
    assert all(each.document == documents[each.index] for each in answer.results)
    return [(each.index, each.relevance_score) for each in answer.results]


CLIENTS: dict[str, Callable[[str, str, str, list[str]], Ranking]] = {
    "langchain-cohere": cohere,
    "langchain-nvidia-ai-endpoints": nvidia,
    "langchain-voyageai": voyage,
    "langchain-community JinaRerank": jina,
    "langchain-community InfinityRerank": infinity,
    "infinity-client": infinity_client,
}
