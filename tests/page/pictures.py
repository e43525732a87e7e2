"""Draws the pictures of docs/page.md: `PYTHONPATH=tests python tests/page/pictures.py`."""

from pathlib import Path
from typing import Any

from page.browser import builtin, chromium, tab, url
from playwright.sync_api import Browser, expect
from serving import Serving

DOCS = Path(__file__).parents[2] / "docs"
DESK, PHONE = {"width": 900, "height": 1150}, {"width": 390, "height": 1300}


def draw(browser: Browser, server: Serving, name: str, path: str, scheme: Any, viewport: Any) -> None:
    """Write one picture, of the first screen."""
    with tab(browser, color_scheme=scheme, viewport=viewport) as watched:
        page = watched.page
        page.goto(url(server, path))
        if path == "/":
            expect(page.locator("#about")).to_contain_text("builtin")
            page.get_by_role("button", name="Rank").click()
            expect(page.locator("#results li")).to_have_count(4)
        else:
            page.get_by_text("By client: the URL to give it").click()
        page.evaluate("document.activeElement.blur()")
        page.screenshot(path=DOCS / f"{name}.png")


def main() -> None:
    """Draw all."""
    with builtin() as server, chromium() as browser:
        draw(browser, server, "page", "/", "light", DESK)
        draw(browser, server, "page-dark", "/", "dark", DESK)
        draw(browser, server, "page-phone-dark", "/", "dark", PHONE)
        draw(browser, server, "docs-page", "/docs", "light", DESK)
        draw(browser, server, "docs-page-dark", "/docs", "dark", DESK)
        draw(browser, server, "docs-page-phone", "/docs", "light", PHONE)


if __name__ == "__main__":
    main()
