import pytest

from podium.errors import PermanentStartError, Reason
from podium.weights.select import select

MODEL = ["config.json", "tokenizer.json", "README.md", "LICENSE"]


@pytest.mark.parametrize(
    ("names", "chosen"),
    [
        pytest.param([*MODEL, "model.safetensors"], [*MODEL, "model.safetensors"], id="safetensors"),
        pytest.param(
            [*MODEL, "model.safetensors", "pytorch_model.bin"],
            [*MODEL, "model.safetensors"],
            id="no pickle beside safetensors",
        ),
        pytest.param(
            [*MODEL, "pytorch_model.bin"], [*MODEL, "pytorch_model.bin"], id="a pickle where nothing else is"
        ),
        pytest.param(
            [*MODEL, "pytorch_model.bin", "checkpoint-500/model.safetensors"],
            [*MODEL, "pytorch_model.bin"],
            id="safetensors of a checkpoint do not count",
        ),
        pytest.param(
            [*MODEL, "model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"],
            [*MODEL, "model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"],
            id="shards",
        ),
        pytest.param(
            [
                *MODEL,
                "consolidated.safetensors",
                "model-00001-of-00001.safetensors",
                "model.fp16.safetensors",
                "model.safetensors.index.json",
            ],
            [*MODEL, "model-00001-of-00001.safetensors", "model.safetensors.index.json"],
            id="no copy of the weights beside shards",
        ),
        pytest.param(
            [*MODEL, "model.fp16.safetensors", "model.safetensors", "pytorch_model.fp16.bin"],
            [*MODEL, "model.safetensors"],
            id="no copy of the weights beside the one of the usual name",
        ),
        pytest.param(
            [*MODEL, "reranker.safetensors", "pytorch_model.bin"],
            [*MODEL, "reranker.safetensors"],
            id="safetensors of any name",
        ),
        pytest.param(
            [*MODEL, "pytorch_model.bin", "pytorch_model.fp16.bin"],
            [*MODEL, "pytorch_model.bin"],
            id="no copy of a pickle",
        ),
        pytest.param(
            [
                *MODEL,
                "model.safetensors",
                "onnx/model.onnx",
                "onnx/config.json",
                "tf_model.h5",
                "flax_model.msgpack",
                "rust_model.ot",
                "model.gguf",
                "openvino/openvino_model.bin",
                ".gitattributes",
                "training_args.bin",
            ],
            [*MODEL, "model.safetensors"],
            id="no other framework",
        ),
        pytest.param(
            [*MODEL, "vocab.txt", "sentencepiece.bpe.model", "modeling_x.py", "model.safetensors"],
            [*MODEL, "vocab.txt", "sentencepiece.bpe.model", "modeling_x.py", "model.safetensors"],
            id="every kind of tokenizer, and code",
        ),
        pytest.param(
            [
                *MODEL,
                "1_Pooling/config.json",
                "2_Dense/config.json",
                "2_Dense/model.safetensors",
                "2_Dense/pytorch_model.bin",
                "3_Dense/pytorch_model.bin",
                "additional_chat_templates/rerank.jinja",
                "chat_template.jinja",
                "checkpoint-500/config.json",
                "config_sentence_transformers.json",
                "model.safetensors",
                "modules.json",
                "onnx/config.json",
                "onnx/1_Pooling/config.json",
                "sentence_bert_config.json",
                "spiece.model",
            ],
            [
                *MODEL,
                "1_Pooling/config.json",
                "2_Dense/config.json",
                "2_Dense/model.safetensors",
                "3_Dense/pytorch_model.bin",
                "additional_chat_templates/rerank.jinja",
                "chat_template.jinja",
                "config_sentence_transformers.json",
                "model.safetensors",
                "modules.json",
                "sentence_bert_config.json",
                "spiece.model",
            ],
            id="modules and chat templates in folders of their own",
        ),
    ],
)
def test_by_default_what_serving_needs_is_chosen(names, chosen):
    assert select(names) == chosen


def test_include_replaces_the_choice_and_exclude_takes_away():
    names = [*MODEL, "model.safetensors", "onnx/model.onnx", "onnx/deep/er.onnx"]
    assert select(names, include=["onnx/"]) == ["onnx/model.onnx", "onnx/deep/er.onnx"]
    assert select(names, include=["*.json", "onnx/model*"]) == [
        "config.json",
        "tokenizer.json",
        "onnx/model.onnx",
    ]
    assert select(names, exclude=["*.md", "LICENSE"]) == [
        "config.json",
        "tokenizer.json",
        "model.safetensors",
    ]
    assert select(names, include=["*"], exclude=["onnx/"]) == [*MODEL, "model.safetensors"]


@pytest.mark.parametrize(
    "name",
    [
        "../config.json",
        "a/../../b",
        "/etc/passwd",
        "a//b",
        "./a",
        "..",
        "",
        "a\\..\\b",
        "C:evil",
        "nul\0.json",
    ],
)
def test_a_name_that_leaves_the_folder_is_refused(name):
    with pytest.raises(
        PermanentStartError, match="outside of the model's folder; nothing was fetched"
    ) as error:
        select([*MODEL, "model.safetensors", name])
    assert error.value.reason is Reason.MODEL_LOAD_FAILED


def test_a_model_in_another_format_is_refused_before_it_is_downloaded():
    with pytest.raises(
        PermanentStartError, match=r"neither safetensors nor pytorch_model\.bin, only .*gguf"
    ) as error:
        select([*MODEL, "model.gguf"])
    assert error.value.reason is Reason.MODEL_LOAD_FAILED


def test_patterns_that_leave_nothing_are_refused_with_what_there_is():
    with pytest.raises(
        PermanentStartError, match=r"include \['x'\], exclude \['y'\]\); it has config\.json"
    ) as error:
        select([*MODEL, *(f"{n}.txt" for n in range(9))], include=["x"], exclude=["y"])
    assert error.value.reason is Reason.MODEL_NOT_FOUND
    assert "and 5 more" in error.value.message
