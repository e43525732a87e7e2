"""A packed model in 8-bit integers: near to float32, and each score the same whatever its neighbours."""

from collections import Counter

import numpy as np
import pytest
import torch
from models.network.saving import built, recipe, rewritten, saved
from models.networks import DECODERS, build, encodings, parts, prefixed
from transformers import AutoModel, AutoModelForSequenceClassification

from podium.models.linear import onednn
from podium.models.linear.calibration import Undecided
from podium.models.linear.int8 import Int8Linear, largest_weight
from podium.models.network import packed
from podium.models.network.packed import PackedForward

pytestmark = pytest.mark.skipif(
    largest_weight() is None,
    reason="needs a processor on which oneDNN's products of 8-bit integers are exact",
)

ENCODER = {
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "pad_token_id": 1,
    "bos_token_id": 0,
    "eos_token_id": 2,
    "initializer_range": 0.05,
}
RELATIVE = {"relative_attention": True, "pos_att_type": ["p2c", "c2p"], "position_buckets": 32}
FAMILIES = {
    "bert": {"model_type": "bert", **ENCODER},
    "modernbert": {"model_type": "modernbert", **ENCODER, "classifier_pooling": "cls"},
    "deberta": {"model_type": "deberta-v2", **ENCODER, **RELATIVE},
    "qwen3": {**DECODERS["qwen3"], "initializer_range": 0.05},
}
LENGTHS = [*range(2, 120, 3), 230, 300]


def pairs_of(family, seed):
    if family == "qwen3":
        return prefixed(LENGTHS, 30, seed) + prefixed([40], 25, seed + 1)
    return encodings(LENGTHS, seed)


def forward(family, dtype):
    state = {"attention": "causal", "state": "last"} if family == "qwen3" else {}
    model, head, recipe = parts(build(FAMILIES[family]), torch.float32, **state)
    return PackedForward(model, head, recipe, torch.device("cpu"), dtype)


@pytest.fixture(scope="module", params=FAMILIES)
def family(request):
    """A family, its model in integers, and what was found of its layers."""
    integers = forward(request.param, torch.int8)
    with torch.inference_mode():
        found = integers.to_integers(pairs_of(request.param, seed=3))
    return request.param, integers, found


@pytest.mark.parametrize("name", FAMILIES)
def test_where_no_layer_can_be_fused_plain_ones_stay_in_float32(name, monkeypatch):
    monkeypatch.setattr(onednn, "plain_is_faster", lambda: True)
    integers = forward(name, torch.int8)
    pairs = pairs_of(name, seed=3)
    with torch.inference_mode():
        found = integers.to_integers(pairs)
        wanted, got = forward(name, torch.float32).logits(pairs), integers.logits(pairs)
    assert len(found) >= 8
    plain = [module for module in integers._reduced.modules() if isinstance(module, onednn.PlainLinear)]
    assert bool(plain) is (name != "modernbert")  # all of its layers compute all tokens
    assert integers.weights_bytes() > sum(4 * module.weight.numel() for module in plain)
    assert not any(isinstance(module, Undecided) for module in integers._reduced.modules())
    assert float(np.sqrt(np.square(got - wanted).mean())) < 0.1 * float(wanted.std())


@torch.inference_mode()
@pytest.mark.parametrize("name", FAMILIES)
def test_a_text_that_is_longer_than_a_sequence_settles_each_layer_once(name, monkeypatch):
    pairs = pairs_of(name, seed=3)
    found = []
    for longest in 4096, 400:
        monkeypatch.setattr(packed, "CPU_TOKENS", longest)
        integers = forward(name, torch.int8)
        found.append(integers.to_integers(pairs))
        assert len(list(integers._sequences(pairs))) > 1 or longest == 4096
    one, other = ([str(settled) for settled in each.values()] for each in found)
    assert one == other


@torch.inference_mode()
@pytest.mark.parametrize("other", ["config", "norm", "nothing"])
def test_scales_are_bound_to_what_a_config_and_norms_say(other):
    bound = []
    for changed in "nothing", other:
        model, head, recipe = parts(build(FAMILIES["qwen3"]), torch.float32, attention="causal", state="last")
        if changed == "norm":
            model.base_model.layers[0].input_layernorm.weight.data[0] += 1
        made = PackedForward(model, head, recipe, torch.device("cpu"), torch.int8)
        bound.append(made.scales_binding(pairs_of("qwen3", seed=3), changed == "config"))
    assert (bound[0] == bound[1]) is (other == "nothing")


@torch.inference_mode()
def test_scores_are_near_to_those_of_float32(family):
    name, integers, found = family
    pairs = pairs_of(name, seed=7)
    wanted, got = forward(name, torch.float32).logits(pairs), integers.logits(pairs)
    assert len(found) >= 8
    assert sum(isinstance(module, Int8Linear) for module in integers._reduced.modules()) >= 8
    assert not np.array_equal(got, wanted)
    assert float(np.sqrt(np.square(got - wanted).mean())) < 0.1 * float(wanted.std())


@pytest.mark.parametrize("half", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("name", FAMILIES)
def test_weights_in_half_precision_stay_so_until_they_are_integers(name, half, tmp_path):
    """No float copy of a model is made, and it is served as one is whose files have the same numbers."""
    decoder = name == "qwen3"
    auto = AutoModel if decoder else AutoModelForSequenceClassification
    fields = {"network": "base", "attention": "causal", "state": "last"} if decoder else {"state": "first"}
    labels = {} if decoder else {"num_labels": 1}
    found, logits = [], []
    for folder, dtype in (tmp_path / "half", half), (tmp_path / "float", torch.float32):
        saved(folder, auto, **FAMILIES[name], **labels)
        rewritten(folder, lambda all_, dtype=dtype: {k: x.to(half).to(dtype) for k, x in all_.items()})
        network = built(folder, torch.int8, **fields).network
        kinds = Counter(p.dtype for p in network.base_model.parameters() if p.dim() == 2)
        assert kinds[dtype] >= 12
        head = torch.nn.Linear(64, 1, device="meta").to_empty(device="cpu").requires_grad_(False)
        torch.nn.init.normal_(head.weight, generator=torch.Generator().manual_seed(1))
        torch.nn.init.zeros_(head.bias)
        forward = PackedForward(
            network,
            torch.nn.Sequential(head, torch.nn.Flatten(0)),
            recipe(**fields),
            torch.device("cpu"),
            torch.int8,
        )
        with torch.inference_mode():
            found.append(forward.to_integers(pairs_of(name, seed=3)))
            logits.append(forward.logits(pairs_of(name, seed=7)))
    assert [each.share for each in found[0].values()] == [each.share for each in found[1].values()]
    assert len(found[0]) >= 8
    assert np.array_equal(*logits)


@torch.inference_mode()
def test_a_pair_has_the_same_bits_alone_and_among_others(family):
    name, integers, _ = family
    pairs = pairs_of(name, seed=7)
    among = integers.logits(pairs)
    for number in (0, 5, 17, 38, len(pairs) - 1):
        assert integers.logits([pairs[number]])[0] == among[number]
    assert np.array_equal(integers.logits(pairs[10:30]), among[10:30])


@torch.inference_mode()
def test_what_was_found_once_makes_the_same_model_again(family):
    name, integers, found = family
    again = forward(name, torch.int8)
    again.to_integers([], found)
    pairs = pairs_of(name, seed=7)[:10]
    assert np.array_equal(again.logits(pairs), integers.logits(pairs))
