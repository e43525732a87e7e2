"""The wheel holds all that the sources hold, and serves in an environment that has nothing else of ours."""

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import sysconfig
import tarfile
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PATIENCE_S = 120


def build(kind: str, source: Path, to: Path) -> Path:
    """Build a wheel or an sdist, for a commit of one and the same second."""
    pytest.importorskip("hatchling", reason="needs hatchling: pip install -e '.[dev]'")
    command = [sys.executable, "-m", "hatchling", "build", "-t", kind, "-d", str(to)]
    environment = {**os.environ, "SOURCE_DATE_EPOCH": "1795800000"}
    subprocess.run(command, cwd=source, env=environment, check=True, capture_output=True)
    (built,) = to.iterdir()
    return built


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build("wheel", ROOT, tmp_path_factory.mktemp("wheel"))


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder in which the wheel is installed and nothing else."""
    site = tmp_path_factory.mktemp("site")
    command = [
        "-m",
        "pip",
        "install",
        "--quiet",
        "--no-deps",
        "--no-index",
        "--target",
        str(site),
        str(wheel),
    ]
    subprocess.run([sys.executable, *command], check=True, capture_output=True)
    return site


def start(installed: Path, *command: str | Path, **settings: str) -> subprocess.Popen[str]:
    """Start Python where the wheel is installed, beside the packages here and none of their `.pth` files."""
    paths = [str(installed), *{sysconfig.get_path("purelib"), sysconfig.get_path("platlib")}]
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("PODIUM_", "PYTHON"))}
    return subprocess.Popen(
        [sys.executable, "-S", *command],
        cwd=installed,
        env={**clean, "PYTHONPATH": os.pathsep.join(paths), **settings},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def test_the_wheel_has_every_file_of_both_packages(wheel: Path) -> None:
    tracked = subprocess.run(
        ["git", "ls-files", "-z", "service/podium", "operator/podium_operator"], cwd=ROOT, capture_output=True
    )
    if tracked.returncode:
        pytest.skip("needs git and a clone: it knows which files are sources")
    wanted = {name.partition("/")[2] for name in tracked.stdout.decode().split("\0") if name}
    with zipfile.ZipFile(wheel) as archive:
        names = {name for name in archive.namelist() if ".dist-info/" not in name}
    assert names >= wanted
    assert "podium/builtin/model.safetensors" in names


def test_the_sdist_builds_the_same_wheel(wheel: Path, tmp_path: Path) -> None:
    sdist = build("sdist", ROOT, tmp_path / "sdist")
    with tarfile.open(sdist) as archive:
        archive.extractall(tmp_path / "source", filter="data")
    (source,) = (tmp_path / "source").iterdir()
    again = build("wheel", source, tmp_path / "again")
    assert again.name == wheel.name
    assert again.read_bytes() == wheel.read_bytes()


@pytest.fixture(scope="module")
def port(installed: Path) -> Iterator[int]:
    """Serve from the wheel; afterwards it ends in good order."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        number: int = free.getsockname()[1]
    program = installed / "bin" / "podium"
    served = start(installed, program, "serve", PODIUM_HOST="127.0.0.1", PODIUM_PORT=str(number))
    end = time.monotonic() + PATIENCE_S
    try:
        while get(number, "/readyz")[0] != 200:
            assert served.poll() is None, "it ended"
            assert time.monotonic() < end, "it is not ready"
            time.sleep(0.1)
        yield number
    finally:
        served.send_signal(signal.SIGTERM)
        said = served.communicate(timeout=PATIENCE_S)[0]
        assert served.returncode == 0, said


def get(port: int, path: str, method: str = "GET", body: str = "", **headers: str) -> tuple[int, bytes]:
    """Return status and body of an answer; 0 where nobody listens."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE_S)
    try:
        connection.request(method, path, body, headers)
        answer = connection.getresponse()
        return answer.status, answer.read()
    except ConnectionError:
        return 0, b""
    finally:
        connection.close()


def test_the_installed_service_ranks_with_the_built_in_model(port: int) -> None:
    body = json.dumps(
        {"query": "What do pandas eat?", "documents": ["Paris is in France.", "Pandas eat bamboo."]}
    )
    status, answer = get(port, "/v2/rerank", "POST", body, **{"content-type": "application/json"})
    assert status == 200
    assert [each["index"] for each in json.loads(answer)["results"]] == [1, 0]


def test_the_installed_service_has_its_page_and_documents(port: int) -> None:
    for path in ("/", "/docs"):
        status, answer = get(port, path, Accept="text/html")
        assert status == 200
        assert b"<html" in answer


def test_the_installed_operator_and_its_version_are_those_of_the_wheel(installed: Path) -> None:
    code = (
        "import importlib.metadata, podium, podium_operator.resource.crd as crd;"
        "print(podium.__file__, crd.__file__, importlib.metadata.version('podium-rerank'));"
        "assert 'rerankers.podium.sh' in crd.crd_yaml()"
    )
    said, _ = start(installed, "-c", code).communicate(timeout=PATIENCE_S)
    service, operator, version = said.split()
    assert Path(service).is_relative_to(installed)
    assert Path(operator).is_relative_to(installed)
    assert f'version = "{version}"' in (ROOT / "pyproject.toml").read_text()
