"""What a marker says is not believed: it names files inside of its folder, and they are what was fetched."""

import os
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from hub import Hub

from podium import loading
from podium.errors import PermanentStartError, Reason, StartError
from podium.settings import Settings
from podium.weights import marker
from podium.weights.fetch import fetch, verify
from podium.weights.source import BUILTIN

FILES = {path.name: path.read_bytes() for path in BUILTIN.iterdir()}
CODE = {"modeling.py": b"class Model: ...\n", "config.json": b"{}", "model.safetensors": b"weights"}


@pytest.fixture
def hub() -> Iterator[Hub]:
    with Hub(FILES) as hub:
        yield hub


@pytest.fixture
def secret(tmp_path) -> Path:
    """A file outside of every model's folder."""
    (tmp_path / "outside").mkdir()
    path = tmp_path / "outside" / "secret"
    path.write_bytes(b"secret")
    return path


def remark(folder: Path, **changes: object) -> None:
    """Change what a marker says."""
    found = marker.read(folder)
    assert found is not None
    (folder / marker.NAME).write_bytes(msgspec.json.encode(msgspec.structs.replace(found, **changes)))


@pytest.mark.parametrize(
    "name", ["../outside/secret", "{absolute}", "a/../../outside/secret", ".", "", "a\\b", "c:d"]
)
def test_a_marker_that_names_a_file_outside_is_none_and_nothing_is_deleted(hub, tmp_path, secret, name):
    folder = fetch("org/model", cache_dir=tmp_path / "cache", endpoint=hub.endpoint).folder
    named = name.format(absolute=secret)
    remark(folder, files={**marker.read(folder).files, named: "0" * 64, "missing": "0" * 64})
    assert marker.read(folder) is None
    with pytest.raises(StartError, match=r"is not empty and has no \.podium-complete"):
        fetch("org/model", cache_dir=tmp_path / "cache", endpoint=hub.endpoint)
    assert secret.read_bytes() == b"secret"


def test_a_file_that_is_a_link_out_of_the_cache_does_not_count_as_there(hub, tmp_path, secret):
    folder = fetch("org/model", cache_dir=tmp_path / "cache", endpoint=hub.endpoint).folder
    (folder / "config.json").unlink()
    (folder / "config.json").symlink_to(secret)
    assert marker.read(folder).size(folder) is None
    again = fetch("org/model", cache_dir=tmp_path / "cache", endpoint=hub.endpoint)
    assert (again.folder / "config.json").read_bytes() == FILES["config.json"]
    assert not (again.folder / "config.json").is_symlink()
    assert secret.read_bytes() == b"secret"


def test_a_folder_of_a_damaged_cache_that_is_a_link_is_not_emptied(tmp_path, secret):
    with Hub({**FILES, "sub/secret": b"public"}) as hub:
        options = {"cache_dir": tmp_path / "cache", "endpoint": hub.endpoint, "include": ["*"]}
        folder = fetch("org/model", **options).folder
        (folder / "sub" / "secret").unlink()
        (folder / "sub").rmdir()
        (folder / "sub").symlink_to(secret.parent)
        with pytest.raises(StartError):
            fetch("org/model", **options)
    assert secret.read_bytes() == b"secret"


@pytest.mark.parametrize("what", ["the file", "its folder", "what came of it"])
def test_a_download_does_not_write_through_links(tmp_path, secret, what):
    with Hub({**FILES, "sub/secret": b"public" * 1000}) as hub:
        options = {"cache_dir": tmp_path / "cache", "endpoint": hub.endpoint, "include": ["*"]}
        staging = _staging(tmp_path, options)
        match what:
            case "the file":
                (staging / "config.json").symlink_to(secret)
            case "its folder":
                (staging / "sub").symlink_to(secret.parent)
            case "what came of it":
                (staging / "sub").mkdir()
                (staging / "sub" / f"secret.{_etag(hub, 'sub/secret')[:16]}.part").symlink_to(secret)
        folder = fetch("org/model", **options).folder
    assert (folder / "sub" / "secret").read_bytes() == b"public" * 1000
    assert secret.read_bytes() == b"secret"


def _etag(hub: Hub, name: str) -> str:
    from podium.weights.hub import Hub as Client

    client = Client("org/model", hub.endpoint)
    return client.describe(client.listing(None).commit, [name])[0].etag


def _staging(tmp_path: Path, options: dict) -> Path:
    """The folder in which the download will be put together."""
    seen: list[Path] = []
    made = Path.mkdir

    def mkdir(self: Path, *more: object, **named: object) -> None:
        if self.name.startswith(".podium-"):
            seen.append(self)
            raise PermissionError(13, "held", str(self))
        made(self, *more, **named)

    Path.mkdir = mkdir
    try:
        with pytest.raises(StartError):
            fetch("org/model", **options)
    finally:
        Path.mkdir = made
    seen[0].mkdir(parents=True)
    return seen[0]


def test_a_model_folder_that_is_a_link_is_no_part_of_the_cache(hub, tmp_path):
    elsewhere = fetch("org/model", to=tmp_path / "elsewhere", endpoint=hub.endpoint).folder
    home = tmp_path / "cache" / "org--model"
    home.mkdir(parents=True)
    (home / "link").symlink_to(elsewhere)
    assert list(marker.folders(home)) == []


# Code that is run.


@pytest.fixture
def coded(tmp_path):
    """A fetched model with code of its own."""
    with Hub(CODE) as hub:
        yield fetch("org/model", to=tmp_path / "model", endpoint=hub.endpoint)


def change(path: Path, content: bytes, when: float | None = None) -> None:
    before = path.stat() if path.exists() else None
    path.write_bytes(content)
    if before is not None:
        os.utime(path, (before.st_atime, before.st_mtime if when is None else when))


def test_what_was_fetched_passes(coded):
    verify(coded)


def test_a_copy_of_what_was_fetched_passes_whatever_its_dates_are(coded):
    for number, path in enumerate(coded.folder.iterdir()):
        os.utime(path, (number, 10**9 * number))
    verify(coded)


@pytest.mark.parametrize(
    ("name", "content", "when"),
    [
        pytest.param("modeling.py", b"class Model: 666\n", None, id="code, its size and date kept"),
        pytest.param("added.py", b"import os\n", None, id="code that nobody fetched"),
        pytest.param("model.safetensors", b"Weights", 2e9, id="weights, by date"),
        pytest.param("model.safetensors", b"more weights", None, id="weights, by size"),
    ],
)
def test_what_was_changed_since_is_refused_by_name(coded, name, content, when):
    change(coded.folder / name, content, when)
    with pytest.raises(PermanentStartError, match=f"{name} is not what was fetched") as error:
        verify(coded)
    assert error.value.reason is Reason.CHECKSUM_MISMATCH


@pytest.mark.parametrize("trusted", [True, False])
def test_whoever_loads_a_model_looks_at_code_that_would_run(coded, monkeypatch, trusted):
    """Serving, `podium rank` and `podium inspect` load by the same function."""
    loaded: list[object] = []
    monkeypatch.setattr(loading, "load", lambda folder, **_: loaded.append(folder))
    (coded.folder / "modeling.py").write_bytes(b"import os\n")
    settings = Settings(model=str(coded.folder), trust_remote_code=trusted, revision="0" * 40)
    if trusted:
        with pytest.raises(PermanentStartError, match=r"modeling\.py is not what was fetched"):
            loading.load_fetched(coded, settings)
    else:
        loading.load_fetched(coded, settings)
    assert bool(loaded) is not trusted


def test_a_folder_that_came_from_no_hub_is_its_owners(tmp_path):
    (tmp_path / "modeling.py").write_bytes(b"import os\n")
    verify(fetch(str(tmp_path)))
