"""Keys, browsers, unknown paths and wrong methods."""

import re

import pytest
from fakes import FakeModel
from serving import serving, until

from podium.dialects.table import ROUTES
from podium.server.state import read_keys
from podium.settings import SettingError, Settings

GOOD = {"query": "q", "documents": ["score=1", "score=2"]}
TEI = {"query": "q", "texts": ["score=1", "score=2"]}


@pytest.fixture(scope="module")
def server():
    with serving(FakeModel()) as running:
        yield running


@pytest.fixture(scope="module")
def keyed(tmp_path_factory):
    file = tmp_path_factory.mktemp("keys") / "keys"
    file.write_text("\nkey-of-a-file\n  schlüssel  \n\n")
    with serving(
        FakeModel(), api_keys="first, second", api_keys_file=str(file), cors_origins="https://app.example"
    ) as running:
        yield running


# Keys.


@pytest.mark.parametrize(
    "headers",
    [
        pytest.param({"authorization": "Bearer first"}, id="Bearer"),
        pytest.param({"authorization": "bearer   second "}, id="bearer, loosely written"),
        pytest.param({"authorization": "first"}, id="bare"),
        pytest.param({"api_key": "second"}, id="Api-Key"),
        pytest.param({"authorization": "Bearer key-of-a-file"}, id="from the file"),
        pytest.param({"authorization": "Bearer schlüssel".encode().decode("latin-1")}, id="not ASCII"),
        pytest.param({"authorization": "Basic cHJveHk6eA==", "api_key": "first"}, id="beside a proxy's own"),
    ],
)
def test_a_known_key_is_let_in(keyed, headers):
    assert keyed.post("/v2/rerank", GOOD, **headers).status == 200
    assert keyed.get("/info", **headers).status == 200


@pytest.mark.parametrize(
    "headers",
    [
        pytest.param({}, id="none"),
        pytest.param({"authorization": ""}, id="empty"),
        pytest.param({"authorization": "Bearer"}, id="Bearer alone"),
        pytest.param({"authorization": "Bearer firs"}, id="the beginning of one"),
        pytest.param({"authorization": "Bearer first, second"}, id="all of them"),
        pytest.param({"authorization": "Basic first"}, id="Basic"),
        pytest.param({"authorization": "Bearer ÿ\xa0"}, id="not UTF-8"),
        pytest.param({"api_key": "FIRST"}, id="in capitals"),
    ],
)
def test_an_unknown_key_is_a_401_that_says_what_to_send(keyed, headers):
    for path, body in (("/v1/rerank", GOOD), ("/rerank", TEI), ("/v2/rerank", b"x" * 1000)):
        answer = keyed.post(path, body, **headers)
        assert answer.status == 401
        assert answer.headers["www-authenticate"] == "Bearer"
        assert answer.body["message"].startswith("invalid API key: send one of the configured keys")
    for path in ("/info", "/v1/models"):
        assert keyed.get(path, **headers).status == 401


@pytest.mark.parametrize(
    "path",
    [
        *("/livez", "/readyz", "/health", "/metrics", "/", "/docs", "/openapi.json"),
        *("/v1/health/live", "/v1/health/ready", "/nim/v1/health/ready"),
        *("/.well-known/live", "/.well-known/ready", "/weaviate/.well-known/ready"),
        *("/ping", "/tei/ping"),
    ],
)
def test_probes_scrapers_and_readers_need_no_key(keyed, path):
    assert keyed.get(path).status == 200
    assert keyed.get(path, "HEAD").status == 200


def test_ranking_on_an_open_path_needs_a_key(keyed):
    assert keyed.post("/", TEI).status == 401
    assert keyed.post("/", TEI, api_key="first").status == 200


def test_a_connection_goes_on_after_a_401(keyed):
    with keyed.client() as client:
        assert client.post("/v2/rerank", GOOD).status == 401
        assert client.post("/v2/rerank", GOOD, api_key="first").status == 200


def test_requests_are_counted_by_the_name_of_their_key(tmp_path):
    file = tmp_path / "keys"
    file.write_text("# keys of two teams\nabc # team b\n#old\n  # older\n")
    with serving(FakeModel(), api_keys="x=y: # team-a, plain", api_keys_file=str(file)) as server:
        for key in ("x=y:", "x=y:", "abc", "plain"):
            assert server.post("/v2/rerank", GOOD, authorization=f"Bearer {key}").status == 200
        assert server.post("/v2/rerank", b"", api_key="abc").status == 400
        for key in ("team-a", "# team-a", "x=y: # team-a", "#old", "# older", "# keys of two teams"):
            assert server.post("/v2/rerank", GOOD, api_key=key).status == 401
        until(lambda: server.metric("podium_key_requests_total", key="team b", status="400") == 1)
        page = server.get("/metrics").raw
    counted = re.findall(rb'podium_key_requests_total\{key="(.*?)",status="(\d+)"\} (\S+)', page)
    assert sorted(counted) == [
        (b"team b", b"200", b"1.0"), (b"team b", b"400", b"1.0"), (b"team-a", b"200", b"2.0"),
    ]  # fmt: skip
    assert b"x=y" not in page


def test_without_keys_everything_is_open_whatever_is_sent(server):
    assert server.post("/v2/rerank", GOOD, authorization="Bearer anything").status == 200


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        pytest.param({"api_keys": " , "}, "hold no key", id="commas alone"),
        pytest.param(
            {"api_keys_file": "/does/not/exist"}, "PODIUM_API_KEYS_FILE: /does/not/exist", id="no file"
        ),
        pytest.param({"api_keys_file": "/dev/null"}, "hold no key", id="an empty file"),
        pytest.param({"api_keys": "#old, # older"}, "hold no key", id="comments alone"),
        pytest.param({"api_keys_file": "/"}, "PODIUM_API_KEYS_FILE: /", id="a folder"),
    ],
)
def test_keys_that_cannot_be_had_refuse_to_start(settings, words):
    with pytest.raises(SettingError, match=words):
        read_keys(Settings(**settings))


# Browsers.


def test_a_preflight_needs_no_key(keyed):
    answer = keyed.get(
        "/v2/rerank",
        "OPTIONS",
        origin="https://app.example",
        access_control_request_method="POST",
        access_control_request_headers="authorization,content-type,x-request-id",
    )
    assert answer.status == 204
    assert answer.headers["access-control-allow-origin"] == "https://app.example"
    allowed = answer.headers["access-control-allow-headers"].lower()
    assert {"authorization", "content-type", "x-request-id"} <= set(allowed.replace(" ", "").split(","))
    assert "POST" in answer.headers["access-control-allow-methods"]


@pytest.mark.parametrize(
    ("path", "body", "headers", "status"),
    [
        pytest.param("/v2/rerank", GOOD, {"api_key": "first"}, 200, id="200"),
        pytest.param("/v2/rerank", {}, {"api_key": "first"}, 400, id="400"),
        pytest.param("/v2/rerank", GOOD, {}, 401, id="401"),
        pytest.param("/nothing", GOOD, {}, 404, id="404"),
    ],
)
def test_an_allowed_origin_may_read_every_answer(keyed, path, body, headers, status):
    answer = keyed.post(path, body, origin="https://app.example", **headers)
    assert answer.status == status
    assert answer.headers["access-control-allow-origin"] == "https://app.example"
    exposed = answer.headers["access-control-expose-headers"].lower()
    assert {"retry-after", "x-request-id", "x-podium-truncated-documents"} <= set(exposed.split(", "))


def test_other_origins_may_not(keyed):
    answer = keyed.post("/v2/rerank", GOOD, api_key="first", origin="https://evil.example")
    assert "access-control-allow-origin" not in answer.headers
    answer = keyed.get(
        "/v2/rerank", "OPTIONS", origin="https://evil.example", access_control_request_method="POST"
    )
    assert "access-control-allow-origin" not in answer.headers


@pytest.mark.parametrize("origins", ["*", "https://a.example, https://b.example"])
def test_origins_may_be_all_or_several(origins):
    with serving(FakeModel(), cors_origins=origins) as server:
        answer = server.post("/v2/rerank", GOOD, origin="https://b.example")
        assert answer.headers["access-control-allow-origin"] in ("*", "https://b.example")


def test_no_origin_is_allowed_unless_set(server):
    assert "access-control-allow-origin" not in server.post("/v2/rerank", GOOD, origin="https://a.b").headers


# Paths and methods.


@pytest.mark.parametrize("path", ["/nothing", "/v3/rerank", "/RERANK", "/rerank/x", "/%2e%2e/x", "/%ff%00"])
def test_unknown_paths_are_a_404_with_the_superset_body(server, path):
    answer = server.post(path, GOOD)
    assert answer.status == 404
    assert answer.body["message"] == answer.body["detail"] == answer.body["error"]["message"]
    assert "GET /docs lists all" in answer.body["message"]


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "PATCH"])
def test_a_wrong_method_is_a_405_in_the_shape_of_the_path(server, method):
    shared = server.get("/v1/rerank", method)
    assert (shared.status, shared.headers["allow"]) == (405, "POST, OPTIONS")
    assert shared.body["message"] == f"/v1/rerank does not take {method}; GET /docs lists all"
    assert "error" in server.get("/tei/rerank", method).body


def test_a_wrong_method_on_a_get_path_names_the_right_ones(server):
    answer = server.post("/readyz", b"")
    assert (answer.status, answer.headers["allow"]) == (405, "GET, OPTIONS")


def test_options_tells_the_methods(server):
    answer = server.get("/v1/rerank", "OPTIONS")
    assert (answer.status, answer.headers["allow"]) == (204, "OPTIONS, POST")


@pytest.mark.parametrize(
    "path", ["/", "/livez", "/readyz", "/health", "/metrics", "/info", "/v1/models", "/docs"]
)
def test_head_is_get_without_a_body(server, path):
    with server.client() as client:
        got, head = client.get(path), client.get(path, "HEAD")
        assert head.status == got.status == 200
        assert head.headers["content-type"] == got.headers["content-type"]
        assert head.raw == b""
        assert client.get(path).status == 200


@pytest.mark.parametrize("path", [pytest.param(path, id=path) for path in ROUTES if "{" not in path])
def test_get_on_a_rank_path_is_no_5xx(server, path):
    assert server.get(path).status == (200 if path == "/" else 405)
