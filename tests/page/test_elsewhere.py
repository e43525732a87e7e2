"""Both pages behind proxies, with keys, and the same request copied into other programs."""

import http.client
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from clients.environments import HERE, CannotBuild, python_of
from page.browser import PATIENCE_S, Watched, builtin, tab, url
from playwright.sync_api import Browser, Page, expect
from serving import Serving

PREFIX = "/models/one"
KEY = "the-only-key"


@contextmanager
def stripping_proxy(port: int) -> Iterator[int]:
    """Serve what lies below PREFIX from another port, without the prefix, as Traefik's StripPrefix does."""

    class Handler(BaseHTTPRequestHandler):
        def _pass(self) -> None:
            bare = self.path.removeprefix(PREFIX) or "/"
            if bare == self.path:
                self.send_error(404)
                return
            length = int(self.headers.get("content-length", 0))
            behind = http.client.HTTPConnection("127.0.0.1", port)
            behind.request(self.command, bare, self.rfile.read(length), dict(self.headers))
            answer = behind.getresponse()
            self.send_response(answer.status)
            for name, value in answer.getheaders():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(answer.read())
            behind.close()

        do_GET = do_POST = _pass

        def log_message(self, format: str, *arguments: object) -> None:
            """Say nothing."""

    proxy = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=proxy.serve_forever)
    thread.start()
    try:
        yield proxy.server_address[1]
    finally:
        proxy.shutdown()
        proxy.server_close()
        thread.join()


def rank_and_read_on(page: Page) -> None:
    """Rank on the page, follow its link to the reference, and send an example from there."""
    expect(page.locator("#about")).to_contain_text("builtin")
    page.get_by_role("button", name="Rank").click()
    expect(page.locator("#results li")).to_have_count(4)
    assert f"{PREFIX}/v2/rerank'" in page.locator("#code").inner_text()
    page.get_by_role("link", name="The APIs").click()
    page.get_by_text("By client: the URL to give it").click()
    page.get_by_role("link", name="Cohere", exact=True).first.click()
    page.locator("#cohere").get_by_role("button", name="Send").click()
    expect(page.locator("#cohere output")).to_contain_text("200,")
    assert page.locator("a", has_text="openapi.json").evaluate("a => a.pathname") == f"{PREFIX}/openapi.json"


@pytest.mark.parametrize("slash", ["", "/"])
def test_the_pages_work_under_a_prefix_that_a_proxy_leaves(browser: Browser, slash: str) -> None:
    with builtin(root_path=PREFIX) as server, tab(browser) as watched:
        watched.page.goto(url(server, PREFIX + slash))
        rank_and_read_on(watched.page)
        watched.ended_well(server.port)


@pytest.mark.parametrize("slash", ["", "/"])
def test_the_pages_work_under_a_prefix_that_a_proxy_takes_away(
    browser: Browser, server: Serving, slash: str
) -> None:
    with stripping_proxy(server.port) as port, tab(browser) as watched:
        watched.page.goto(f"http://localhost:{port}{PREFIX}{slash}")
        rank_and_read_on(watched.page)
        assert all(urlsplit(asked).path.startswith(PREFIX) for asked in watched.asked), watched.asked
        watched.ended_well(port)


@pytest.fixture(scope="module")
def locked() -> Iterator[Serving]:
    """A server that wants a key."""
    with builtin(api_keys=KEY) as running:
        yield running


def test_a_key_is_asked_for_sent_and_kept_nowhere(browser: Browser, locked: Serving) -> None:
    with tab(browser) as watched:
        page = watched.page
        page.goto(url(locked))
        page.get_by_role("button", name="Rank").click()
        expect(page.get_by_role("alert")).to_contain_text("401: invalid API key")
        page.get_by_label("API key").fill(f"\N{LEFT DOUBLE QUOTATION MARK}{KEY}")
        page.get_by_role("button", name="Rank").click()
        expect(page.get_by_role("alert")).to_contain_text("The API key holds a character")
        page.get_by_label("API key").fill(KEY)
        page.get_by_role("button", name="Rank").click()
        expect(page.locator("#results li")).to_have_count(4)
        for kind in page.locator("#kind option").evaluate_all("all => all.map(each => each.value)"):
            page.get_by_label("Written for").select_option(kind)
            code = page.locator("#code").inner_text()
            assert KEY not in code
            assert "PODIUM_API_KEY" in code
        kept = page.evaluate("[localStorage.length, sessionStorage.length, document.cookie, location.href]")
        assert kept == [0, 0, "", url(locked)]
        page.reload()
        expect(page.get_by_label("API key")).to_have_value("")
        page.goto(url(locked, "/docs"))
        page.go_back()
        expect(page.get_by_label("API key")).to_have_value("")


def test_the_instruction_is_asked_for_where_the_model_takes_one(browser: Browser, server: Serving) -> None:
    with tab(browser) as watched:
        page = watched.page
        page.goto(url(server))
        expect(page.locator("#about")).to_contain_text("builtin")
        expect(page.locator("#instructed")).to_be_hidden()
        told = server.get("/info").body | {"instruction_use": "slot", "instruction": "Find answers"}
        page.route("**/info", lambda route: route.fulfill(json=told))
        page.reload()
        expect(page.get_by_label("Instruction")).to_have_attribute("placeholder", "Find answers")
        page.get_by_label("Instruction").fill("Find pandas")
        with page.expect_request("**/v2/rerank") as asked:
            page.get_by_role("button", name="Rank").click()
        assert asked.value.post_data_json["instruction"] == "Find pandas"


LOADING = """
const real = fetch
window.looks = 0
window.fetch = (to, ...more) => to === "./"
  ? Promise.resolve(Response.json({ version: String(++looks), model: "one", status: "loading" }))
  : real(to, ...more)
"""


def test_a_server_that_loads_is_looked_at_by_one_timer_however_many_keys_are_typed(
    watched: Watched, server: Serving
) -> None:
    page = watched.page
    page.clock.install(time=0)
    page.clock.pause_at(1)
    page.add_init_script(LOADING)
    page.goto(url(server))
    for look in range(1, 4):
        expect(page.locator("#version")).to_have_text(str(look))
        page.get_by_label("API key").fill(f"key {look}")
        page.get_by_label("API key").dispatch_event("change")
    expect(page.locator("#version")).to_have_text("4")
    page.clock.run_for(2_000)
    assert page.evaluate("looks") == 5


HARD = ["It's a 'panda', \"quoted\" $HOME `ls` \\n \\", "JSON", "панда 🐼 \u2028 line", "bamboo {text} %s #"]
SETS = {
    "curl": None,
    "httpx": None,
    "jina": None,
    "tei": None,
    "cohere": "vendors",
    "voyage": "vendors",
    "litellm": "vendors",
    "langchain": "langchain",
    "llama_index": "llama_index",
}
"""Each program that the page writes for, with the environment in tests/clients that has its packages."""


def test_every_program_that_the_page_writes_for_is_run_here(watched: Watched, server: Serving) -> None:
    watched.page.goto(url(server))
    assert set(
        watched.page.locator("#kind option").evaluate_all("all => all.map(each => each.value)")
    ) == set(SETS)


@pytest.mark.parametrize("kind", SETS)
def test_the_same_request_elsewhere_gives_the_same_ranking(
    browser: Browser, locked: Serving, kind: str, tmp_path: Path
) -> None:
    python = Path(sys.executable)
    if (name := SETS[kind]) is not None:
        try:
            python = python_of(HERE / f"{name}.txt")
        except CannotBuild as why:
            pytest.skip(f"the packages of tests/clients/{name}.txt cannot be installed: {why}")
    with tab(browser) as watched:
        page = watched.page
        page.goto(url(locked))
        page.get_by_label("API key").fill(KEY)
        page.get_by_label("JSON", exact=True).check()
        page.locator("#documents").evaluate("(area, texts) => { area.value = JSON.stringify(texts) }", HARD)
        page.get_by_label("Only the best").fill("3")
        page.get_by_label("Written for").select_option(kind)
        page.get_by_role("button", name="Rank").click()
        expect(page.locator("#results li")).to_have_count(3)
        scores = [float(text) for text in page.locator("#results strong").all_text_contents()]
        file = tmp_path / "copied"
        file.write_text(page.locator("#code").text_content() or "")
        program = ["sh", file] if kind == "curl" else [python, file]
        clean = {name: value for name, value in os.environ.items() if not name.startswith("PODIUM_")}
        ran = subprocess.run(
            program,
            env={**clean, "PODIUM_API_KEY": KEY},
            capture_output=True,
            text=True,
            check=False,
            timeout=PATIENCE_S,
        )
        assert ran.returncode == 0, ran.stderr
        if kind == "curl":
            printed = [each["relevance_score"] for each in json.loads(ran.stdout)["results"]]
        else:
            printed = [float(line.split()[1]) for line in ran.stdout.splitlines()]
        assert printed[:3] == pytest.approx(scores, abs=5e-5)
