"""A model that the hub's own tools have fetched is used where it lies, or copied from there."""

import hashlib
import json
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from hub import COMMIT, Hub
from huggingface_hub import constants

from podium.errors import PermanentStartError, Reason, StartError
from podium.weights.fetch import Fetched, fetch
from podium.weights.source import BUILTIN

FILES = {path.name: path.read_bytes() for path in BUILTIN.iterdir()}
SIZE = sum(map(len, FILES.values()))


def blob(content: bytes, name: str) -> str:
    if name.endswith(".safetensors"):
        return hashlib.sha256(content).hexdigest()
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


def keep(cache: Path, files: dict[str, bytes], *, branch: str = "main") -> Path:
    """Lay files into a cache as the hub's tools do; return the snapshot."""
    home = cache / "models--org--model"
    (home / "blobs").mkdir(parents=True, exist_ok=True)
    (home / "refs").mkdir(exist_ok=True)
    (home / "refs" / branch).write_text(COMMIT)
    snapshot = home / "snapshots" / COMMIT
    snapshot.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        path = home / "blobs" / blob(content, name)
        path.write_bytes(content)
        (snapshot / name).symlink_to(f"../../blobs/{path.name}")
    return snapshot


@pytest.fixture
def cache(tmp_path, monkeypatch) -> Path:
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    return tmp_path / "hub"


@pytest.fixture
def no_network(monkeypatch) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("a socket was opened")

    monkeypatch.setattr(socket, "socket", refuse)


def listing(folder: Path) -> dict[str, tuple[int, int]]:
    return {str(path): (path.lstat().st_mtime_ns, path.lstat().st_size) for path in folder.rglob("*")}


@pytest.mark.parametrize("offline", [True, False])
@pytest.mark.parametrize("revision", [None, "main", COMMIT])
@pytest.mark.usefixtures("no_network")
def test_a_whole_model_is_used_where_it_lies_and_nothing_is_written(cache, tmp_path, offline, revision):
    snapshot = keep(cache, FILES)
    before = listing(cache)
    fetched = fetch("org/model", revision, cache_dir=tmp_path / "own", offline=offline)
    assert fetched == Fetched(snapshot, COMMIT, SIZE)
    assert listing(cache) == before
    assert not (tmp_path / "own").exists()


@pytest.mark.parametrize("lacking", ["config.json", "tokenizer.json", "model.safetensors"])
@pytest.mark.usefixtures("no_network")
def test_a_model_that_is_not_whole_is_none(cache, tmp_path, lacking):
    keep(cache, {name: content for name, content in FILES.items() if name != lacking})
    with pytest.raises(PermanentStartError, match="offline, and hf://org/model is not complete") as error:
        fetch("org/model", cache_dir=tmp_path / "own", offline=True)
    assert error.value.reason is Reason.MODEL_NOT_FOUND


@pytest.mark.parametrize("there", [1, 2])
@pytest.mark.usefixtures("no_network")
def test_weights_in_parts_are_whole_when_all_parts_are_there(cache, tmp_path, there):
    parts = {f"model-{n}-of-2.safetensors": b"part %d" % n for n in (1, 2)}
    index = {"weight_map": {f"layer.{n}": name for n, name in enumerate(parts)}}
    files = {name: content for name, content in FILES.items() if name != "model.safetensors"}
    files["model.safetensors.index.json"] = json.dumps(index).encode()
    files |= dict(list(parts.items())[:there])
    keep(cache, files)
    if there == 2:
        assert fetch("org/model", cache_dir=tmp_path / "own", offline=True).revision == COMMIT
    else:
        with pytest.raises(PermanentStartError):
            fetch("org/model", cache_dir=tmp_path / "own", offline=True)


@pytest.mark.usefixtures("no_network")
def test_a_link_that_leads_nowhere_or_out_of_the_cache_is_not_followed(cache, tmp_path):
    snapshot = keep(cache, FILES)
    (snapshot / "config.json").unlink()
    (tmp_path / "elsewhere").write_bytes(FILES["config.json"])
    for target in (tmp_path / "nowhere", tmp_path / "elsewhere"):
        (snapshot / "config.json").symlink_to(target)
        with pytest.raises(PermanentStartError):
            fetch("org/model", cache_dir=tmp_path / "own", offline=True)
        (snapshot / "config.json").unlink()


@pytest.mark.usefixtures("no_network")
def test_code_that_is_not_what_its_name_says_is_not_used(cache, tmp_path):
    snapshot = keep(cache, {**FILES, "modeling.py": b"class Model: ...\n"})
    assert fetch("org/model", cache_dir=tmp_path / "own", offline=True).folder == snapshot
    (snapshot / "modeling.py").resolve().write_bytes(b"import os\n")
    with pytest.raises(PermanentStartError):
        fetch("org/model", cache_dir=tmp_path / "own", offline=True)


@pytest.mark.usefixtures("no_network")
def test_a_branch_that_leaves_the_cache_names_no_commit(cache, tmp_path):
    keep(cache, FILES)
    (tmp_path / "commit").write_text(COMMIT)
    with pytest.raises(StartError):
        fetch("org/model", "../../../commit", cache_dir=tmp_path / "own", offline=True)


@pytest.fixture
def hub() -> Iterator[Hub]:
    with Hub(FILES) as hub:
        yield hub


def test_fetch_takes_what_is_there_and_downloads_the_rest(hub, cache, tmp_path):
    keep(cache, {name: FILES[name] for name in ("model.safetensors", "tokenizer.json")})
    fetched = fetch("org/model", to=tmp_path / "to", endpoint=hub.endpoint)
    assert {name: (fetched.folder / name).read_bytes() for name in FILES} == FILES
    assert not any(path.is_symlink() for path in fetched.folder.iterdir())
    asked = {request.path.rpartition("/")[2] for request in hub.requests if request.method == "GET"}
    assert "config.json" in asked
    assert not asked & {"model.safetensors", "tokenizer.json"}


def test_what_is_there_and_damaged_is_downloaded(hub, cache, tmp_path):
    snapshot = keep(cache, FILES)
    (snapshot / "model.safetensors").resolve().write_bytes(b"damaged")
    fetched = fetch("org/model", to=tmp_path / "to", endpoint=hub.endpoint)
    assert (fetched.folder / "model.safetensors").read_bytes() == FILES["model.safetensors"]


@pytest.mark.usefixtures("no_network")
def test_fetch_copies_with_no_network(cache, tmp_path):
    keep(cache, FILES)
    fetched = fetch("org/model", to=tmp_path / "to", offline=True)
    assert (fetched.folder, fetched.revision) == (tmp_path / "to", COMMIT)
    assert {name: (fetched.folder / name).read_bytes() for name in FILES} == FILES
    assert fetch("org/model", to=tmp_path / "to", offline=True) == fetched


@pytest.mark.usefixtures("no_network")
def test_a_damaged_file_is_not_copied(cache, tmp_path):
    snapshot = keep(cache, FILES)
    (snapshot / "model.safetensors").resolve().write_bytes(b"damaged")
    with pytest.raises(PermanentStartError, match="is not what its name says") as error:
        fetch("org/model", to=tmp_path / "to", offline=True)
    assert error.value.reason is Reason.CHECKSUM_MISMATCH
    assert not (tmp_path / "to").exists()
