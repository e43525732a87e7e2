"""The benchmark of the families: what is measured is what is said, on small models of each shape."""

import importlib.util
import sys
from io import StringIO

import numpy as np
import pytest
import torch
from rich.console import Console
from torch import nn
from transformers import AutoConfig

from podium.bench import beside, command, families, table
from podium.bench.bare import encode
from podium.bench.families import FAMILIES
from podium.bench.operations import computed
from podium.bench.results import Report
from podium.models.base import Encoding
from podium.models.linear.onednn import FusedLinear, PlainLinear
from podium.models.load import load
from podium.models.network.prefix_cache import CACHED_TOKENS
from podium.models.recipe import Recipe

SMALL = {"hidden_size": 64, "num_hidden_layers": 4, "num_attention_heads": 4, "intermediate_size": 96}
EXTRA = {
    "qwen3-0.6b": {"num_key_value_heads": 2, "head_dim": 16},
    "mxbai-base-v1": {"pooler_hidden_size": 64},
}


def small(family: families.Family) -> families.Family:
    return family._replace(config={**family.config, **SMALL, **EXTRA.get(family.name, {})})


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """Each family's small model."""
    under = tmp_path_factory.mktemp("families")
    return {family.name: families.folder_of(small(family), under) for family in FAMILIES}


@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.name)
def test_a_family_is_scored_by_podium_and_by_sentence_transformers(family, folders):
    pairs, _ = families.pairs_of(family)
    own = beside.Podium(folders[family.name], family.name, "float32", pairs).turn(0)
    assert own.pairs > 0
    assert (own.computed < own.read) is (family.layout == "decoder")
    reference = beside.Reference(folders[family.name], "float32", pairs)
    assert (reference.turn(0).pairs, reference.turn(0).pairs) == (6, 12)


def test_both_take_turns_and_their_table_says_how_many_times_faster(folders):
    pairs, texts = families.pairs_of(FAMILIES[0])
    found = beside.measure(
        "qwen3-0.6b", folders["qwen3-0.6b"], "float32", pairs, texts, 0, reference=True, alike=True, turns=2
    )
    report = Report(
        machine="m", texts="", pairs=0, mean_tokens=0, limits_gflops={}, gflop_per_pair={}, beside=[found]
    )
    console = Console(width=140, record=True, file=StringIO())
    table.show(report, console)
    assert f" {found.pairs_per_s / found.reference_pairs_per_s:.1f} " in console.export_text()


@pytest.mark.parametrize("name", ["mxbai-base-v1", "ettin-17m"])
def test_without_sentence_transformers_a_family_is_measured_alone_or_left_out(name, tmp_path, monkeypatch):
    [family] = [small(family) for family in FAMILIES if family.name == name]
    monkeypatch.setattr(command.devices, "dtypes", lambda _: [torch.float32])
    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name == "sentence_transformers" else find(name)
    )
    monkeypatch.setitem(sys.modules, "sentence_transformers", None)
    report = Report(machine="m", texts="", pairs=0, mean_tokens=0, limits_gflops={}, gflop_per_pair={})
    for step in command._family_steps(family, tmp_path, report):
        step.run(0)
    assert report.left_out == (
        [f"{name}: Sentence Transformers, which writes it, is not installed"] if name == "ettin-17m" else []
    )
    assert [one.reference_pairs_per_s for one in report.beside] == ([] if name == "ettin-17m" else [None])


@pytest.mark.parametrize(("prefix", "document"), [(50, 30), (100, 60), (300, 500)])
def test_a_decoder_s_prompts_and_documents_have_the_tokens_that_are_said(folders, prefix, document):
    family = FAMILIES[0]
    assert family.layout == "decoder"
    pairs, _ = families.pairs_of(family, prefix, document, 3)
    encodings = encode(load(folders[family.name], uri="x", dtype="float32"), pairs)
    assert {(e.shared, len(e.ids)) for e in encodings} == {(prefix, prefix + document)}
    assert len({e.prefix for e in encodings}) * prefix > CACHED_TOKENS  # none is kept until it comes again


@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.name)
def test_the_operations_of_linear_layers_are_those_that_run(family, folders, monkeypatch):
    """Counted where they run, and in the formula by leaving attention out: it has no linear layers."""
    model = load(folders[family.name], uri="x", dtype="float32")
    lengths = [48, 64, 64, 80]  # a sequence of a multiple of 16 tokens has no rows that belong to no pair
    shared = 32 if model.shares else 0
    batch = [encoding(length, shared, seed) for seed, length in enumerate(lengths)]
    run = []

    def counting(kind):
        plain = kind.forward

        def forward(self, x, *rest):
            result = plain(self, x, *rest)
            run.append(2 * x.numel() * result.shape[-1])
            return result

        monkeypatch.setattr(kind, "forward", forward)

    counting(FusedLinear)
    counting(PlainLinear)
    counting(nn.Linear)
    monkeypatch.setattr(model.forward, "_head", lambda states: states[:, 0])  # it is no part of them
    model.score(batch)
    config = AutoConfig.from_pretrained(folders[family.name])
    whole = computed(config, model.recipe, batch)
    attention = whole - sum(run)
    assert 0 < attention < 0.5 * whole
    assert attention == attended(config, model, lengths, shared)


def test_a_prefix_that_an_earlier_batch_computed_is_no_operation_of_the_next():
    config = AutoConfig.for_model(**FAMILIES[0].config)
    recipe = Recipe(family="x", recognised_by="x", state="last", attention="causal")
    batch = [encoding(90, 30, seed) for seed in range(3)]
    laid, kept = (computed(config, recipe, batch, tokens) for tokens in (30 + 3 * 60, 3 * 60))
    assert laid == computed(config, recipe, batch)
    # alone it has a last token of its own: its query, feed-forward and attention in the last layer
    h, heads, d, inner = 1024, 16, 128, 3072
    end = 2 * (2 * h * heads * d + 3 * h * inner) + 4 * heads * d * 30
    assert laid - kept == computed(config, recipe, [encoding(30, 0, 0)]) - end


def attended(config, model, lengths, shared) -> int:
    """The operations of attention, counted from masks."""
    heads, d = config.num_attention_heads, 16
    each = (8 if config.model_type == "deberta-v2" else 4) * heads * d
    kinds = getattr(config, "layer_types", None) or ["full_attention"] * config.num_hidden_layers
    ends = model.recipe.state != "mean"
    total = 0
    for kind in kinds[:-1] if ends else kinds:
        for length in lengths:
            distance = np.subtract.outer(np.arange(length), np.arange(length))
            seen = np.ones_like(distance, dtype=bool)
            if model.recipe.attention == "causal":
                seen = distance >= 0
            if kind == "sliding_attention":
                seen &= abs(distance) <= config.sliding_window
            total += int(seen[shared:].sum())
        if shared:
            total += shared * (shared + 1) // 2
    return each * (total + (sum(lengths) if ends else 0))


def encoding(length: int, shared: int, seed: int) -> Encoding:
    ids = np.random.default_rng(seed).integers(5, 1000, length).astype(np.int32)
    ids[:shared] = np.arange(5, 5 + shared)
    return Encoding(ids, length, False, length, shared, ids[:shared].tobytes())


def test_one_long_pair_of_a_plain_shape_costs_what_is_known():
    """BERT-base read by its mean: 24 · h² operations a token and layer, and 4 · t² · h of attention."""
    config = AutoConfig.for_model("bert")
    recipe = Recipe(family="x", recognised_by="x", state="mean")
    assert computed(config, recipe, [encoding(100, 0, 0)]) == 12 * (100 * 24 * 768**2 + 4 * 100**2 * 768)
