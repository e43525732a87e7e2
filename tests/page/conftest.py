"""One browser for the tests of a file: while it is open no other event loop can run in the process."""

from collections.abc import Iterator

import pytest
from page.browser import Watched, builtin, chromium, tab
from playwright.sync_api import Browser
from serving import Serving


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as running:
        yield running


@pytest.fixture(scope="module")
def server() -> Iterator[Serving]:
    with builtin() as running:
        yield running


@pytest.fixture
def watched(browser: Browser, server: Serving) -> Iterator[Watched]:
    """A tab of which nothing is complained, and that asks nobody else."""
    with tab(browser) as opened:
        yield opened
        opened.ended_well(server.port)
