"""A real Chromium against a real server with the built-in model."""

import contextlib
import functools
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright
from serving import Serving, serving, until

from podium.loading import load_model
from podium.models.base import Model
from podium.settings import Settings

PROGRAM = os.environ.get("PODIUM_CHROMIUM")
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
PATIENCE_S = 240
"""What a test waits for a model to be warm and for a browser; on a busy machine both take their time."""
QUERY = "What is a panda?"
DOCUMENTS = [
    "I like cats.",
    "The giant panda is a bear species endemic to China.",
    "Pandas eat bamboo for twelve hours a day.",
    "hi",
]


@contextlib.contextmanager
def chromium() -> Iterator[Browser]:
    """Start the browser, or skip where there is none."""
    if PROGRAM is None:
        pytest.skip("needs Chromium: `apt-get install chromium`, and PODIUM_CHROMIUM=/usr/bin/chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=PROGRAM, args=FLAGS, timeout=PATIENCE_S * 1000)
        yield browser
        browser.close()


expect.set_options(timeout=PATIENCE_S * 1000)


@contextlib.contextmanager
def builtin(**settings: Any) -> Iterator[Serving]:
    """Serve the built-in model, which is loaded once."""
    with serving(_model(), ready=False, **settings) as server:
        until(server.starting.done, PATIENCE_S)
        server.starting.result()
        yield server


@functools.cache
def _model() -> Model:
    return load_model(Settings())


@dataclass
class Watched:
    """A tab, and what it did beside what was asked of it."""

    page: Page
    complaints: list[str] = field(default_factory=list)
    """Errors on the console, breaches of the policy and exceptions among them."""
    asked: list[str] = field(default_factory=list)
    """URLs of all requests."""

    def ended_well(self, port: int) -> None:
        """Assert that nothing was complained of and nobody else was asked."""
        assert not self.complaints, "\n".join(self.complaints)
        asked = {urlsplit(url).netloc for url in self.asked if not url.startswith("data:")}
        assert asked == {f"localhost:{port}"}, asked


@contextlib.contextmanager
def tab(browser: Browser, **options: Any) -> Iterator[Watched]:
    """Open a tab with a profile of its own."""
    context = browser.new_context(**options)
    context.set_default_timeout(PATIENCE_S * 1000)
    watched = Watched(context.new_page())
    page = watched.page
    page.on("console", lambda said: watched.complaints.append(said.text) if said.type == "error" else None)
    page.on("pageerror", lambda error: watched.complaints.append(str(error)))
    page.on("request", lambda request: watched.asked.append(request.url))
    yield watched
    context.close()


def url(server: Serving, path: str = "/") -> str:
    """Return an address of the server, under the name that browsers trust without TLS."""
    return f"http://localhost:{server.port}{path}"


def fill(page: Page, documents: str, query: str = QUERY) -> None:
    """Type the query and the documents."""
    page.get_by_label("Query").fill(query)
    page.get_by_label("Documents", exact=True).and_(page.locator("textarea")).fill(documents)


def rank(page: Page) -> list[str]:
    """Press the button; return the texts of the ranking, those off the screen too."""
    with page.expect_response("**/v2/rerank"):
        page.get_by_role("button", name="Rank").click()
    expect(page.get_by_role("status").first).to_contain_text("ranked in")
    return page.locator("#results li > p:first-of-type").all_text_contents()
