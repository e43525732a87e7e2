"""A user without a home folder, or whose home cannot be written: containers run under any UID."""

import os
import pwd
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hub import COMMIT, Hub

from podium.errors import PermanentStartError
from podium.settings import DEFAULT_CACHE
from podium.weights.fetch import fetch
from podium.weights.source import BUILTIN

FILES = {path.name: path.read_bytes() for path in BUILTIN.iterdir()}


@pytest.fixture
def hub() -> Iterator[Hub]:
    with Hub(FILES) as hub:
        yield hub


@pytest.fixture
def temporary(tmp_path, monkeypatch) -> Path:
    (tmp_path / "tmp").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "tmp"))
    return tmp_path / "tmp"


@pytest.fixture(params=["no name", "read-only", "no such folder"])
def homeless(request, monkeypatch, tmp_path) -> None:
    monkeypatch.delenv("HOME")
    match request.param:
        case "no name":

            def unknown(uid: int) -> None:
                raise KeyError(f"getpwuid(): uid not found: {uid}")

            monkeypatch.setattr(pwd, "getpwuid", unknown)
        case "read-only":
            monkeypatch.setenv("HOME", "/proc/self")
            access = os.access
            monkeypatch.setattr(
                os, "access", lambda path, mode: "/proc" not in str(path) and access(path, mode)
            )
        case "no such folder":
            monkeypatch.setenv("HOME", str(tmp_path / "none"))
            access = os.access
            monkeypatch.setattr(
                os, "access", lambda path, mode: str(path) != str(tmp_path) and access(path, mode)
            )


@pytest.mark.usefixtures("homeless")
def test_the_default_cache_falls_back_to_a_folder_that_can_be_written_and_says_which(hub, temporary, caplog):
    fetched = fetch("org/model", endpoint=hub.endpoint)
    expected = temporary / f"podium-{os.getuid()}"
    assert fetched.folder == expected / "org--model" / COMMIT
    assert expected.stat().st_mode & 0o777 == 0o700
    assert f"models are kept in {expected} until" in caplog.text
    hub.files.clear()
    assert fetch("org/model", endpoint=hub.endpoint) == fetched


@pytest.mark.usefixtures("homeless")
def test_a_folder_that_another_prepared_is_not_used(hub, temporary, tmp_path):
    (tmp_path / "theirs").mkdir()
    (temporary / f"podium-{os.getuid()}").symlink_to(tmp_path / "theirs")
    fetched = fetch("org/model", endpoint=hub.endpoint)
    assert fetched.folder.is_relative_to(temporary)
    assert list((tmp_path / "theirs").iterdir()) == []


@pytest.mark.usefixtures("homeless")
def test_what_needs_no_cache_asks_for_none(temporary, tmp_path):
    assert fetch("builtin").folder == BUILTIN
    assert fetch(str(BUILTIN)).folder == BUILTIN
    assert list(temporary.iterdir()) == []


def test_another_folder_below_a_home_that_is_not_there_is_named(monkeypatch):
    def unknown(uid: int) -> None:
        raise KeyError(uid)

    monkeypatch.delenv("HOME")
    monkeypatch.setattr(pwd, "getpwuid", unknown)
    with pytest.raises(PermanentStartError, match=r"`~/models` cannot be found: .*give an absolute path"):
        fetch("org/model", cache_dir="~/models")
    assert DEFAULT_CACHE.startswith("~")


def test_a_home_that_can_be_written_is_used(hub, temporary, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    fetched = fetch("org/model", endpoint=hub.endpoint)
    assert fetched.folder == tmp_path / "home/.cache/podium/org--model" / COMMIT


RANK = """
import pwd, sys
def unknown(uid): raise KeyError(uid)
pwd.getpwuid = unknown
from podium.cli import main
from podium.loading import load_model
from podium.settings import Settings
load_model(Settings())
sys.argv = ["podium", "rank", "panda", "--json"]
main()
"""


def test_the_builtin_model_is_served_and_ranks_under_a_user_without_name_or_home(tmp_path):
    environment = {
        name: value for name, value in os.environ.items() if name not in ("HOME", "USER", "LOGNAME")
    }
    ended = subprocess.run(
        [sys.executable, "-c", RANK],
        env=environment,
        cwd=tmp_path,
        input=b"a bear\na car\n",
        capture_output=True,
        timeout=120,
    )
    assert ended.returncode == 0, ended.stderr.decode()
    assert b"bear" in ended.stdout
