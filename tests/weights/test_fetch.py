import hashlib
import json
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hub import COMMIT, Hub

from podium.errors import PermanentStartError, Reason, StartError, TemporaryStartError
from podium.weights.fetch import Downloaded, Fetched, fetch, verify
from podium.weights.source import BUILTIN

FILES = {path.name: path.read_bytes() for path in BUILTIN.iterdir()}
SIZE = sum(map(len, FILES.values()))


@pytest.fixture
def hub() -> Iterator[Hub]:
    with Hub({**FILES, "onnx/model.onnx": b"other", "pytorch_model.bin": b"pickle"}) as hub:
        yield hub


def contents(folder: Path) -> dict[str, bytes]:
    """Every file below a folder but the marker."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and path.name != ".podium-complete"
    }


def failing(hub: Hub, cache: Path, **options) -> StartError:
    """The error of a fetch that fails."""
    with pytest.raises(StartError) as error:
        fetch("org/model", cache_dir=cache, endpoint=hub.endpoint, **options)
    return error.value


def test_a_model_is_fetched_whole_and_marked(hub, tmp_path):
    fetched = fetch("org/model", cache_dir=tmp_path, endpoint=hub.endpoint)
    assert fetched == Fetched(tmp_path / "org--model" / COMMIT, COMMIT, SIZE)
    assert contents(fetched.folder) == FILES
    assert json.loads((fetched.folder / ".podium-complete").read_bytes()) == {
        "uri": "hf://org/model",
        "revision": COMMIT,
        "files": {name: hashlib.sha256(content).hexdigest() for name, content in FILES.items()},
        "asked": {"revision": None, "include": [], "exclude": []},
        "sizes": {name: len(content) for name, content in FILES.items()},
    }
    assert [path.name for path in (tmp_path / "org--model").iterdir()] == [COMMIT]


def test_the_token_goes_to_the_hub_and_to_no_host_that_it_redirects_to(hub, tmp_path):
    hub.token = "hf_secret"
    fetch("org/model", cache_dir=tmp_path, endpoint=hub.endpoint, token="hf_secret")
    elsewhere = [request for request in hub.requests if request.path == "/model.safetensors"]
    assert [request.authorization for request in elsewhere] == [None]
    assert {request.authorization for request in hub.requests if request not in elsewhere} == {
        "Bearer hf_secret"
    }


def test_progress_counts_the_bytes_and_files_of_the_whole_model(hub, tmp_path):
    seen: list[Downloaded] = []
    fetch(
        "org/model",
        cache_dir=tmp_path,
        endpoint=hub.endpoint,
        progress=seen.append,
    )
    number = len(FILES)
    assert seen[0] == Downloaded(0, SIZE, 0, number)
    assert seen[-1] == Downloaded(SIZE, SIZE, number, number)
    assert seen == sorted(seen)
    assert {each.files for each in seen} == {*range(number + 1)}


@pytest.mark.parametrize(
    ("first", "again"),
    [
        pytest.param({}, {}, id="no revision"),
        pytest.param({"revision": "v1"}, {"revision": "v1"}, id="a branch is looked up once"),
        pytest.param({}, {"revision": COMMIT}, id="its commit"),
        pytest.param({"revision": "v1"}, {}, id="no revision takes what is there"),
        pytest.param({"include": ["*.json"]}, {"include": ["*.json"]}, id="patterns"),
        pytest.param({"to": "here"}, {"to": "here"}, id="to"),
    ],
)
def test_what_is_complete_needs_no_network(hub, tmp_path, monkeypatch, first, again):
    monkeypatch.chdir(tmp_path)
    hub.branches["v1"] = COMMIT
    first, again = ({**of, **({"to": Path(of["to"])} if "to" in of else {})} for of in (first, again))
    fetched = fetch("org/model", cache_dir=tmp_path, endpoint=hub.endpoint, **first)
    hub.requests.clear()
    with no_socket():
        assert fetch("hf://org/model", cache_dir=tmp_path, endpoint=hub.endpoint, **again) == fetched
        assert fetch("org/model", cache_dir=tmp_path, offline=True, **again) == fetched
    assert hub.requests == []


def test_another_branch_is_looked_up_and_its_commit_is_not_downloaded_again(hub, tmp_path):
    hub.branches["v1"] = COMMIT
    fetched = fetch("org/model", cache_dir=tmp_path, endpoint=hub.endpoint)
    hub.requests.clear()
    assert fetch("org/model", "v1", cache_dir=tmp_path, endpoint=hub.endpoint) == fetched
    assert [request.path for request in hub.requests] == ["/api/models/org/model/revision/v1"]


def test_other_patterns_are_another_folder(hub, tmp_path):
    whole = fetch("org/model", cache_dir=tmp_path, endpoint=hub.endpoint)
    part = fetch(
        "org/model", cache_dir=tmp_path, endpoint=hub.endpoint, include=["*.json"], exclude=["token*"]
    )
    assert part.folder.parent == whole.folder.parent
    assert part.folder != whole.folder
    assert set(contents(part.folder)) == {"config.json"}
    assert contents(whole.folder) == FILES


@contextmanager
def no_socket() -> Iterator[None]:
    """Fail where this thread looks up a host or connects a socket."""
    watched = threading.get_ident()
    opened: list[str] = []

    def hook(event: str, _: tuple[object, ...]) -> None:
        if event in {"socket.connect", "socket.getaddrinfo"} and threading.get_ident() == watched:
            opened.append(event)

    sys.addaudithook(hook)  # there is no way to remove a hook: it falls silent by `watched`
    try:
        yield
    finally:
        watched = 0
    assert opened == []


@pytest.mark.parametrize(
    ("revision", "expected"),
    [pytest.param(None, "<commit>", id="no revision"), pytest.param(COMMIT, COMMIT, id="commit")],
)
def test_offline_opens_no_socket_and_names_the_folder_that_it_expected(hub, tmp_path, revision, expected):
    with no_socket():
        error = failing(hub, tmp_path, offline=True, revision=revision)
    assert isinstance(error, PermanentStartError)
    assert error.reason is Reason.MODEL_NOT_FOUND
    assert (
        f"hf://org/model is not complete in {tmp_path}/org--model/{expected}; run `podium fetch"
        in error.message
    )
    assert hub.requests == []


def test_too_large_a_model_is_refused_before_anything_is_downloaded(hub, tmp_path):
    error = failing(hub, tmp_path, max_bytes=SIZE - 1)
    assert isinstance(error, TemporaryStartError)
    assert (error.reason, error.bytes) == (Reason.NO_SPACE, SIZE)
    assert error.message == f"the model has {SIZE} bytes, the limit is {SIZE - 1}; raise it"
    assert hub.served("config.json") == []
    fetch("org/model", cache_dir=tmp_path, endpoint=hub.endpoint, max_bytes=SIZE)


def test_a_file_that_would_leave_the_folder_is_refused(hub, tmp_path):
    hub.files["../../evil.json"] = b"{}"
    assert "outside of the model's folder" in failing(hub, tmp_path / "cache").message
    assert list(tmp_path.iterdir()) == []


def test_to_takes_a_new_or_empty_folder_and_no_other(hub, tmp_path):
    (tmp_path / "empty").mkdir()
    for to in (tmp_path / "new" / "deep", tmp_path / "empty"):
        assert fetch("org/model", to=to, endpoint=hub.endpoint).folder == to
        assert contents(to) == FILES
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("years of work")
    error = failing(hub, tmp_path, to=tmp_path / "mine")
    assert error.reason is Reason.MODEL_LOAD_FAILED
    assert error.message.endswith(
        "mine is not empty and has no .podium-complete: name a folder that is new or empty"
    )
    assert contents(tmp_path / "mine") == {"thesis.txt": b"years of work"}


def test_a_folder_that_holds_another_model_is_not_overwritten(hub, tmp_path):
    fetch("org/model", to=tmp_path / "model", endpoint=hub.endpoint)
    hub.branches["v2"] = "f" * 40
    error = failing(hub, tmp_path, revision="v2", to=tmp_path / "model")
    assert f"holds hf://org/model at {COMMIT}" in error.message
    assert contents(tmp_path / "model") == FILES


def test_a_damaged_folder_is_fetched_again(hub, tmp_path):
    folder = fetch("org/model", cache_dir=tmp_path, endpoint=hub.endpoint).folder
    (folder / "model.safetensors").unlink()
    assert failing(hub, tmp_path, offline=True).reason is Reason.MODEL_NOT_FOUND
    assert fetch("org/model", cache_dir=tmp_path, endpoint=hub.endpoint).folder == folder
    assert contents(folder) == FILES


def test_scales_beside_a_model_stay_with_it_and_go_with_it(hub, tmp_path):
    folder = fetch("org/model", cache_dir=tmp_path, endpoint=hub.endpoint).folder
    (folder / ".podium-int8").write_bytes(b"scales")
    assert fetch("org/model", cache_dir=tmp_path, endpoint=hub.endpoint) == Fetched(folder, COMMIT, SIZE)
    verify(Fetched(folder, COMMIT, SIZE))
    assert (folder / ".podium-int8").exists()
    (folder / "model.safetensors").unlink()
    assert fetch("org/model", cache_dir=tmp_path, endpoint=hub.endpoint).folder == folder
    assert not (folder / ".podium-int8").exists()


def test_a_folder_that_cannot_be_made_is_said_at_once(hub, tmp_path):
    (tmp_path / "file").write_text("")
    error = failing(hub, tmp_path / "file" / "cache")
    assert isinstance(error, PermanentStartError)
    assert error.reason is Reason.MODEL_LOAD_FAILED
    assert "Not a directory; name a folder that can be written" in error.message


def test_two_at_once_download_once(hub, tmp_path):
    fetched: list[Fetched] = []
    threads = [
        threading.Thread(
            target=lambda: fetched.append(fetch("org/model", cache_dir=tmp_path, endpoint=hub.endpoint))
        )
        for _ in range(3)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert fetched == [Fetched(tmp_path / "org--model" / COMMIT, COMMIT, SIZE)] * 3
    assert len([request for request in hub.served("model.safetensors") if "/resolve/" in request.path]) == 1
    assert [path.name for path in (tmp_path / "org--model").iterdir()] == [COMMIT]


def test_builtin_and_folders_stay_where_they_are(tmp_path):
    assert fetch("builtin", offline=True) == Fetched(BUILTIN, None, SIZE)
    (tmp_path / "config.json").write_text("{}")
    assert fetch(str(tmp_path)) == Fetched(tmp_path, None, 2)
    with pytest.raises(PermanentStartError, match=r"`builtin` lies in .* already; use it there, or copy"):
        fetch("builtin", to=tmp_path)


def test_a_fetched_folder_keeps_its_revision_when_it_is_served_as_a_folder(hub, tmp_path):
    folder = fetch("org/model", to=tmp_path / "model", endpoint=hub.endpoint).folder
    assert fetch(str(folder)).revision == COMMIT
