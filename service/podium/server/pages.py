"""The pages for browsers: their files, and the headers under which nothing foreign is loaded or run.

A page names its files relative to itself, so that it works below any prefix of a proxy.
"""

import base64
import hashlib
import re
from collections.abc import Sequence
from pathlib import Path

from litestar import get
from litestar.datastructures.headers import Accept
from litestar.handlers import HTTPRouteHandler
from litestar.response.base import ASGIResponse

from podium.server.state import Service

_FOLDER = Path(__file__).with_name("page")
_FILES = {
    "page.css": "text/css",
    "page.js": "text/javascript",
    "documents.js": "text/javascript",
    "requests.js": "text/javascript",
    "docs.js": "text/javascript",
}
_OF_DOCS = ("page.css", "docs.js")


def _paths(name: str) -> list[str]:
    return [f"/page/{name}", f"/docs/page/{name}"]  # the second one from `/docs/`, with its slash


PAGES = frozenset({"/docs", "/openapi.json", *(path for name in _FILES for path in _paths(name))})
"""Paths that need no API key: a browser has none until a page has asked for it. They tell nothing that the
public source does not."""

_HEADERS = {
    "cache-control": "no-cache",  # a new version's page never meets the old one's files
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
}


def is_browser(accept: str) -> bool:
    """Whether an `Accept` header asks for HTML rather than JSON; none, and `*/*`, do not."""
    try:
        return Accept(accept).best_match(["application/json", "text/html"]) == "text/html"
    except (OverflowError, ValueError):  # a quality that is no number
        return False


def read(name: str) -> str:
    """Return a page as it lies in the package."""
    return (_FOLDER / name).read_text("utf-8")


def html(page: str) -> ASGIResponse:
    """Return a page under a policy by which only its own files, and the inline scripts that it holds, run."""
    scripts = (
        hashlib.sha256(script.encode()).digest()
        for script in re.findall(r"<script>(.*?)</script>", page, re.DOTALL)
    )
    own = " ".join(["'self'", *(f"'sha256-{base64.b64encode(digest).decode()}'" for digest in scripts)])
    policy = (
        f"default-src 'none'; script-src {own}; style-src 'self'; connect-src 'self'; img-src data:; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
        "require-trusted-types-for 'script'; trusted-types 'none'"
    )
    headers = {**_HEADERS, "content-security-policy": policy, "vary": "Accept"}
    return ASGIResponse(body=page.encode(), media_type="text/html", headers=headers)


def file_routes(service: Service) -> Sequence[HTTPRouteHandler]:
    """Return the handlers of the files that the pages load."""
    return [_file(name) for name in (_FILES if service.settings.page == "on" else _OF_DOCS)]


def _file(name: str) -> HTTPRouteHandler:
    content = (_FOLDER / name).read_bytes()

    @get(_paths(name))
    async def file() -> ASGIResponse:
        """One file of a page."""
        return ASGIResponse(body=content, media_type=_FILES[name], headers=_HEADERS)

    return file
