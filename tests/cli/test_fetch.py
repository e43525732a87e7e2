"""The executable itself, as the operator's Job runs it."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from hub import COMMIT, Hub, Refusal
from prometheus_client.parser import text_string_to_metric_families

from podium.models.linear.int8 import largest_weight
from podium.weights.source import BUILTIN

PODIUM = Path(sys.executable).with_name("podium")
FILES = {path.name: path.read_bytes() for path in BUILTIN.iterdir()}
SIZE = sum(map(len, FILES.values()))
WEIGHTS = len(FILES["model.safetensors"])
GATED = {"X-Error-Code": "GatedRepo"}


@pytest.fixture
def hub() -> Iterator[Hub]:
    with Hub(FILES) as hub:
        yield hub


def command(hub: Hub, folder: Path, *arguments: str, **environment: str) -> dict[str, object]:
    """What subprocess takes to run `podium fetch org/model` with no setting but these."""
    base = {
        name: value
        for name, value in os.environ.items()
        if not name.lower().endswith("_proxy") and not name.startswith(("PODIUM_", "HF_"))
    }
    own = {"HF_ENDPOINT": hub.endpoint, "HF_TOKEN": "hf_secret", "HF_HOME": str(folder)}
    options = ["--cache-dir", str(folder / "cache"), "--termination-log", str(folder / "log"), *arguments]
    return {
        "args": [PODIUM, "fetch", "org/model", *options],
        "env": base | own | environment,
        "cwd": folder,
        "stdout": subprocess.PIPE,
        "stderr": subprocess.PIPE,
        "text": True,
    }


def fetch(
    hub: Hub, folder: Path, *arguments: str, **environment: str
) -> tuple[subprocess.CompletedProcess[str], dict[str, object]]:
    """Run `podium fetch org/model`; return how it ended and its termination log."""
    ended = subprocess.run(**command(hub, folder, *arguments, **environment), timeout=60, check=False)
    assert "hf_secret" not in ended.stdout + ended.stderr
    log = folder / "log"
    return ended, json.loads(log.read_bytes()) if log.exists() else {}


def test_success_prints_the_folder_and_leaves_commit_and_bytes_in_the_log(hub, tmp_path):
    ended, log = fetch(hub, tmp_path)
    folder = tmp_path / "cache" / "org--model" / COMMIT
    assert (ended.returncode, ended.stdout) == (0, f"{folder}\n")
    assert (folder / ".podium-complete").is_file()
    assert log == {
        "reason": None,
        "message": f"org/model at {COMMIT} is complete, 19.7 MB",
        "httpStatus": None,
        "bytes": SIZE,
        "resolvedRevision": COMMIT,
    }
    lines = ended.stderr.splitlines()
    assert lines[-2:] == [
        "podium: org/model: 19.7 MB of 19.7 MB",
        f"podium: org/model at {COMMIT} is complete, 19.7 MB",
    ]
    assert len(lines) <= 12


def test_with_int8_the_scales_lie_beside_the_model_and_what_is_complete_gets_them_too(hub, tmp_path):
    if largest_weight() is None:
        pytest.skip("needs a processor on which oneDNN's products of 8-bit integers are exact")
    fetch(hub, tmp_path)
    ended, log = fetch(hub, tmp_path, "--dtype", "int8", PODIUM_OFFLINE="true")
    folder = tmp_path / "cache" / "org--model" / COMMIT
    assert (ended.returncode, ended.stdout) == (0, f"{folder}\n")
    assert ended.stderr.splitlines()[-1] == f"podium: int8: the scales lie in {folder / '.podium-int8'}"
    assert (folder / ".podium-int8").is_file()
    assert (log["bytes"], log["resolvedRevision"]) == (SIZE, COMMIT)


def test_a_download_without_scales_is_good_all_the_same(hub, tmp_path):
    ended, log = fetch(hub, tmp_path, "--exclude", "tokenizer*", PODIUM_DTYPE="int8")
    assert (ended.returncode, log["reason"], log["resolvedRevision"]) == (0, None, COMMIT)
    assert "podium: int8: a start takes the scales itself: " in ended.stderr
    assert list(tmp_path.glob("cache/*/*/.podium-int8")) == []


def test_what_is_complete_ends_the_same_way_without_a_network(hub, tmp_path):
    ended, log = fetch(hub, tmp_path)
    hub.requests.clear()
    again, same_log = fetch(hub, tmp_path, PODIUM_OFFLINE="true")
    assert (again.returncode, again.stdout, same_log) == (0, ended.stdout, log)
    assert hub.requests == []


@pytest.mark.parametrize(
    ("refusal", "code", "reason"),
    [
        pytest.param(Refusal(401), 42, "Unauthorized", id="401"),
        pytest.param(Refusal(403), 42, "Unauthorized", id="403"),
        pytest.param(Refusal(403, "/resolve/", GATED), 42, "GatedModel", id="403 gated"),
        pytest.param(Refusal(404), 42, "ModelNotFound", id="404"),
        pytest.param(Refusal(407), 75, "ProxyFailure", id="407"),
        pytest.param(Refusal(429), 75, "RateLimited", id="429"),
        pytest.param(Refusal(500), 75, "HubUnavailable", id="500"),
        pytest.param(Refusal(503, "/model.safetensors"), 75, "HubUnavailable", id="503 of a file"),
    ],
)
def test_a_refusal_ends_with_its_exit_code_reason_and_status(hub, tmp_path, refusal, code, reason):
    hub.refusals = [refusal]
    ended, log = fetch(hub, tmp_path)
    assert ended.returncode == code
    assert list(log) == ["reason", "message", "httpStatus", "bytes", "resolvedRevision"]
    assert (log["reason"], log["httpStatus"]) == (reason, refusal.status)
    assert ended.stderr.splitlines()[-1] == f"podium: {reason}: {log['message']}"
    assert ended.stdout == ""


@pytest.mark.parametrize(
    ("environment", "reason", "message"),
    [
        pytest.param({"HF_ENDPOINT": "http://127.0.0.1:9"}, "HubUnavailable", "refused", id="nobody there"),
        pytest.param(
            {"HF_ENDPOINT": "http://hub.invalid"}, "HubUnavailable", "check the network, DNS", id="DNS"
        ),
        pytest.param(
            {"HTTP_PROXY": "http://u:pass@127.0.0.1:9"}, "ProxyFailure", "check HTTPS_PROXY", id="proxy"
        ),
        pytest.param({"HF_ENDPOINT": "https"}, "TLSFailure", "set SSL_CERT_FILE", id="TLS"),
    ],
)
def test_a_hub_that_cannot_be_reached_is_tried_again_later(hub, tmp_path, environment, reason, message):
    if environment.get("HF_ENDPOINT") == "https":  # the hub speaks no TLS
        environment = {"HF_ENDPOINT": hub.endpoint.replace("http://", "https://")}
    ended, log = fetch(hub, tmp_path, **environment)
    assert (ended.returncode, log["reason"]) == (75, reason)
    assert message in log["message"]
    assert "pass" not in ended.stderr


def test_a_cut_download_ends_with_75_and_is_resumed_by_the_next_process(hub, tmp_path):
    hub.cuts = [("model.safetensors", 5_000_000), *[("model.safetensors", 0)] * 3]
    ended, log = fetch(hub, tmp_path)
    assert (ended.returncode, log["reason"]) == (75, "HubUnavailable")
    hub.requests.clear()
    ended, log = fetch(hub, tmp_path)
    assert (ended.returncode, log["reason"]) == (0, None)
    assert [request.range for request in hub.served("model.safetensors")] == ["bytes=5000000-"] * 2


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as free:
        return int(free.getsockname()[1])


def metrics(port: int) -> dict[str, float]:
    """What a download tells now; nothing where nobody answers yet."""
    try:
        text = urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10).read().decode()
    except OSError:
        return {}
    return {
        sample.name: sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def test_metrics_tell_bytes_and_files_while_a_download_runs_and_end_with_it(hub, tmp_path):
    hub.hangs = {"/model.safetensors": 5_000_000}
    port = free_port()
    with subprocess.Popen(**command(hub, tmp_path, PODIUM_METRICS_PORT=str(port))) as process:
        while (told := metrics(port)).get("podium_download_bytes", 0) < 4_000_000:
            assert process.poll() is None
            time.sleep(0.02)
        process.kill()
    assert told["podium_download_bytes"] <= SIZE - WEIGHTS + 5_000_000
    del told["podium_download_bytes"]
    before = list(FILES).index("model.safetensors")
    assert told == {
        "podium_download_wanted_bytes": SIZE,
        "podium_download_files": before,
        "podium_download_wanted_files": len(FILES),
    }
    assert metrics(port) == {}


def test_a_scraper_that_holds_its_connection_open_holds_no_download_up(hub, tmp_path):
    hub.hangs = {"/model.safetensors": 5_000_000}
    port = free_port()
    with subprocess.Popen(**command(hub, tmp_path, "--metrics-port", str(port))) as process:
        while not metrics(port):
            assert process.poll() is None
            time.sleep(0.02)
        with socket.create_connection(("127.0.0.1", port)):
            process.terminate()
            assert process.wait(10) == 143


def test_a_port_that_is_taken_is_told_and_the_download_goes_on(hub, tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        ended, log = fetch(hub, tmp_path, "--metrics-port", str(port))
    assert (ended.returncode, log["reason"]) == (0, None)
    assert f"podium: port {port}: " in ended.stderr
    assert "the download goes on without metrics" in ended.stderr


@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_a_process_that_is_killed_leaves_no_model_and_its_bytes_for_the_next(hub, tmp_path, end):
    hub.hangs = {"/model.safetensors": 5_000_000}
    # what a shell runs in the background begins with SIGINT ignored, and would hand that on
    signal.signal(signal.SIGINT, signal.default_int_handler)
    with subprocess.Popen(**command(hub, tmp_path)) as process:
        while not any(part.stat().st_size >= 4_000_000 for part in tmp_path.glob("cache/*/.podium-*/*.part")):
            assert process.poll() is None
            time.sleep(0.02)
        process.send_signal(end)
        assert process.wait(10) != 0
    assert not (tmp_path / "cache" / "org--model" / COMMIT).exists()
    hub.hangs = {}
    hub.requests.clear()
    assert fetch(hub, tmp_path)[0].returncode == 0
    begin = hub.served("model.safetensors")[0].range
    assert begin is not None
    assert int(begin.removeprefix("bytes=").removesuffix("-")) >= 4_000_000


def test_a_download_hears_sigterm_as_process_1_of_a_container_too(hub, tmp_path):
    """Its exit code is its own: the kernel ends no process 1 that has no handler."""
    hub.hangs = {"/model.safetensors": 1}
    with subprocess.Popen(**command(hub, tmp_path)) as process:
        while not list(tmp_path.glob("cache/*/.podium-*/*.part")):
            assert process.poll() is None
            time.sleep(0.02)
        process.terminate()
        assert process.wait(10) == 128 + signal.SIGTERM


def test_a_hub_that_never_answers_is_given_up(hub, tmp_path):
    hub.hangs = {"/api/models/org/model": 0}
    ended, log = fetch(hub, tmp_path, HF_HUB_ETAG_TIMEOUT="1")
    assert (ended.returncode, log["reason"]) == (75, "HubUnavailable")
    assert "timed out" in str(log["message"])


def test_a_dotfile_counts_where_no_flag_or_variable_says_otherwise(hub, tmp_path):
    (tmp_path / ".env").write_text("PODIUM_OFFLINE=true\n")
    ended, log = fetch(hub, tmp_path)
    assert (ended.returncode, log["reason"], hub.requests) == (42, "ModelNotFound", [])
    assert fetch(hub, tmp_path, PODIUM_OFFLINE="false")[0].returncode == 0


def test_a_wrong_checksum_ends_with_42_and_leaves_nothing_to_serve(hub, tmp_path):
    hub.forged = {"model.safetensors": b"\1" * WEIGHTS}
    ended, log = fetch(hub, tmp_path)
    assert (ended.returncode, log["reason"]) == (42, "ChecksumMismatch")
    assert list(tmp_path.glob("cache/*/*/.podium-complete")) == []


def test_a_model_that_is_too_large_ends_with_75_before_it_is_downloaded(hub, tmp_path):
    ended, log = fetch(hub, tmp_path, "--max-bytes", "1000000")
    assert (ended.returncode, log["reason"], log["bytes"]) == (75, "NoSpace", SIZE)
    assert hub.served("model.safetensors") == []


def test_folder_revision_and_patterns_are_what_the_options_say(hub, tmp_path):
    hub.branches["v1"] = "f" * 40
    options = ["--revision", "v1", "--include", "*.json", "--include", "*.md", "--exclude", "token*"]
    ended, log = fetch(hub, tmp_path, "--to", "here", *options)
    assert (ended.stdout, log["resolvedRevision"]) == (f"{tmp_path / 'here'}\n", "f" * 40)
    assert sorted(path.name for path in (tmp_path / "here").iterdir()) == [
        ".podium-complete",
        "README.md",
        "config.json",
    ]


def test_a_log_that_cannot_be_written_does_not_change_the_outcome(hub, tmp_path):
    ended, _ = fetch(hub, tmp_path, "--termination-log", "/no/such/folder/log")
    assert ended.returncode == 0
    assert (
        "podium: cannot write the termination log /no/such/folder/log: No such file or directory"
        in ended.stderr
    )
