from collections.abc import Iterator
from pathlib import Path

import pytest
from hub import COMMIT, Hub, Refusal

from podium.errors import PermanentStartError, Reason, StartError, TemporaryStartError
from podium.weights.fetch import fetch
from podium.weights.source import BUILTIN

FILES = {path.name: path.read_bytes() for path in BUILTIN.iterdir()}
WEIGHTS = len(FILES["model.safetensors"])


@pytest.fixture
def hub() -> Iterator[Hub]:
    with Hub(FILES) as hub:
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


def test_a_cut_connection_is_taken_up_where_it_ended(hub, tmp_path):
    hub.cuts = [("model.safetensors", 1_000_000), ("model.safetensors", 2_000_000)]
    fetched = fetch("org/model", cache_dir=tmp_path, endpoint=hub.endpoint)
    assert [request.range for request in hub.served("model.safetensors") if "/resolve/" in request.path] == [
        None,
        "bytes=1000000-",
        "bytes=3000000-",
    ]
    assert contents(fetched.folder) == FILES


def test_a_download_that_failed_is_resumed_by_the_next_try_and_nothing_verified_comes_twice(hub, tmp_path):
    hub.cuts = [("model.safetensors", 5_000_000), *[("model.safetensors", 0)] * 3]
    error = failing(hub, tmp_path)
    assert isinstance(error, TemporaryStartError)
    assert error.reason is Reason.HUB_UNAVAILABLE
    assert not (tmp_path / "org--model" / COMMIT).exists()
    before = hub.served("tokenizer.json")
    hub.requests.clear()
    fetched = fetch("org/model", cache_dir=tmp_path, endpoint=hub.endpoint)
    assert hub.served("model.safetensors")[0].range == "bytes=5000000-"
    assert len(before) + len(hub.served("tokenizer.json")) == 1
    assert contents(fetched.folder) == FILES
    assert [path.name for path in (tmp_path / "org--model").iterdir()] == [COMMIT]


def test_a_server_that_ignores_ranges_sends_the_file_anew(hub, tmp_path):
    hub.cuts = [("model.safetensors", 1_000_000)]
    hub.ignores_ranges = True
    assert contents(fetch("org/model", cache_dir=tmp_path, endpoint=hub.endpoint).folder) == FILES


@pytest.mark.parametrize(
    ("name", "content"),
    [
        pytest.param("model.safetensors", b"\1" * WEIGHTS, id="sha256"),
        pytest.param("config.json", b" " * len(FILES["config.json"]), id="git blob id"),
        pytest.param("model.safetensors", FILES["model.safetensors"] + b"more", id="longer than announced"),
        pytest.param("model.safetensors", FILES["model.safetensors"][:-9], id="shorter than announced"),
        pytest.param("config.json", b"", id="empty"),
    ],
)
def test_a_wrong_digest_fails_for_good_and_the_next_try_heals(hub, tmp_path, name, content):
    hub.forged = {name: content}
    error = failing(hub, tmp_path)
    assert isinstance(error, PermanentStartError)
    assert error.reason is Reason.CHECKSUM_MISMATCH
    assert f"org/model/{name} is not what the hub announced" in error.message
    assert not (tmp_path / "org--model" / COMMIT).exists()
    hub.forged = {}
    hub.requests.clear()
    assert contents(fetch("org/model", cache_dir=tmp_path, endpoint=hub.endpoint).folder) == FILES
    assert hub.served(name)[0].range is None


def test_the_rest_of_another_revision_is_not_appended(hub, tmp_path):
    hub.cuts = [("model.safetensors", 1_000_000), *[("model.safetensors", 0)] * 3]
    failing(hub, tmp_path)
    newer = {**FILES, "model.safetensors": b"new" * 1_000_000, "config.json": b"{}"}
    hub.files, hub.branches["main"] = newer, "f" * 40
    hub.requests.clear()
    fetched = fetch("org/model", cache_dir=tmp_path, endpoint=hub.endpoint)
    assert fetched.revision == "f" * 40
    assert hub.served("model.safetensors")[0].range is None
    assert contents(fetched.folder) == newer


@pytest.mark.parametrize(
    ("refusal", "reason"),
    [
        pytest.param(Refusal(401), Reason.UNAUTHORIZED, id="401"),
        pytest.param(
            Refusal(403, "/resolve/", {"X-Error-Code": "GatedRepo"}), Reason.GATED_MODEL, id="gated files"
        ),
        pytest.param(Refusal(404), Reason.MODEL_NOT_FOUND, id="404"),
        pytest.param(Refusal(429), Reason.RATE_LIMITED, id="429"),
        pytest.param(Refusal(500), Reason.HUB_UNAVAILABLE, id="500"),
        pytest.param(
            Refusal(503, content_host_only=True), Reason.HUB_UNAVAILABLE, id="503 of the content's host"
        ),
        pytest.param(
            Refusal(403, content_host_only=True), Reason.HUB_UNAVAILABLE, id="403 of the content's host"
        ),
        pytest.param(Refusal(200), Reason.HUB_UNAVAILABLE, id="an answer that is no hub's"),
        pytest.param(Refusal(200, "/resolve/"), Reason.HUB_UNAVAILABLE, id="no digests"),
    ],
)
def test_a_refusal_is_told_at_once_by_its_reason_and_its_end_heals(hub, tmp_path, refusal, reason):
    hub.refusals = [refusal]
    error = failing(hub, tmp_path)
    assert error.reason is reason
    assert error.http_status in {refusal.status, None}
    hub.refusals = []
    assert contents(fetch("org/model", cache_dir=tmp_path, endpoint=hub.endpoint).folder) == FILES


def test_a_revision_that_is_not_there_is_named(hub, tmp_path):
    assert "org/model has no revision `v9`" in failing(hub, tmp_path, revision="v9").message


@pytest.mark.parametrize("commit", ["../../../evil", "main", "F" * 40, ""])
def test_a_commit_that_is_none_is_not_taken_for_a_folder(hub, tmp_path, commit):
    hub.branches["main"] = commit
    error = failing(hub, tmp_path)
    assert error.reason is Reason.HUB_UNAVAILABLE
    assert "does not answer as a hub does" in error.message
    assert list(tmp_path.iterdir()) == []
