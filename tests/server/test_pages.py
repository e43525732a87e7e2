"""Who gets a page, its files, and the policy they come under."""

import re

import pytest
from fakes import FakeModel
from serving import serving

from podium.server.pages import is_browser, read

BROWSER = "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8"
FILES = {
    "page.css": "text/css",
    "page.js": "text/javascript",
    "documents.js": "text/javascript",
    "requests.js": "text/javascript",
    "docs.js": "text/javascript",
}


@pytest.fixture(scope="module")
def server():
    with serving(FakeModel()) as running:
        yield running


@pytest.mark.parametrize(
    ("accept", "page"),
    [
        pytest.param(BROWSER, True, id="a browser"),
        pytest.param("text/html", True, id="who asks for nothing else"),
        pytest.param("", False, id="nobody asked"),
        pytest.param("*/*", False, id="curl, Python"),
        pytest.param("application/json", False, id="JSON"),
        pytest.param("application/json, text/html;q=0.9", False, id="JSON rather"),
        pytest.param(";;q=x,,", False, id="nonsense"),
        pytest.param("text/html;q=1e999", False, id="a quality beyond all numbers"),
    ],
)
def test_html_goes_to_who_prefers_it(server, accept, page):
    assert is_browser(accept) is page
    answer = server.get("/", accept=accept) if accept else server.get("/")
    assert answer.status == 200
    assert answer.headers["vary"] == "Accept"
    if page:
        assert answer.headers["content-type"] == "text/html; charset=utf-8"
        assert answer.raw.decode() == read("index.html")
    else:
        assert answer.body["service"] == "podium"


def test_a_page_that_is_off_is_not_there():
    with serving(FakeModel(), page="off") as server:
        assert server.get("/", accept=BROWSER).body["service"] == "podium"
        assert server.get("/page/page.js").status == 404
        assert server.get("/docs").status == 200
        assert server.get("/page/docs.js").status == 200


@pytest.mark.parametrize("path", ["/", "/docs"])
def test_a_page_runs_nothing_but_its_own(server, path):
    answer = server.get(path, accept=BROWSER)
    policy = dict(
        part.strip().partition(" ")[::2] for part in answer.headers["content-security-policy"].split(";")
    )
    assert policy["default-src"] == policy["base-uri"] == policy["frame-ancestors"] == "'none'"
    assert policy["style-src"] == policy["connect-src"] == "'self'"
    assert policy["require-trusted-types-for"] == "'script'"
    assert not re.search(r"unsafe|https?:|\*", answer.headers["content-security-policy"])
    assert policy["script-src"].count("'sha256-") == answer.raw.count(b"<script>")
    assert not re.search(r"<[^>]*\s(style|on\w+)=", answer.raw.decode())


@pytest.mark.parametrize("prefix", ["", "/docs", "/proxy", "/proxy/docs"])
def test_the_files_of_a_page_lie_beside_it_and_need_no_key(prefix):
    with serving(FakeModel(), root_path="/proxy", api_keys="secret") as server:
        for name, kind in FILES.items():
            answer = server.get(f"{prefix}/page/{name}")
            assert (answer.status, answer.headers["x-content-type-options"]) == (200, "nosniff")
            assert answer.headers["content-type"].partition(";")[0] == kind
            assert answer.raw.decode() == read(name)


@pytest.mark.parametrize("path", ["/page/", "/page/index.html", "/page/../pages.py", "/page/%2e%2e/pages.py"])
def test_nothing_else_of_the_package_is_served(server, path):
    assert server.get(path).status == 404


@pytest.mark.parametrize("name", ["page.js", "documents.js", "requests.js", "docs.js"])
def test_no_text_is_put_into_a_page_as_html(name):
    assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval\(|setHTML", read(name))
