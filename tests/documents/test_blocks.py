"""Every command of the tutorial and the how-to guides runs as it stands, or its page says why not."""

import os
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
import yaml
from clients.environments import HERE as SETS
from clients.environments import CannotBuild, python_of
from clients.test_clients import QUIET
from documents.blocks import CLIENTS, PAGES, RUNNERS, Block, agrees, blocks, check_output
from documents.shell import run_blocks
from serving import Serving, serving

from podium.models.load import load
from podium.weights.source import BUILTIN

ALL = [block for page in PAGES for block in blocks(page)]
COMMANDS = frozenset({"sh", "python", "yaml"})
PATIENCE_S = 300


@pytest.fixture(scope="module")
def server() -> Iterator[Serving]:
    """Serve the built-in model as the pages say that it is served."""
    with serving(lambda: load(BUILTIN, uri="builtin")) as running:
        yield running


def of(how: str) -> list[pytest.param]:
    return [pytest.param(block, id=block.name) for block in ALL if block.how == how]


def printed_by(block: Block, of: Sequence[Block] = ALL) -> Block:
    """Return the block that shows what another prints, the next one of its page."""
    following = of[of.index(block) + 1 :][:1]
    told = [each for each in following if each.page == block.page and each.how == "prints"]
    assert told, f"{block.name}: say what it prints"
    return told[0]


@pytest.mark.parametrize("block", [pytest.param(each, id=each.name) for each in ALL])
def test_every_block_says_who_runs_it(block: Block) -> None:
    if block.language in COMMANDS:
        assert block.how in RUNNERS | {"not run"}, f"{block.name}: say who runs it, or why nobody does"
    else:
        assert block.how in {"", "prints", "not run"}


@pytest.mark.parametrize("page", [pytest.param(page, id=page.stem) for page in PAGES])
def test_the_commands_of_a_page_run_in_order_and_print_what_it_says(
    page: Path, server: Serving, tmp_path: Path
) -> None:
    if shutil.which("curl") is None:
        pytest.skip("needs `curl` on the PATH")
    here = f"127.0.0.1:{server.port}"
    run_blocks(blocks(page), "here", tmp_path, replace={"localhost:8080": here})


@pytest.mark.parametrize("block", [pytest.param(each, id=each.name) for each in ALL if each.how in CLIENTS])
def test_a_clients_example_runs_and_prints_what_the_page_says(
    block: Block, server: Serving, tmp_path: Path
) -> None:
    try:
        python = python_of(SETS / f"{block.how}.txt")
    except CannotBuild as error:
        pytest.skip(f"tests/clients/{block.how}.txt cannot be installed here: {error}")
    script = block.text.replace("localhost:8080", f"127.0.0.1:{server.port}")
    ended = subprocess.run(
        [python, "-c", script],
        cwd=tmp_path,
        env={"PATH": os.environ["PATH"], "HOME": str(tmp_path), **QUIET},
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
    )
    assert ended.returncode == 0, ended.stderr
    check_output(printed_by(block), ended.stdout)


@pytest.mark.parametrize("block", of("values"))
def test_values_are_those_of_the_chart(block: Block) -> None:
    from chart.helm import find, template

    if find() is None:
        pytest.skip("needs Helm 3.17 or later: put `helm` on the PATH or into KUBEBUILDER_ASSETS")
    assert template("podium", values=yaml.safe_load(block.text))


def test_an_answer_that_differs_is_found() -> None:
    told = {"results": [{"index": 1, "score": 0.99}]}
    assert agrees(told, {"id": "x", "results": [{"index": 1, "score": 0.986}]})
    assert not agrees(told, {"results": [{"index": 0, "score": 0.99}]})
    assert not agrees(told, {"results": [{"index": 1, "score": 0.98}]})
    assert not agrees(told, {"results": []})


def test_an_example_that_does_not_say_what_it_prints_is_named(tmp_path: Path) -> None:
    last = Block(tmp_path / "one.md", 7, "python", "print(1)", "vendors")
    elsewhere = Block(tmp_path / "two.md", 3, "", "1", "prints")
    for blocks_there in [[last], [last, elsewhere]]:
        with pytest.raises(AssertionError, match=r"one\.md:7: say what it prints"):
            printed_by(last, blocks_there)
