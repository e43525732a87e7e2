"""The environments of the clients: built once, anew when a version changes, and never in part."""

from pathlib import Path

import pytest
from clients.environments import CannotBuild, python_of


def test_an_environment_is_kept_until_its_requirements_change(tmp_path: Path) -> None:
    requirements = tmp_path / "some.txt"
    requirements.write_text("# nothing\n")
    python = python_of(requirements, tmp_path)
    (trace := python.parent / "trace").touch()
    assert python_of(requirements, tmp_path) == python
    assert trace.exists()
    requirements.write_text("# nothing else\n")
    assert python_of(requirements, tmp_path) == python
    assert python.exists()
    assert not trace.exists()


def test_what_cannot_be_installed_is_told_in_the_words_of_pip_and_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    (tmp_path / "some.txt").write_text("no-such-package==1.0\n")
    for _ in range(2):
        with pytest.raises(CannotBuild, match=r"ERROR: .*no-such-package"):
            python_of(tmp_path / "some.txt", tmp_path)
