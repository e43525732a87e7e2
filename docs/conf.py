"""The site of the documents: `make docs`.

The pages lie where a reader of the repository finds them, and their links lead there too. On the site a link
that leaves docs/ leads to the file in the repository; one that is not there is a warning, and so an error.
"""

import re
import tomllib
from pathlib import Path

from sphinx.application import Sphinx
from sphinx.util import logging

HERE = Path(__file__).parent
ROOT = HERE.parent
_PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
REPOSITORY = _PROJECT["urls"]["Repository"]
LINK = re.compile(r"(?<!!)\]\((?P<path>\.\.?/[^)#\s]*)(?P<anchor>#[^)\s]*)?\)")
_LOG = logging.getLogger(__name__)

project = "Podium"
author = "the authors of Podium"
version = release = _PROJECT["version"]
extensions = ["myst_parser"]
myst_heading_anchors = 4
html_theme = "furo"
html_favicon = "icon.svg"
html_title = f"Podium {version}"
html_copy_source = False
html_show_copyright = False


def lead_out(app: Sphinx, document: str, source: list[str]) -> None:
    """Turn links that leave docs/ into links to the repository."""
    folder = (HERE / f"{document}.md").parent

    def turned(found: re.Match[str]) -> str:
        target = (folder / found["path"]).resolve()
        if target.is_relative_to(HERE):
            return found[0]
        if not target.exists():
            _LOG.warning("links to %s, which does not exist", found["path"], location=document)
        kind = "tree" if target.is_dir() else "blob"
        return f"]({REPOSITORY}/{kind}/main/{target.relative_to(ROOT)}{found['anchor'] or ''})"

    source[0] = LINK.sub(turned, source[0])


def setup(app: Sphinx) -> None:
    """Register the above with Sphinx."""
    app.connect("source-read", lead_out)
