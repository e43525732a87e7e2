"""The executable's settings and endings; what it serves is tested with the server."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from podium.cli.environment import unknown
from podium.cli.options import describe
from podium.settings import FIELDS
from podium.weights.source import BUILTIN

PODIUM = Path(sys.executable).with_name("podium")


def run(folder: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run `podium` in a folder, with no setting in its environment but these."""
    base = {name: value for name, value in os.environ.items() if not name.startswith(("PODIUM_", "HF_"))}
    return subprocess.run(
        [PODIUM, *arguments],
        env=base | {"COLUMNS": "110"} | environment,
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


def test_help_lists_the_commands_and_imports_none_of_them(tmp_path):
    ended = run(tmp_path, "--help", PYTHONPROFILEIMPORTTIME="1")
    assert ended.returncode == 0
    for command in ("serve", "rank", "fetch"):
        assert f"\n  {command} " in ended.stdout
    imported = {line.rpartition("|")[2].strip() for line in ended.stderr.splitlines()}
    assert (
        imported & {"torch", "transformers", "litestar", "numpy", "huggingface_hub", "podium.cli.serve"}
        == set()
    )


def test_version(tmp_path):
    assert run(tmp_path, "--version").stdout.startswith("podium 0.")


def test_an_unknown_command_is_a_usage_error(tmp_path):
    ended = run(tmp_path, "server")
    assert ended.returncode == 2
    assert "No such command 'server'" in ended.stderr


@pytest.fixture(scope="module")
def serve_help(tmp_path_factory) -> str:
    ended = run(tmp_path_factory.mktemp("help"), "serve", "--help")
    assert ended.returncode == 0
    return " ".join(ended.stdout.split())


@pytest.mark.parametrize("name", FIELDS)
def test_serve_help_shows_every_setting_with_unit_default_and_variable(serve_help, name):
    said = describe(name)
    default = f"; default: {said.default}" if said.default else ""
    assert f"{said.flag} {said.values} {said.description} [env var: {said.variable}{default}]" in serve_help


@pytest.mark.parametrize("name", FIELDS)
def test_a_number_names_its_unit(name):
    said = describe(name)
    assert said.description
    assert said.values in {"TEXT", "TOKENS", "WINDOWS", "BYTES", "SECONDS", "DOCUMENTS", "PAIRS", "PORT"} or (
        said.values.startswith("[")
    )
    if name.endswith("_s"):
        assert said.values == "SECONDS"


@pytest.mark.parametrize(
    ("arguments", "environment", "dotfile", "wins"),
    [
        pytest.param(["--port", "70003"], {"PODIUM_PORT": "70002"}, "PODIUM_PORT=70001", "70003", id="flag"),
        pytest.param([], {"PODIUM_PORT": "70002"}, "PODIUM_PORT=70001", "70002", id="variable"),
        pytest.param([], {}, "export PODIUM_PORT='70001'  # a comment", "70001", id=".env"),
        pytest.param(
            [], {"PODIUM_PORT": "tcp://10.0.0.1:80"}, "PODIUM_PORT=70001", "70001", id="service link"
        ),
    ],
)
def test_flag_wins_over_variable_and_variable_over_dotfile(tmp_path, arguments, environment, dotfile, wins):
    (tmp_path / ".env").write_text(dotfile)
    ended = run(tmp_path, "serve", *arguments, **environment)
    assert ended.returncode == 2
    assert f"Error: PODIUM_PORT: Expected `int` <= 65535, got `{wins}`" in ended.stderr


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        pytest.param(["--offline", "perhaps"], "PODIUM_OFFLINE: Expected `bool`", id="bool"),
        pytest.param(
            ["--offline", "--port", "x"], "PODIUM_PORT: Expected `int`", id="a bare flag takes no value"
        ),
        pytest.param(["--dtype", "int3"], "PODIUM_DTYPE: ", id="choice"),
        pytest.param(
            ["--trust-remote-code"], "needs PODIUM_REVISION with a commit", id="two that exclude each other"
        ),
    ],
)
def test_a_setting_that_cannot_work_ends_with_2_and_its_sentence(tmp_path, arguments, sentence):
    ended = run(tmp_path, "serve", *arguments)
    assert ended.returncode == 2
    assert sentence in ended.stderr
    assert "Traceback" not in ended.stderr


def test_a_dotfile_that_is_no_text_is_named(tmp_path):
    (tmp_path / ".env").write_bytes(b"PODIUM_PORT=\xff\xfe")
    ended = run(tmp_path, "serve")
    assert ended.returncode == 2
    assert f"cannot read {tmp_path / '.env'}" in ended.stderr


def test_a_variable_that_is_no_setting_is_told_with_the_closest_name(tmp_path):
    (tmp_path / ".env").write_text("PODIUM_MODLE=x\nOTHER=1\n")
    environment = {"PODIUM_MAX_LENGHT": "512", "PODIUM_XYZZY": "", "PODIUM_PORT": "8080", "HOME": "/"}
    assert unknown(environment.items(), tmp_path / ".env") == [
        "PODIUM_MAX_LENGHT is no setting of Podium and has no effect; did you mean PODIUM_MAX_LENGTH?",
        "PODIUM_MODLE is no setting of Podium and has no effect; did you mean PODIUM_MODEL?",
        "PODIUM_XYZZY is no setting of Podium and has no effect; `podium serve --help` lists them all",
    ]


def test_variables_that_kubernetes_sets_for_services_are_no_mistakes(tmp_path):
    links = {
        "PODIUM_PORT": "tcp://10.0.0.1:80",
        "PODIUM_SERVICE_HOST": "10.0.0.1",
        "PODIUM_SERVICE_PORT": "80",
        "PODIUM_SERVICE_PORT_HTTP": "80",
        "PODIUM_PORT_80_TCP": "tcp://10.0.0.1:80",
        "PODIUM_PORT_80_TCP_ADDR": "10.0.0.1",
        "PODIUM_WEB_SERVICE_HOST": "10.0.0.2",
        "PODIUM_WEB_PORT": "tcp://10.0.0.2:80",
        "PODIUM_METRICS_PORT": "tcp://10.0.0.3:80",
        "PODIUM_WEB_PORT_80_TCP_PROTO": "tcp",
    }
    assert unknown(links.items(), tmp_path / ".env") == []


def reversed_model(folder: Path) -> Path:
    """The built-in model with its last layer negated: the worst document comes first."""
    shutil.copytree(BUILTIN, folder)
    weights = load_file(folder / "model.safetensors")
    (last,) = (name for name in weights if name.endswith("out_proj.weight"))
    weights[last] = np.negative(weights[last])
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    return folder


@pytest.mark.parametrize(
    ("make", "reason", "message"),
    [
        pytest.param(lambda folder: folder, "ModelNotFound", "there is no folder", id="no folder"),
        pytest.param(
            lambda folder: folder.mkdir() or folder,
            "ModelLoadFailed",
            "holds no config.json",
            id="nothing in it",
        ),
        pytest.param(reversed_model, "SelfTestFailed", "", id="ranks the wrong way round"),
    ],
)
def test_a_model_that_cannot_be_served_ends_with_42_a_line_and_the_log(tmp_path, make, reason, message):
    log = tmp_path / "log"
    model = make(tmp_path / "model")
    ended = run(tmp_path, "serve", "--model", str(model), "--port", "0", "--termination-log", str(log))
    assert ended.returncode == 42
    left = json.loads(log.read_bytes())
    assert list(left) == ["reason", "message", "httpStatus", "bytes", "resolvedRevision"]
    assert left["reason"] == reason
    assert message in left["message"]
    assert ended.stderr.splitlines()[-1] == f"podium: {reason}: {left['message']}"
    assert "Traceback" not in ended.stderr


def test_a_hub_that_is_away_ends_with_75(tmp_path):
    log = tmp_path / "log"
    options = [
        "--model",
        "org/name",
        "--cache-dir",
        str(tmp_path),
        "--port",
        "0",
        "--termination-log",
        str(log),
    ]
    ended = run(tmp_path, "serve", *options, HF_ENDPOINT="http://127.0.0.1:9", NO_PROXY="*")
    assert ended.returncode == 75
    assert json.loads(log.read_bytes())["reason"] == "HubUnavailable"
