"""Whatever lies in a model's folder, a start serves finite scores or ends with one line that says why."""

import json
import os
import shutil
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import msgspec
import numpy as np
import pytest
from fakes import INFO, FakeModel, PanicError
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st
from models.folders import CHAT
from models.oracle import DECODER, bpe_tokenizer, framed_tokenizer, save

from podium.errors import StartError
from podium.loading import load_model
from podium.models.readiness import self_test
from podium.server.startup import made
from podium.server.state import Service
from podium.settings import Settings

PODIUM = Path(sys.executable).with_name("podium")
EXAMPLES = int(os.environ.get("PODIUM_EXAMPLES", "30"))

VALUES = st.sampled_from(
    [
        *(None, True, False, -1, 0, 1, 2, 3, 7, 0.5, 1e30, -2.5, float("nan")),
        *("", "x", "gelu", "bert", "0", "\ud83d", "float16", "int8"),
        *([], [1], [None], ["x"], [[[]]], {}, {"0": "LABEL_0"}, {"1": "x"}, {"a": {"b": []}}),
    ]
)
"""No number is large: a config that asks for a million layers is built."""

NAMES = [
    "model_type", "architectures", "num_labels", "id2label", "label2id", "hidden_size",
    "num_hidden_layers", "num_attention_heads", "num_key_value_heads", "intermediate_size", "vocab_size",
    "max_position_embeddings", "type_vocab_size", "pad_token_id", "eos_token_id", "bos_token_id",
    "hidden_act", "layer_norm_eps", "rms_norm_eps", "head_dim", "rope_parameters", "rope_theta",
    "sliding_window", "use_sliding_window", "layer_types", "dtype", "torch_dtype", "auto_map",
    "quantization_config", "sentence_transformers", "classifier_dropout", "is_decoder",
    "tie_word_embeddings", "attention_dropout", "problem_type", "transformers_version",
    "sbert_ce_default_activation_function", "tokenizer_class", "model_max_length", "truncation_side",
    "padding_side", "pad_token", "cls_token", "sep_token", "eos_token", "unk_token",
    "added_tokens_decoder", "chat_template", "model_input_names", "extra_special_tokens",
    "additional_special_tokens", "do_lower_case", "clean_up_tokenization_spaces", "backend", "model",
    "normalizer", "pre_tokenizer", "post_processor", "decoder", "added_tokens", "truncation", "padding",
]  # fmt: skip
FILES = ["config.json", "tokenizer_config.json", "tokenizer.json"]
OTHERS = [
    "modules.json", "config_sentence_transformers.json", "sentence_bert_config.json",
    "special_tokens_map.json", "added_tokens.json", "generation_config.json",
    "model.safetensors.index.json", "chat_template.jinja", "preprocessor_config.json",
    "adapter_config.json", "vocab.txt",
]  # fmt: skip
SHARE = st.floats(0, 1)
DAMAGES = st.one_of(
    st.tuples(st.just("field"), st.sampled_from(FILES), st.sampled_from(NAMES), VALUES),
    st.tuples(st.just("own field"), st.sampled_from(FILES), st.integers(0, 60), VALUES),
    st.tuples(st.just("drop"), st.sampled_from(FILES), st.integers(0, 60), st.none()),
    st.tuples(st.just("whole"), st.sampled_from(FILES + OTHERS), st.none(), VALUES),
    st.tuples(st.just("cut"), st.sampled_from([*FILES, "model.safetensors"]), SHARE, st.none()),
    st.tuples(
        st.just("byte"),
        st.sampled_from(["model.safetensors", *FILES]),
        st.floats(0, 0.2),
        st.integers(0, 255),
    ),
    st.tuples(st.just("missing"), st.sampled_from([*FILES, "model.safetensors"]), st.none(), st.none()),
    st.tuples(st.just("folder"), st.sampled_from(FILES + OTHERS), st.none(), st.none()),
)


@pytest.fixture(scope="module")
def folders(tmp_path_factory) -> dict[str, Path]:
    """A cross-encoder and a decoder with a chat template, small and whole, that pass the self-test."""
    tokenizer = bpe_tokenizer()
    tokenizer.chat_template = CHAT
    encoder = {"model_type": "bert", "max_position_embeddings": 128}
    return {
        "encoder": passing(tmp_path_factory, "classifier", framed_tokenizer(), encoder),
        "decoder": passing(tmp_path_factory, "causal", tokenizer, {**DECODER, "model_type": "qwen3"}),
    }


def passing(tmp_path_factory, kind: str, tokenizer, fields) -> Path:
    for width in range(32, 160, 8):
        folder = tmp_path_factory.mktemp(kind)
        save(folder, kind, tokenizer, **{**fields, "num_hidden_layers": 1, "intermediate_size": width})
        if self_test(load_model(Settings(model=str(folder), device="cpu", dtype="float32"))) is None:
            return folder
    raise AssertionError("chance ranked the known pair wrong 16 times")


def damage(folder: Path, kind: str, name: str, where, value) -> None:
    path = folder / name
    match kind:
        case "missing":
            path.unlink(missing_ok=True)
        case "folder":
            path.unlink(missing_ok=True)
            path.mkdir(exist_ok=True)
        case "whole":
            path.write_text(
                value
                if name.endswith(".jinja") and isinstance(value, str) and value.isascii()
                else json.dumps(value)
            )
        case "cut":
            content = path.read_bytes()
            path.write_bytes(content[: int(where * len(content))])
        case "byte":
            content = bytearray(path.read_bytes())
            if content:
                content[int(where * (len(content) - 1))] = value
            path.write_bytes(content)
        case _:
            said = json.loads(path.read_bytes())
            if not isinstance(said, dict):
                return
            keys = sorted(said)
            key = where if isinstance(where, str) or not keys else keys[where % len(keys)]
            if kind == "drop":
                said.pop(key, None)
            else:
                said[str(key)] = value
            path.write_text(json.dumps(said))


@pytest.mark.parametrize("family", ["encoder", "decoder"])
@settings(
    max_examples=EXAMPLES,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(damages=st.lists(DAMAGES, min_size=1, max_size=2))
def test_a_damaged_folder_is_served_with_finite_scores_or_refused_in_one_line(
    family, damages, folders, tmp_path_factory
):
    folder = tmp_path_factory.mktemp("damaged")
    shutil.copytree(folders[family], folder, dirs_exist_ok=True)
    for one in damages:
        with suppress(OSError, ValueError):  # what the damage before it left cannot be damaged so
            damage(folder, *one)
    said = Settings(model=str(folder), device="cpu", dtype="float32", self_test="strict")
    try:
        model, _ = made(load_model, Service(said))
    except StartError as error:
        assert_one_line(error)
        event("refused")
    else:
        (query,) = model.queries(["what is a panda"])
        documents = model.documents(["a bear", "", "bamboo " * 50])
        scores = model.score([model.pair(query, document) for document in documents])
        assert np.isfinite(scores).all()
        event("served")
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def assert_one_line(error: StartError) -> None:
    assert error.exit_code in (42, 75)
    assert error.message.splitlines() == [error.message]
    assert 10 < len(error.message) < 2_000


@pytest.mark.parametrize(("device", "measured"), [("cpu", False), ("cuda:0", True)])
def test_an_accelerator_s_pace_comes_with_the_model(device, measured):
    model = FakeModel(msgspec.structs.replace(INFO, device=device, max_batch_tokens=500))
    same, pace = made(lambda _: model, Service(Settings(self_test="off")))
    assert same is model
    assert (pace is not None) is measured
    assert pace is None or 0 < pace.batch_s <= 0.25
    assert max(map(len, model.batches)) <= 8


@pytest.mark.parametrize(
    "raised",
    [
        ValueError("bad\nmore"),
        KeyError("x"),
        MemoryError(),
        RecursionError("deep"),
        PanicError("index out of range"),
        ValueError(),
    ],
    ids=repr,
)
def test_whatever_a_load_raises_is_a_reason(raised):
    def load(_):
        raise raised

    with pytest.raises(StartError) as caught:
        made(load, Service(Settings()))
    assert caught.value.exit_code == 42
    assert caught.value.reason == "ModelLoadFailed"
    assert caught.value.message.splitlines() == [caught.value.message]


@pytest.mark.parametrize("raised", [KeyboardInterrupt(), SystemExit(0), GeneratorExit()], ids=repr)
def test_what_ends_a_process_is_none(raised):
    def load(_):
        raise raised

    with pytest.raises(type(raised)):
        made(load, Service(Settings()))


def nulls(folder: Path) -> None:
    (folder / "config.json").write_text("null")


def cut_weights(folder: Path) -> None:
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-100])


def no_tokenizer(folder: Path) -> None:
    (folder / "tokenizer.json").write_text("[]")


@pytest.mark.parametrize("spoil", [nulls, cut_weights, no_tokenizer])
@pytest.mark.parametrize("level", ["info", "debug"])
def test_the_process_leaves_its_reason_and_no_traceback_but_at_debug(spoil, level, folders, tmp_path):
    folder = tmp_path / "model"
    shutil.copytree(folders["encoder"], folder)
    spoil(folder)
    base = {name: value for name, value in os.environ.items() if not name.startswith(("PODIUM_", "HF_"))}
    log = tmp_path / "termination-log"
    ended = subprocess.run(
        [PODIUM, "serve", "--model", folder, "--host", "127.0.0.1", "--port", "0", "--device", "cpu",
         "--log-level", level, "--termination-log", log],
        env=base, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=600,
    )  # fmt: skip
    assert ended.returncode == 42
    left = json.loads(log.read_bytes())
    assert left["reason"] == "ModelLoadFailed"
    assert str(folder) in left["message"]
    assert ended.stderr.rstrip().endswith(f"podium: ModelLoadFailed: {left['message']}")
    assert level == "debug" or "Traceback" not in ended.stderr + ended.stdout
