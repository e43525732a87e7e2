"""The routes that tell of the service to clients that ask before they rank."""

from collections.abc import Iterator

import pytest
from fakes import FakeModel
from serving import Serving, serving


@pytest.fixture(scope="module")
def server() -> Iterator[Serving]:
    with serving(FakeModel(), served_model_name="org/fake") as running:
        yield running


@pytest.mark.parametrize(
    "path",
    [
        "/livez",
        "/v1/health/live",
        "/.well-known/live",
        "/readyz",
        "/v1/health/ready",
        "/.well-known/ready",
        "/ping",
        "/health",
        "/info",
        "/meta",
        "/v1/models",
        "/models",
        "/v1/models/org/fake",
        "/models/any",
        "/",
        # what vendors' clients ask below a base URL with the vendor's prefix
        "/infinity/health",
        "/infinity/models",
        "/infinity/v1/models",
        "/llamacpp/health",
        "/llamacpp/v1/models",
        "/nim/models",
        "/nim/v1/health/live",
        "/nim/v1/health/ready",
        "/nim/v1/models",
        "/tei/health",
        "/tei/info",
        "/tei/ping",
        "/vllm/health",
        "/vllm/v1/models",
        "/weaviate/.well-known/live",
        "/weaviate/.well-known/ready",
        "/weaviate/meta",
    ],
)
def test_every_probe_of_a_ready_server_answers_200_with_a_json_object(server, path):
    with server.client() as client:
        answer = client.get(path)
    assert answer.status == 200
    assert isinstance(answer.body, dict)


@pytest.mark.parametrize("path", ["/v1/models/org/fake", "/v1/models/another"])
def test_a_model_is_told_by_whatever_name_it_is_asked_for(server, path):
    with server.client() as client:
        card = client.get(path).body
    assert (card["id"], card["object"], card["model_type"]) == ("org/fake", "model", "rerank")
