"""One browser for all tests of the pages."""

from collections.abc import Iterator

import pytest
from page.browser import Watched, builtin, chromium, tab
from playwright.sync_api import Browser
from serving import Serving


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    with chromium() as running:
        yield running


@pytest.fixture(scope="session")
def server() -> Iterator[Serving]:
    with builtin() as running:
        yield running


@pytest.fixture
def watched(browser: Browser, server: Serving) -> Iterator[Watched]:
    """A tab of which nothing is complained, and that asks nobody else."""
    with tab(browser) as opened:
        yield opened
        opened.ended_well(server.port)
