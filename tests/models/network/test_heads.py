"""Heads give the logits of the module that they stand for, in float32."""

import re
from itertools import pairwise
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from models.networks import DECODERS, build, network, packed, prefixed
from sentence_transformers.base.modules import Dense as ReferenceDense
from sentence_transformers.sentence_transformer.modules import LayerNorm as ReferenceLayerNorm
from torch import nn

from podium.models.network.heads import activation, make_head
from podium.models.recipe import Dense, LayerNorm, Normalize, Own, Recipe, Rows, Stack

H = 24


class Files(SimpleNamespace):
    """Stands in for what a folder holds."""

    def tensors(self, subfolder):
        return {
            name.removeprefix(f"{subfolder}/"): tensor
            for name, tensor in self.held.items()
            if name.startswith(f"{subfolder}/")
        }

    def rows(self, source, rows):
        return self.matrices[source][list(rows)]


def recipe(head, **fields):
    return Recipe(family="x", recognised_by="x", head=head, **fields)


def states(n=5, h=H):
    torch.manual_seed(4)
    return torch.randn(n, h)


@pytest.fixture
def matrices():
    torch.manual_seed(5)
    return Files(matrices={"vocabulary": torch.randn(50, H), "score": torch.randn(2, H)})


@pytest.mark.parametrize("source", ["vocabulary", "score"])
def test_two_rows_are_a_difference_of_two_logits(matrices, source):
    logits = states() @ matrices.matrices[source].T
    head = make_head(recipe(Rows(source=source, true=1, false=0)), matrices)
    assert torch.allclose(head(states()), logits[:, 1] - logits[:, 0], atol=1e-5)


def test_one_row_is_its_logit(matrices):
    head = make_head(recipe(Rows(source="vocabulary", true=7)), matrices)
    assert torch.allclose(head(states()), (states() @ matrices.matrices["vocabulary"].T)[:, 7], atol=1e-5)


def test_true_and_false_are_not_the_same_the_other_way_round(matrices):
    scores = [
        make_head(recipe(Rows(source="vocabulary", true=true, false=false)), matrices)(states())
        for true, false in ((9, 4), (4, 9))
    ]
    assert torch.allclose(scores[0], -scores[1])
    assert scores[0].abs().max() > 1


def test_a_logit_is_divided_by_the_temperature(matrices):
    head = Rows(source="vocabulary", true=7, false=3)
    plain, tempered = (
        make_head(recipe(head, temperature=temperature), matrices)(states()) for temperature in (1.0, 5.0)
    )
    assert torch.allclose(plain / 5, tempered)


def test_rows_in_bfloat16_are_multiplied_in_float32(matrices):
    rows = matrices.matrices["vocabulary"] = matrices.matrices["vocabulary"].bfloat16()
    head = make_head(recipe(Rows(source="vocabulary", true=7, false=3)), matrices)
    wanted = states().double() @ (rows[7].double() - rows[3].double())
    assert head(states()).dtype == torch.float32
    assert torch.allclose(head(states()).double(), wanted, atol=1e-5)


@pytest.mark.parametrize("residual", [False, True])
@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("inner", [H, 16], ids=["as wide", "narrower"])
@pytest.mark.parametrize(
    "function", [nn.GELU(), nn.Tanh(), nn.Identity(), nn.ReLU(), nn.PReLU(init=0.9)], ids=repr
)
def test_a_stack_is_sentence_transformers_modules_in_order(residual, bias, inner, function):
    torch.manual_seed(6)
    dense = ReferenceDense(H, inner, bias=bias, activation_function=function, use_residual=residual)
    norm = ReferenceLayerNorm(inner)
    nn.init.normal_(norm.norm.weight)
    nn.init.normal_(norm.norm.bias)
    last = ReferenceDense(inner, 1, activation_function=nn.Identity(), module_output_name="scores")
    features = {"sentence_embedding": states()}
    with torch.inference_mode():
        for module in (dense, norm, last):
            features = module(features)
    held = {
        f"{folder}/{name}": tensor
        for folder, module in (("2_Dense", dense), ("3_LayerNorm", norm), ("4_Dense", last))
        for name, tensor in module.state_dict().items()
    }
    name = f"{type(function).__module__}.{type(function).__name__}"
    modules = (
        Dense(folder="2_Dense", inputs=H, outputs=inner, bias=bias, activation=name, residual=residual),
        LayerNorm(folder="3_LayerNorm", size=inner),
        Dense(folder="4_Dense", inputs=inner, outputs=1, activation="torch.nn.modules.linear.Identity"),
    )
    head = make_head(recipe(Stack(modules=modules)), Files(held=held))
    assert torch.allclose(head(states()), features["scores"][:, 0], atol=1e-5)


def test_normalize_divides_by_the_euclidean_norm():
    held = {"1_Dense/linear.weight": torch.randn(1, H), "1_Dense/linear.bias": torch.randn(1)}
    modules = Normalize(), Dense(folder="1_Dense", inputs=H, outputs=1, activation="torch.nn.Identity")
    head = make_head(recipe(Stack(modules=modules)), Files(held=held))
    weight, bias = held.values()
    wanted = nn.functional.normalize(states()) @ weight[0] + bias
    assert torch.allclose(head(states()), wanted, atol=1e-5)


@pytest.mark.parametrize(
    ("part", "changed", "said"),
    [
        (
            Dense(folder="x", inputs=H, outputs=1),
            {"linear.weight": torch.zeros(1, H + 1)},
            "`x/linear.weight` is (1, 25), expected (1, 24)",
        ),
        (
            Dense(folder="x", inputs=H, outputs=1, activation="torch.nn.PReLU"),
            {},
            "the weights in `x` lack activation_function.weight",
        ),
        (
            Dense(folder="x", inputs=H, outputs=1),
            {"activation_function.weight": torch.zeros(1)},
            "`x/activation_function.weight` has no place in the module of its config.json",
        ),
        (
            LayerNorm(folder="x", size=H),
            {"norm.weight": torch.zeros(H), "norm.bias": torch.zeros(H)},
            "`x/linear.bias` has no place in the module of its config.json",
        ),
    ],
    ids=["another shape", "missing", "of a Dense left over", "of a LayerNorm left over"],
)
def test_tensors_that_are_not_those_of_the_module_are_named(part, changed, said):
    tensors = {"linear.weight": torch.zeros(1, H), "linear.bias": torch.zeros(1), **changed}
    held = {f"x/{name}": tensor for name, tensor in tensors.items()}
    with pytest.raises(ValueError, match=re.escape(said)):
        make_head(recipe(Stack(modules=(part,))), Files(held=held))


@pytest.mark.parametrize("name", ["os.system", "torch.nn.functional", "torch.nn.modules.activation.Gone"])
def test_what_is_no_activation_of_torch_is_refused(name):
    with pytest.raises(ValueError, match=f"`{name}` is no activation of torch.nn"):
        activation(name)


@pytest.mark.parametrize("shape", ["ms-marco-MiniLM-L6-v2", "podium-tiny", "bge-reranker-base"])
def test_a_checkpoint_s_own_head_is_run_by_its_own_class(shape):
    model = network(shape, num_hidden_layers=1)
    ids = torch.randint(5, 900, (3, 12))
    with torch.inference_mode():
        wanted = model(input_ids=ids).logits[:, 0]
        first = model.base_model(input_ids=ids).last_hidden_state[:, 0]
    head = make_head(recipe(Own()), SimpleNamespace(network=model))
    model.base_model.pooler = None  # a forward takes it away; the head has it
    with torch.inference_mode():
        assert torch.allclose(head(first), wanted, atol=1e-5)


def test_a_head_reads_the_state_that_its_recipe_names():
    model = build({**DECODERS["llama"], "is_causal": False})
    pairs = prefixed([4, 9, 20], 3)
    read = {
        state: packed(
            model if state == "mean" else build({**DECODERS["llama"], "is_causal": False}), state=state
        )
        for state in ("mean", "last", "first")
    }
    scores = [forward.logits(pairs) for forward in read.values()]
    assert all(np.abs(a - b).max() > 1e-2 for a, b in pairwise(scores))


def test_the_mean_of_a_pair_counts_its_first_token():
    """As llama-nemotron-rerank does: the beginning-of-sequence token is one of the tokens of the mean."""
    fields = {**DECODERS["llama"], "is_causal": False}
    model = build(fields)
    pairs = [
        pair._replace(ids=np.concatenate(([1], pair.ids)).astype(np.int32), shared=0)
        for pair in prefixed([4, 9, 20], 3)
    ]
    with torch.inference_mode():
        found = [
            model.base_model(input_ids=torch.from_numpy(pair.ids)[None].long()).last_hidden_state[0]
            for pair in pairs
        ]
        wanted, without = (
            model.score(torch.stack([state[first:].mean(0) for state in found]))[:, 0].numpy()
            for first in (0, 1)
        )
    got = packed(model, state="mean").logits(pairs)
    assert np.abs(got - wanted).max() < 1e-4
    assert np.abs(got - without).max() > 1e-2
