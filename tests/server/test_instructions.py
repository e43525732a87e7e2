"""Instructions, windows and images over a real socket: what a caller sends, and what it is told."""

import pytest
from fakes import INFO, FakeModel
from msgspec.structs import replace
from serving import serving

GOOD = {"query": "q", "documents": ["a", "b"]}
LONG = {"query": "q", "documents": ["w " * 5_000] * 3}


@pytest.fixture(scope="module")
def server():
    with serving(FakeModel(replace(INFO, instruction_use="slot")), max_queue_pairs=100) as running:
        yield running


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/rerank", {**GOOD, "instruction": "two words"}),
        ("/v1/rerank", {**GOOD, "instruct": "two words"}),
        ("/rerank", {**GOOD, "prompt": "two words", "top_n": 2}),
        ("/v2/rerank", {**GOOD, "instruction": "two words"}),
        ("/vllm/v1/rerank", {**GOOD, "instruction": "two words"}),
        ("/score", {"text_1": "q", "text_2": ["a", "b"], "instruction": "two words"}),
        ("/v1/reranking", {"query": "q", "input": ["a", "b"], "instruction": "two words"}),
    ],
)
def test_an_instruction_is_read_by_the_model_and_counted(server, path, body):
    assert server.post(path, body).body["usage"]["total_tokens"] == 2 * (2 + 1 + 1 + 1)


def test_dashscopes_and_deepinfras_too(server):
    asked = {"input": GOOD, "parameters": {"instruct": "two words"}}
    path = "/api/v1/services/rerank/text-rerank/text-rerank"
    assert server.post(path, asked).body["usage"]["total_tokens"] == 10
    asked = {"queries": ["q"], "documents": ["a", "b"], "instruction": "two words"}
    assert server.post("/v1/inference/org/model", asked).body["input_tokens"] == 10


def test_the_same_pair_with_another_instruction_is_another_one(server):
    answers = [
        server.post("/v2/rerank", {**GOOD, **fields}).body["usage"]["total_tokens"]
        for fields in ({}, {"instruction": "one"}, {}, {"instruction": "one more"}, {"instruction": ""})
    ]
    assert answers == [6, 8, 6, 10, 6]


def test_an_image_is_a_422_that_names_it(server):
    image = {"image": "data:image/png;base64,AAAA"}
    answer = server.post("/v1/ranking", {"query": {"text": "q"}, "passages": [{"text": "a"}, image]})
    assert answer.status == 422
    assert answer.body["message"].startswith("`passages[1]` holds `image`; this server ranks texts only")


def test_windows_that_are_too_small_or_too_many_are_errors_of_the_request(server):
    one = {**LONG, "documents": LONG["documents"][:1], "overflow": "chunk", "truncate_prompt_tokens": 5}
    small = server.post("/v2/rerank", one)
    assert (small.status, "at least 32 must be" in small.body["message"]) == (400, True)
    many = server.post("/v2/rerank", {**LONG, "overflow": "chunk"})
    assert many.status == 400
    assert many.body["message"].startswith("3 documents may become 192 windows, the limit is 100 ")
    assert server.post("/v2/rerank", {**LONG, "max_chunks_per_doc": 2}).status == 200
    assert server.post("/v2/rerank", GOOD).status == 200
