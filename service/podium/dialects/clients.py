"""The client libraries that were tried, for docs/apis.md and the page at /docs; tests/clients runs every one.

How requests are answered does not depend on this table.
"""

from collections.abc import Sequence
from typing import NamedTuple


class Client(NamedTuple):
    """One client with one base URL, ranked through in the tests: its order is the model's."""

    name: str
    """The package on PyPI, or the library and its integration or provider."""
    base: str
    """What follows `http://host:port` in the URL that the client is given."""
    dialect: str
    """Label of the API that it speaks there."""
    environment: str
    """File in tests/clients that holds the versions it is tried with."""


CLIENTS: Sequence[Client] = (
    Client("cohere Client", "", "results", "vendors"),
    Client("cohere Client", "/v1", "cohere", "vendors"),
    Client("cohere Client", "/cohere", "cohere", "vendors"),
    Client("cohere ClientV2", "", "cohere", "vendors"),
    Client("cohere ClientV2", "/v1", "cohere", "vendors"),
    Client("cohere ClientV2", "/cohere", "cohere", "vendors"),
    Client("voyageai", "/v1", "voyage", "vendors"),
    Client("voyageai", "/voyage", "voyage", "vendors"),
    Client("voyageai", "/voyage/v1", "voyage", "vendors"),
    Client("pinecone", "", "pinecone", "vendors"),
    Client("pinecone", "/pinecone", "pinecone", "vendors"),
    Client("mixedbread", "", "mixedbread", "vendors"),
    Client("mixedbread", "/mixedbread", "mixedbread", "vendors"),
    Client("dashscope", "/api/v1", "dashscope", "vendors"),
    Client("dashscope", "/dashscope/api/v1", "dashscope", "vendors"),
    Client("xinference-client", "", "results", "vendors"),
    Client("together", "/v1", "results", "together"),
    Client("litellm azure_ai", "", "results", "vendors"),
    Client("litellm cohere", "", "cohere", "vendors"),
    Client("litellm cohere", "/v1/rerank", "results", "vendors"),
    Client("litellm dashscope", "", "results", "vendors"),
    Client("litellm deepinfra", "", "deepinfra", "vendors"),
    Client("litellm fireworks_ai", "", "results", "vendors"),
    Client("litellm hosted_vllm", "", "results", "vendors"),
    Client("litellm hosted_vllm", "/vllm", "vllm", "vendors"),
    Client("litellm huggingface", "", "tei", "vendors"),
    Client("litellm huggingface", "/tei", "tei", "vendors"),
    Client("litellm infinity", "/infinity", "infinity", "vendors"),
    Client("litellm jina_ai", "", "results", "vendors"),
    Client("litellm litellm_proxy", "", "results", "vendors"),
    Client("litellm nvidia_nim", "", "nim", "vendors"),
    Client("litellm nvidia_nim/ranking", "", "nim", "vendors"),
    Client("litellm scaleway", "/v1", "results", "vendors"),
    Client("litellm together_ai", "", "results", "vendors"),
    Client("litellm voyage", "/v1", "voyage", "vendors"),
    Client("litellm voyage", "/voyage", "voyage", "vendors"),
    Client("rerankers cohere", "/v1/rerank", "results", "vendors"),
    Client("rerankers cohere", "/v2/rerank", "cohere", "vendors"),
    Client("rerankers jina", "/v1/rerank", "results", "vendors"),
    Client("rerankers voyage", "/v1/rerank", "voyage", "vendors"),
    Client("rerankers mixedbread.ai", "/v1/reranking", "mixedbread", "vendors"),
    Client("rerankers pinecone", "/rerank", "pinecone", "vendors"),
    Client("rerankers text-embeddings-inference", "/rerank", "tei", "vendors"),
    Client("langchain-cohere", "", "cohere", "langchain"),
    Client("langchain-nvidia-ai-endpoints", "/v1", "nim", "langchain"),
    Client("langchain-nvidia-ai-endpoints", "/nim/v1", "nim", "langchain"),
    Client("langchain-voyageai", "/v1", "voyage", "langchain"),
    Client("langchain-community JinaRerank", "/v1/rerank", "results", "langchain"),
    Client("langchain-community InfinityRerank", "", "results", "langchain"),
    Client("langchain-community InfinityRerank", "/infinity", "infinity", "langchain"),
    Client("infinity-client", "/infinity", "infinity", "langchain"),
    Client("llama-index cohere", "", "cohere", "llama_index"),
    Client("llama-index jinaai", "/v1", "results", "llama_index"),
    Client("llama-index nvidia", "/v1", "nim", "llama_index"),
    Client("llama-index nvidia", "/nim/v1", "nim", "llama_index"),
    Client("llama-index siliconflow", "/v1/rerank", "results", "llama_index"),
    Client("llama-index tei", "", "tei", "llama_index"),
    Client("llama-index tei", "/tei", "tei", "llama_index"),
    Client("haystack cohere", "", "cohere", "haystack"),
    Client("haystack huggingface-api", "", "tei", "haystack"),
    Client("haystack jina", "/v1/rerank", "results", "haystack"),
    Client("haystack mixedbread", "", "mixedbread", "haystack"),
    Client("haystack nvidia", "/v1", "nim", "haystack"),
    Client("haystack vllm", "/v1", "results", "haystack"),
)


NOT_TRIED: Sequence[tuple[str, str]] = (
    ("litellm bedrock", "speaks AWS's own API, with signed requests; Podium does not"),
    ("litellm vertex_ai", "speaks Google's own API; Podium does not"),
    ("litellm watsonx", "speaks IBM's own API and fetches a token from IBM first; Podium does not"),
    ("rerankers isaacus", "speaks Isaacus' own API; Podium does not"),
    ("langchain-community DashScopeRerank", "only calls the package dashscope, which is tried"),
    (
        "langchain-community VolcengineRerank",
        "speaks Volcengine's own API, with signed requests; Podium does not",
    ),
    ("langchain-pinecone", "takes a client of the package pinecone, which is tried"),
    (
        "langchain-xinference",
        "wants langchain-core < 0.4; the package xinference-client, which it calls, is tried",
    ),
    ("llama-index voyageai, mixedbreadai, dashscope; haystack voyage", "take no base URL"),
    (
        "llama-index xinference",
        "sends no API key, and the tests' server wants one; what it sends is what xinference-client sends",
    ),
    (
        "llama-index bedrock, google, ibm, alibabacloud, contextual, aimon; haystack bedrock, isaacus",
        "speak APIs that Podium does not",
    ),
    (
        "Dify, RAGFlow, Open WebUI, Onyx, LightRAG, FastGPT, n8n",
        "applications, not libraries; what some of them send stands in tests/dialects/golden",
    ),
    (
        "Weaviate, Milvus, Elasticsearch, OpenSearch",
        "databases, which send the request themselves; Weaviate's stands in tests/dialects/golden",
    ),
    ("langchain4j, Continue, Vercel AI SDK, Cohere's and Voyage's other SDKs", "not written in Python"),
)
"""Clients that the tests do not run, and why."""
