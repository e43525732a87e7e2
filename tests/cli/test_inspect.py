"""`podium inspect` says how a model scores, or why it would be refused."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner
from models.oracle import save, unigram_tokenizer

from podium.cli.group import podium
from podium.models.processor import instruction_set
from podium.weights.source import BUILTIN

PODIUM = Path(sys.executable).with_name("podium")


@pytest.fixture
def folder(tmp_path) -> Path:
    """A copy of the built-in model that a test may spoil."""
    return Path(shutil.copytree(BUILTIN, tmp_path / "model"))


def run(*arguments: str):
    return CliRunner().invoke(podium, ["inspect", *arguments, "--device", "cpu", "--dtype", "float32"])


def test_it_says_how_the_model_scores():
    ended = run("builtin", "--json", "--query", "panda", "--document", "a bear")
    assert ended.exit_code == 0, ended.output
    said = json.loads(ended.stdout)
    assert said["family"] == "cross-encoder"
    assert said["recognised by"] == "ElectraForSequenceClassification, one label"
    assert said["template"] == "the tokenizer's own pair"
    assert said["sample"] == "[CLS] panda [SEP] a bear [SEP]"
    assert said["token ids"] == [101, 25462, 102, 1037, 4562, 102]
    assert (said["shared tokens"], said["attention"]) == (0, "bidirectional")
    assert said["score"] == "first token: the checkpoint's own head"
    assert said["max length"] == {"tokens": 512, "decided by": "tokenizer_config.json: model_max_length"}
    assert (said["device"], said["dtype"], said["forward"]) == ("cpu", "float32", "packed")
    assert said["dtype from"] == "PODIUM_DTYPE"
    assert said["instruction set"] == instruction_set()
    assert said["threads"] >= 1
    assert said["memory"] == {"weights": "38.0 MB", "a batch of 4096 tokens, about": "100.7 MB"}
    assert said["files used"] == [
        "config.json",
        "model.safetensors",
        "tokenizer.json",
        "tokenizer_config.json",
    ]
    assert said["files left aside"] == ["README.md"]


def test_people_get_lines():
    ended = run("builtin", "--max-length", "64")
    assert "\nfamily            cross-encoder\n" in ended.stdout
    assert "\nmax length        tokens: 64\n                  decided by: PODIUM_MAX_LENGTH\n" in ended.stdout


def test_a_model_that_would_be_refused_ends_with_42_and_the_reason(folder, tmp_path):
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "architectures": ["JinaForRanking"]}))
    ended = subprocess.run(
        [PODIUM, "inspect", str(folder), "--termination-log", str(tmp_path / "log")],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert ended.returncode == 42
    reason = (
        f"`{folder}` is a listwise reranker (JinaForRanking): a document's score would depend on the other "
    )
    assert ended.stderr.startswith(f"podium: ModelLoadFailed: {reason}")
    assert "Traceback" not in ended.stderr
    assert json.loads((tmp_path / "log").read_text())["message"].startswith(reason)


def test_a_model_that_fails_on_its_first_batch_would_be_refused(tmp_path):
    small = {"d_model": 32, "encoder_layers": 1, "decoder_layers": 1, "eos_token_id": 1}
    save(tmp_path, "classifier", unigram_tokenizer(), model_type="bart", decoder_start_token_id=2, **small)
    ended = run(str(tmp_path))
    assert ended.exit_code == 42
    assert "ModelLoadFailed: the model is loaded, but fails on its first batch: ValueError" in ended.stderr


def test_the_setting_family_is_taken(folder):
    ended = run(str(folder), "--family", "telepathy")
    assert ended.exit_code == 42
    assert "there is no family `telepathy`; PODIUM_FAMILY takes auto, modular, " in ended.output
