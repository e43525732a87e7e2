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
WARM_S = 120
"""What a test waits for a model to be warm; a browser beside it takes both cores for a while."""


@contextlib.contextmanager
def chromium() -> Iterator[Browser]:
    """Start the browser, or skip where there is none."""
    if PROGRAM is None:
        pytest.skip("needs Chromium: `apt-get install chromium`, and PODIUM_CHROMIUM=/usr/bin/chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=PROGRAM, headless=True, args=FLAGS)
        yield browser
        browser.close()


expect.set_options(timeout=20_000)


@contextlib.contextmanager
def builtin(**settings: Any) -> Iterator[Serving]:
    """Serve the built-in model, which is loaded once."""
    with serving(_model(), ready=False, **settings) as server:
        until(server.starting.done, WARM_S)
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
        assert self.complaints == []
        assert {urlsplit(url).netloc for url in self.asked if not url.startswith("data:")} == {
            f"localhost:{port}"
        }


@contextlib.contextmanager
def tab(browser: Browser, **options: Any) -> Iterator[Watched]:
    """Open a tab with a profile of its own."""
    context = browser.new_context(**options)
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
