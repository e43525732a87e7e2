"""A folder's tensors become the network that a recipe names, or a refusal that names what is wrong."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from models.network.saving import DECODER, SMALL, built, refusal, rewritten, saved
from models.networks import encodings, reference
from safetensors.torch import load_file, save_file
from transformers import AutoModel, AutoModelForCausalLM, AutoModelForSequenceClassification

from podium.errors import PermanentStartError
from podium.models.linear.int8 import largest_weight

needs_integers = pytest.mark.skipif(
    largest_weight() is None,
    reason="needs a processor on which oneDNN's products of 8-bit integers are exact",
)


@pytest.fixture
def folder(tmp_path) -> Path:
    """A small XLM-R classifier in float32."""
    saved(tmp_path, AutoModelForSequenceClassification, model_type="xlm-roberta", num_labels=1, **SMALL)
    return tmp_path


def test_what_heads_compute_with_is_float32_as_it_stands_in_the_file(tmp_path):
    model = saved(tmp_path, AutoModelForSequenceClassification, model_type="bert", num_labels=1, **SMALL)
    network = built(tmp_path, torch.bfloat16).network
    assert type(network) is type(model)
    found, own = network.state_dict(), model.state_dict()
    heads = {"bert.pooler.dense.weight", "bert.pooler.dense.bias", "classifier.weight", "classifier.bias"}
    assert {name for name, x in found.items() if x.dtype == torch.float32} == heads
    assert all(torch.equal(found[name], own[name]) for name in heads)
    assert {x.dtype for name, x in found.items() if name not in heads} == {torch.bfloat16}


def test_rotary_frequencies_are_float32_whatever_is_served(tmp_path):
    model = saved(tmp_path, AutoModel, **DECODER)
    network = built(tmp_path, torch.bfloat16, network="base").network
    assert network.rotary_emb.inv_freq.dtype == torch.float32
    assert torch.equal(network.rotary_emb.inv_freq, model.rotary_emb.inv_freq)


def test_for_int8_no_number_is_rounded_that_float32_would_have(tmp_path):
    """Gemma makes the factor of its embeddings in the precision in which it is loaded."""
    saved(tmp_path, AutoModel, **{**DECODER, "model_type": "gemma2"})
    rewritten(tmp_path, lambda tensors: {name: x.to(torch.bfloat16) for name, x in tensors.items()})
    integers, floats = (
        built(tmp_path, dtype, network="base").network for dtype in (torch.int8, torch.float32)
    )
    wanted = floats.state_dict() | dict(floats.named_buffers())
    found = integers.state_dict() | dict(integers.named_buffers())
    assert found["embed_tokens.embed_scale"].dtype == torch.float32
    assert found.keys() == wanted.keys()
    assert all(torch.equal(found[name].float(), wanted[name].float()) for name in wanted)


@pytest.mark.parametrize("stored", [torch.float16, torch.bfloat16, torch.float32])
@pytest.mark.parametrize("served", [torch.bfloat16, torch.float32])
def test_every_parameter_is_served_in_the_dtype_asked_for_whatever_it_is_stored_in(tmp_path, stored, served):
    saved(tmp_path, AutoModel, **DECODER)
    rewritten(tmp_path, lambda tensors: {name: x.to(stored) for name, x in tensors.items()})
    network = built(tmp_path, served, network="base").network
    assert {parameter.dtype for parameter in network.parameters()} == {served}


@pytest.mark.parametrize("tied", [True, False])
def test_a_base_model_is_taken_out_of_a_language_model_and_rows_of_its_vocabulary_are_read(tmp_path, tied):
    model = saved(tmp_path, AutoModelForCausalLM, **DECODER, tie_word_embeddings=tied)
    assert ("lm_head.weight" in load_file(tmp_path / "model.safetensors")) is not tied
    got = built(tmp_path, torch.bfloat16, network="base")
    assert type(got.network) is type(model.model)
    assert not hasattr(got.network, "lm_head")
    # unrounded, though the network's own embedding is bfloat16
    assert torch.equal(got.rows("vocabulary", [7, 3]), model.lm_head.weight.detach()[[7, 3]])


def test_rows_of_a_head_with_two_labels_are_read(tmp_path):
    auto = AutoModelForSequenceClassification
    model = saved(tmp_path, auto, **DECODER, num_labels=2)
    assert torch.equal(
        built(tmp_path, network="base").rows("score", [1, 0]), model.score.weight.detach()[[1, 0]]
    )


@pytest.mark.parametrize(
    ("rows", "labels", "said"),
    [(2, 1, "2 rows, and config.json says 1 label:"), (3, 2, "3 rows, and"), (1, 2, "1 row, and")],
)
def test_a_head_with_other_rows_than_the_config_has_labels_is_refused(tmp_path, rows, labels, said):
    saved(tmp_path, AutoModelForSequenceClassification, **DECODER, num_labels=rows)
    got = built(tmp_path, network="base", config={"num_labels": labels})
    with pytest.raises(PermanentStartError, match=rf"`score\.weight` in .* has {said}"):
        got.rows("score", [0])


def test_rows_of_the_input_embedding_are_no_output_where_they_are_not_tied(tmp_path):
    saved(tmp_path, AutoModelForCausalLM, **DECODER, tie_word_embeddings=False)
    rewritten(tmp_path, lambda tensors: {n: x for n, x in tensors.items() if n != "lm_head.weight"})
    with pytest.raises(PermanentStartError, match=r"lack the head: they have none of lm_head\.weight, embed"):
        built(tmp_path, network="base").rows("vocabulary", [7])


def test_a_head_that_is_missing_and_a_row_that_is_not_there_are_named(tmp_path):
    saved(tmp_path, AutoModel, **DECODER, tie_word_embeddings=True)
    got = built(tmp_path, network="base")
    with pytest.raises(PermanentStartError, match=r"lack the head: they have none of score\.weight, class"):
        got.rows("score", [0])
    with pytest.raises(
        PermanentStartError, match=r"`embed_tokens\.weight` in .* has 2000 rows, and no row 2000"
    ):
        got.rows("vocabulary", [2000])


def test_all_tensors_of_a_folder_in_the_model_s_are_read(tmp_path):
    saved(tmp_path, AutoModel, **DECODER)
    (tmp_path / "2_Dense").mkdir()
    held = {"linear.weight": torch.full((1, 64), 0.1), "activation_function.weight": torch.ones(1)}
    save_file(held, tmp_path / "2_Dense" / "model.safetensors")
    got = built(tmp_path, network="base").tensors("2_Dense")
    assert got.keys() == held.keys()
    assert all(torch.equal(got[name], held[name]) for name in held)


def test_a_pooler_that_no_head_reads_is_left_out(tmp_path):
    saved(tmp_path, AutoModel, model_type="bert", **SMALL)
    rewritten(tmp_path, lambda tensors: {n: x for n, x in tensors.items() if not n.startswith("pooler.")})
    assert built(tmp_path, network="base").network.pooler is None


# https://huggingface.co/jinaai/xlm-roberta-flash-implementation names its tensors so
FLASH = {
    "renamed": {
        "roberta.encoder.layers.": "roberta.encoder.layer.",
        "roberta.emb_ln.": "roberta.embeddings.LayerNorm.",
    },
    "replaced": {
        ".mixer.Wqkv.": (".attention.self.query.", ".attention.self.key.", ".attention.self.value."),
        ".mixer.out_proj.": (".attention.output.dense.",),
        ".norm1.": (".attention.output.LayerNorm.",),
        ".mlp.fc1.": (".intermediate.dense.",),
        ".mlp.fc2.": (".output.dense.",),
        ".norm2.": (".output.LayerNorm.",),
    },
}


def test_merged_and_renamed_tensors_are_put_where_they_belong(folder):
    """The names of jina-reranker-v2-base-multilingual onto XLM-R."""
    model = AutoModelForSequenceClassification.from_pretrained(folder).eval()

    def flash(tensors: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        names = [(new[0], old) for old, new in FLASH["replaced"].items() if len(new) == 1]
        found = {}
        for name, x in tensors.items():
            for own, theirs in [*names, *((own, theirs) for theirs, own in FLASH["renamed"].items())]:
                name = name.replace(own, theirs)
            found[name] = x
        for layer in range(SMALL["num_hidden_layers"]):
            for kind in ("weight", "bias"):
                start = f"roberta.encoder.layers.{layer}"
                found[f"{start}.mixer.Wqkv.{kind}"] = torch.cat(
                    [found.pop(f"{start}.attention.self.{part}.{kind}") for part in ("query", "key", "value")]
                )
        return found

    rewritten(folder, flash)
    assert "roberta.encoder.layers.1.mlp.fc2.bias" in load_file(folder / "model.safetensors")
    pairs = encodings([20, 33])
    assert "lack" in refusal(folder)
    # not equal to the last bit on each processor: products depend on where in memory the weights lie
    np.testing.assert_allclose(
        reference(built(folder, **FLASH).network, pairs), reference(model, pairs), atol=1e-6
    )


def test_a_longer_prefix_wins_and_the_empty_one_takes_the_others(tmp_path):
    model = saved(tmp_path, AutoModelForSequenceClassification, **DECODER, num_labels=1)
    rewritten(
        tmp_path,
        lambda tensors: {
            name.replace("model.", "language.", 1) if name.startswith("model.") else f"top.{name}": x
            for name, x in tensors.items()
        },
    )
    network = built(tmp_path, renamed={"language.": "model.", "top.": ""}).network
    assert all(torch.equal(x, model.state_dict()[name]) for name, x in network.state_dict().items())


def test_tensors_named_as_alibaba_s_new_are_read_by_transformers_gte(tmp_path):
    model = saved(tmp_path, AutoModelForSequenceClassification, model_type="gte", num_labels=1, **SMALL)

    rewritten(tmp_path, lambda tensors: {n.replace("gte.", "new.", 1): x for n, x in tensors.items()})
    names = set(load_file(tmp_path / "model.safetensors"))
    assert {"new.encoder.layer.0.attention.qkv_proj.weight", "classifier.weight"} <= names
    configure(tmp_path, model_type="new", architectures=["NewForSequenceClassification"])
    network = built(tmp_path, architecture="gte").network
    own = model.state_dict()
    assert all(torch.equal(x, own[name]) for name, x in network.state_dict().items())


def test_fields_of_the_recipe_replace_those_of_the_config(folder):
    # a head of one label by the recipe, two by the config
    configure(folder, id2label={"0": "no", "1": "yes"}, label2id={"no": 0, "yes": 1})
    network = built(folder, config={"num_labels": 1}).network
    assert network.config.num_labels == 1


def configure(folder: Path, **fields) -> None:
    path = folder / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **fields}))


def test_a_head_that_the_files_lack_is_named(folder):
    rewritten(folder, lambda tensors: {n: x for n, x in tensors.items() if "classifier" not in n})
    assert refusal(folder) == (
        f"the weights in `{folder}` lack 4 tensors of the model: classifier.dense.bias, "
        "classifier.dense.weight, classifier.out_proj.bias, classifier.out_proj.weight; give a model that "
        "was trained for reranking, not its base model"
    )


def test_tensors_that_have_no_place_in_the_network_are_named(folder):
    configure(folder, num_hidden_layers=1)
    message = refusal(folder)
    assert (
        "hold 16 tensors that the model of config.json has no place for: roberta.encoder.layer.1." in message
    )
    assert message.endswith("it would score without them")


def test_heads_of_other_tasks_are_left_aside(folder):
    rewritten(folder, lambda tensors: {**tensors, "lm_head.bias": torch.zeros(9)})
    assert built(folder).network is not None


def test_shapes_that_the_config_does_not_have_are_named(folder):
    configure(folder, intermediate_size=128)
    assert refusal(folder) == (
        f"the weights in `{folder}` cannot be loaded: `roberta.encoder.layer.0.intermediate.dense.bias` has "
        "the shape (96,) there, and (128,) by config.json"
    )


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc/self/status")
@pytest.mark.parametrize(
    ("stored", "served"),
    [
        ("BF16", "bfloat16"),
        ("F32", "bfloat16"),
        ("F16", "float32"),
        *(pytest.param(stored, "int8", marks=needs_integers) for stored in ("F32", "BF16", "F16")),
    ],
)
def test_a_start_needs_little_more_memory_than_the_weights_that_it_serves(tmp_path, stored, served):
    """All anonymous memory of the process, torch's own 270 MB included, at its peak."""
    script = Path(__file__).with_name("loading.py")
    run = subprocess.run(
        [sys.executable, script, tmp_path, stored, served], capture_output=True, text=True, check=True
    )
    told = json.loads(run.stdout)
    assert told["served_mb"] > 300  # the model is large enough for a second copy to break the bound
    bound = told["served_mb"] + 600 if served == "int8" else 1.15 * told["served_mb"] + 500
    assert told["peak_mb"] <= bound, told
