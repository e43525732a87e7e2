"""`make docs` builds the site of the documents with no warning and no network."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
# Sphinx in a process that can open no connection, as on a machine without a network.
BUILD = """
import socket, sys
def refuse(*arguments, **more):
    raise OSError("the site was to be built without a network")
socket.socket.connect = socket.create_connection = socket.getaddrinfo = refuse
from sphinx.cmd.build import main
sys.exit(main(sys.argv[1:]))
"""


def build(source: Path, to: Path) -> subprocess.CompletedProcess[str]:
    options = ["--fail-on-warning", "--keep-going", "--fresh-env", "--quiet"]
    return subprocess.run(
        [sys.executable, "-c", BUILD, *options, str(source), str(to)], capture_output=True, text=True
    )


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("sphinx", reason="needs Sphinx: pip install -e '.[docs]'")
    folder = tmp_path_factory.mktemp("site")
    ended = build(ROOT / "docs", folder)
    assert ended.returncode == 0, ended.stderr
    return folder


def test_every_document_is_a_page_of_the_site(site: Path) -> None:
    pages = {page.relative_to(ROOT / "docs").with_suffix("") for page in ROOT.glob("docs/**/*.md")}
    assert pages <= {page.relative_to(site).with_suffix("") for page in site.rglob("*.html")}


def test_a_page_loads_nothing_from_another_host(site: Path) -> None:
    for page in site.rglob("*.html"):
        for tag in re.findall(r"<(?:script|link|img|iframe)\b[^>]*>", page.read_text()):
            assert not re.search(r"""(?:src|href)=["']?(?:https?:)?//""", tag), f"{page.name}: {tag}"


def test_links_that_leave_the_documents_lead_to_the_repository(site: Path) -> None:
    text = (site / "operations.html").read_text()
    assert "https://github.com/podium-rerank/podium/blob/main/charts/podium/README.md" in text


@pytest.mark.parametrize(
    "link",
    [
        pytest.param("[x](no-such-page.md)", id="page"),
        pytest.param("[x](index.md#no-such-heading)", id="heading"),
        pytest.param("[x](../no/such/file.py)", id="file-of-the-repository"),
    ],
)
def test_a_link_that_leads_nowhere_stops_the_build(link: str, tmp_path: Path) -> None:
    pytest.importorskip("sphinx", reason="needs Sphinx: pip install -e '.[docs]'")
    docs = tmp_path / "docs"
    docs.mkdir()
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    for file in ("conf.py", "icon.svg"):
        shutil.copy(ROOT / "docs" / file, docs)
    (docs / "index.md").write_text("# Podium\n\nwell\n")
    assert build(docs, tmp_path / "good").returncode == 0
    (docs / "index.md").write_text(f"# Podium\n\n{link}\n")
    assert build(docs, tmp_path / "bad").returncode != 0
