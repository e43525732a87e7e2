"""The OpenAPI document and its page."""

import json
import re
from html import unescape

import pytest
from fakes import FakeModel
from jsonschema import Draft202012Validator
from openapi_spec_validator import OpenAPIV31SpecValidator
from serving import serving

from podium.dialects.clients import CLIENTS
from podium.dialects.table import ROUTES, rules_of
from podium.server.docs import GROUPS, page
from podium.server.openapi import dialects, openapi
from podium.server.probes import OPEN


@pytest.fixture(scope="module")
def document():
    with serving(FakeModel(), root_path="/proxy") as server:
        return server.get("/proxy/openapi.json").body


def test_the_document_is_valid_openapi_3_1(document):
    assert document["openapi"].startswith("3.1")
    assert [str(error) for error in OpenAPIV31SpecValidator(document).iter_errors()] == []


def test_the_document_knows_the_prefix_of_a_proxy(document):
    assert document["servers"] == [{"url": "/proxy"}]
    assert openapi()["servers"] == [{"url": "/"}]


def test_every_path_that_ranks_has_an_operation_with_one_of_its_dialects(document):
    posts = {path for path, item in document["paths"].items() if "post" in item}
    assert posts == {path.replace(":path", "") for path in ROUTES}
    for path in ROUTES:
        content = document["paths"][path.replace(":path", "")]["post"]["requestBody"]["content"][
            "application/json"
        ]
        names = list(dict.fromkeys(rule.dialect.name for rule in rules_of(path)))
        assert list(content["examples"]) == names
        assert len(content["schema"].get("oneOf", [content["schema"]])) == len(names)


def test_every_example_is_an_example_of_its_schema(document):

    for item in document["paths"].values():
        content = item.get("post", {}).get("requestBody", {}).get("content", {}).get("application/json", {})
        schemas = content.get("schema", {})
        for example, schema in zip(
            content.get("examples", {}).values(), schemas.get("oneOf", [schemas]), strict=False
        ):
            rooted = {**schema, "components": document["components"]}
            assert list(Draft202012Validator(rooted).iter_errors(example["value"])) == []


def test_operations_have_names_of_their_own(document):
    names = [operation["operationId"] for item in document["paths"].values() for operation in item.values()]
    assert len(names) == len(set(names))
    assert all(re.fullmatch(r"\w+", name) for name in names)


def test_every_get_path_of_the_document_answers(document):
    with serving(FakeModel()) as server:
        for path, item in document["paths"].items():
            if "get" in item:
                answer = server.get(path)
                assert answer.status == 200
                kind = next(iter(item["get"]["responses"]["200"]["content"]))
                assert answer.headers["content-type"].startswith(kind)


def test_paths_that_need_no_key_say_so(document):
    open_paths = {
        path for path, item in document["paths"].items() if item.get("get", {}).get("security") == []
    }
    assert open_paths == OPEN


def test_the_page_holds_no_foreign_url_and_loads_nothing():
    text = page()
    assert re.findall(r"(?:https?:)?//[\w.-]+\.\w+", text) == []
    assert re.findall(r"<(?:script|img|iframe|link)[^>]*\b(?:src|href)=\"(?!data:|page/)", text) == []
    assert "@import" not in text
    assert "<!-- " not in text


def test_every_dialect_stands_in_one_group_of_the_page():
    grouped = [name for names in GROUPS.values() for name in names]
    assert sorted(grouped) == sorted(dialects())


def test_the_page_tells_first_which_api_is_spoken_for_each_client_and_on_each_path():
    text = page()
    which = text[text.index('id="which"') : text.index('id="apis"')]
    for client in CLIENTS:
        assert f"<tr data-find><td>{client.name}<td><code data-base='{client.base}'>" in which
    for path in ROUTES:
        assert f"<code>{path.replace(':path', '')}</code>" in which
        for rule in rules_of(path):
            assert f"<a href='#{rule.dialect.name}'>" in which


def test_the_page_shows_every_dialect_with_its_fields_and_its_example():
    text = page()
    for name, dialect in dialects().items():
        assert f"id='{name}'" in text
        for field in dialect.body.__struct_encode_fields__:
            assert f"<td><code>{field}</code>" in text
    shown = re.findall(r"<textarea[^>]*>(.*?)</textarea>", text, re.DOTALL)
    assert len(shown) == len(dialects())


def test_the_page_is_served_as_html():
    with serving(FakeModel(), root_path="/proxy") as server:
        for path in ("/docs", "/proxy/docs", "/docs/"):
            answer = server.get(path)
            assert answer.headers["content-type"] == "text/html; charset=utf-8"
            assert answer.raw.decode() == page()


def test_the_examples_of_the_page_can_be_sent_as_they_stand():

    with serving(FakeModel()) as server:
        for form in re.findall(r"<form>.*?</form>", page(), re.DOTALL):
            path = re.search(r"<option>([^<]*)", form)[1].strip()
            body = unescape(re.search(r"<textarea[^>]*>(.*?)</textarea>", form, re.DOTALL)[1])
            assert server.post(path, json.loads(body)).status == 200
