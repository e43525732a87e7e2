"""A device that computes wrongly is found, and one that rounds as its dtype does is not."""

import weakref
from contextlib import contextmanager
from itertools import cycle, pairwise
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from models.networks import DECODERS, SHAPES, build, encodings, parts, prefixed
from torch import nn

from podium.models import agreement, devices, twin
from podium.models.agreement import disagreement
from podium.models.network import packed
from podium.models.network.packed import PackedForward
from podium.models.network.padded import PaddedForward
from podium.models.twin import LIMIT_S, roots

CAUSAL = {"attention": "causal", "state": "last"}
_SMALL = {"num_hidden_layers": 2, "hidden_size": 96, "intermediate_size": 160, "num_attention_heads": 4}
BERT = {**SHAPES["ms-marco-MiniLM-L6-v2"], **_SMALL}
MODERNBERT = {
    **SHAPES["gte-reranker-modernbert-base"],
    **_SMALL,
    "num_hidden_layers": 3,
    "local_attention": 32,
}
DEBERTA = {**SHAPES["mxbai-rerank-xsmall-v1"], **_SMALL, "pooler_hidden_size": 96}
PAIRS = encodings([5, 31, 90])
SHARED = PAIRS + prefixed([9, 40, 14, 3], 30)
FAMILIES = [
    pytest.param(PackedForward, BERT, {}, PAIRS, id="BERT"),
    pytest.param(PackedForward, MODERNBERT, {}, PAIRS, id="ModernBERT"),
    pytest.param(PackedForward, DECODERS["qwen3"], CAUSAL, SHARED, id="Qwen3"),
    pytest.param(PackedForward, DEBERTA, {}, PAIRS, id="DeBERTa"),
    pytest.param(PaddedForward, BERT, {}, PAIRS, id="BERT padded"),
    pytest.param(PaddedForward, DEBERTA, {}, PAIRS, id="DeBERTa padded"),
]
DTYPES = [torch.float32, torch.bfloat16, torch.float16]
families = pytest.mark.parametrize(("kind", "fields", "recipe", "pairs"), FAMILIES)
dtypes = pytest.mark.parametrize("dtype", DTYPES, ids=devices.name)


@pytest.fixture(autouse=True)
def _as_on_a_device(monkeypatch):
    """No product is one of oneDNN's, which only a CPU has."""
    monkeypatch.setattr(packed, "fused", None)


def model_of(kind, fields, dtype, recipe, pairs, monkeypatch, fault=None):
    """Return a model whose forward computes on the CPU, and there `fault` is at work as long as it is the one
    of the device, and not its twin.
    """

    class OnDevice(kind):
        fault = None

        def logits(self, encodings):
            if self.fault is None or self is not one:
                return super().logits(encodings)
            with self.fault(self):
                return super().logits(encodings)

    one = OnDevice(*parts(build(fields), dtype, **recipe), torch.device("cpu"), dtype)
    one._prefix_cache = None  # which no device keeps
    if fault is not None:
        one.fault = fault
    monkeypatch.setattr(agreement, "sample", lambda _: pairs)
    return SimpleNamespace(forward=one, info=SimpleNamespace(dtype=devices.name(dtype)))


def still() -> float:
    return 0.0


@families
@dtypes
def test_a_device_that_rounds_as_its_dtype_does_agrees_in_every_layer(
    kind, fields, recipe, pairs, dtype, monkeypatch, caplog
):
    caplog.set_level("INFO")
    assert disagreement(model_of(kind, fields, dtype, recipe, pairs, monkeypatch), now=still) is None
    [said] = [record.getMessage() for record in caplog.records if "were compared" in record.getMessage()]
    compared, layers = (int(word) for word in said.split() if word.isdigit())
    assert compared == layers >= fields["num_hidden_layers"]


def scaled(x):
    return x * 1.5


def no_number(x):
    x = x.clone()
    x.view(-1)[7] = torch.nan
    return x


def swapped(x):
    """Two tokens that lie side by side are taken for each other."""
    x = x.clone()
    rows = x.view(-1, x.shape[-1])
    rows[[1, 2]] = rows[[2, 1]]
    return x


def stale(x):
    """A block was never written."""
    x = x.clone()
    x.view(-1, x.shape[-1])[:3] = 0
    return x


def lists(forward):
    """The lists of layers below a forward."""
    found = {
        id(module): module
        for _, root in roots(forward)
        for module in root.modules()
        if isinstance(module, nn.ModuleList) and any(True for _ in module.parameters())
    }
    return list(found.values())


def fault_in(layer: int, name: str, change):
    """A fault that changes what the product `name` of a layer gives, while the device computes."""

    @contextmanager
    def fault(forward):
        [layers] = lists(forward)
        [product] = [module for at, module in layers[layer].named_modules() if at == name]
        hook = product.register_forward_hook(lambda _, __, output: change(output))
        try:
            yield
        finally:
            hook.remove()

    return fault


def products(layer, dtype):
    """The names of a layer's products whose faults show.

    A query or a key that is wrong may leave attention as it was, and of a value it takes the mean, which may
    be less than bfloat16 rounds away.
    """
    unseen = ["query", "key", "q_proj", "asking", *(["value", ".product"] if dtype == torch.bfloat16 else [])]
    names = [name for name, module in layer.named_modules() if isinstance(module, nn.Linear)]
    return [name for name in names if not any(part in f".{name}" for part in unseen)]


@pytest.mark.parametrize(("kind", "fields", "recipe", "pairs"), [*FAMILIES[:3], FAMILIES[5]])
@dtypes
def test_a_fault_in_a_product_of_any_layer_is_found_and_the_layer_named(
    kind, fields, recipe, pairs, dtype, monkeypatch
):
    model = model_of(kind, fields, dtype, recipe, pairs, monkeypatch)
    [layers] = lists(model.forward)
    changes = cycle([scaled, no_number, swapped, stale])
    for number, layer in enumerate(layers):
        names = products(layer, dtype)
        assert len(names) >= 2
        for name in names:
            change = next(changes)
            model.forward.fault = fault_in(number, name, change)
            said = disagreement(model, now=still)
            assert said is not None, (number, name, change)
            assert "what comes out of" in said
            assert f".{number}" in said


@contextmanager
def misplaced(forward):
    """Positions come late to the device, as those of a copy that nobody waited for."""
    original = packed.placed
    packed.placed = lambda values, device: original(
        np.roll(values, 1) if values.dtype == np.int64 else values, device
    )
    try:
        yield
    finally:
        packed.placed = original


@pytest.mark.parametrize(("kind", "fields", "recipe", "pairs"), FAMILIES[:3])
@dtypes
def test_ids_that_come_wrong_to_the_device_are_found(kind, fields, recipe, pairs, dtype, monkeypatch):
    said = disagreement(model_of(kind, fields, dtype, recipe, pairs, monkeypatch, misplaced), now=still)
    assert said is not None
    assert said.startswith("what goes into")


@pytest.mark.parametrize(("kind", "fields", "recipe", "pairs"), [FAMILIES[0], FAMILIES[4]])
def test_logits_that_are_wrong_are_found(kind, fields, recipe, pairs, monkeypatch):
    @contextmanager
    def fault(forward):
        heads = [forward._head] if recipe or kind is PackedForward else [forward._network.classifier]
        hook = heads[0].register_forward_hook(lambda _, __, output: output + 0.3)
        yield
        hook.remove()

    model = model_of(kind, fields, torch.bfloat16, recipe, pairs, monkeypatch, fault)
    assert disagreement(model, now=still).startswith("the logits differ by ")


def test_a_device_that_fails_is_told_by_what_it_said(monkeypatch):
    @contextmanager
    def fault(forward):
        raise RuntimeError("no kernel image is available\nmore")
        yield

    model = model_of(PackedForward, BERT, torch.float32, {}, PAIRS, monkeypatch, fault)
    assert disagreement(model, now=still) == "it fails: RuntimeError: no kernel image is available"


def test_a_device_that_is_lost_while_it_is_compared_fails(monkeypatch):
    def lost(x):
        raise torch.AcceleratorError("CUDA error: device-side assert triggered")

    model = model_of(PackedForward, BERT, torch.float32, {}, PAIRS, monkeypatch)
    monkeypatch.setattr(twin, "on_cpu", lost)
    assert disagreement(model) == "it fails: AcceleratorError: CUDA error: device-side assert triggered"


def test_a_device_without_memory_is_no_device_that_computes_wrongly(monkeypatch):
    @contextmanager
    def fault(forward):
        raise torch.OutOfMemoryError("CUDA out of memory")
        yield

    model = model_of(PackedForward, BERT, torch.float32, {}, PAIRS, monkeypatch, fault)
    with pytest.raises(torch.OutOfMemoryError):
        disagreement(model, now=still)


def test_one_layer_is_held_in_float32_at_a_time_and_no_vocabulary(monkeypatch):
    sizes, copied = [], twin._copied

    def noting(module):
        alive[:] = [one for one in alive if one() is not None]
        sizes.append(len(alive))
        found = copied(module)
        alive.append(weakref.ref(found))
        return found

    alive: list = []
    monkeypatch.setattr(twin, "_copied", noting)
    held: list[int] = []
    on_cpu = twin.on_cpu
    monkeypatch.setattr(twin, "on_cpu", lambda x: held.append(x.numel()) or on_cpu(x))
    fields = {**DECODERS["qwen3"], "vocab_size": 50_000}
    model = model_of(PackedForward, fields, torch.bfloat16, CAUSAL, SHARED, monkeypatch)
    assert disagreement(model, now=still) is None
    assert len(sizes) == 3
    assert set(sizes) == {0}
    assert max(held) < 50_000 * 64


@pytest.mark.parametrize("seconds", [0.5, 1.0, 2.0, 4.9, 100.0])
def test_where_time_runs_out_layers_are_left_out_evenly_and_never_the_first(seconds, monkeypatch):
    """A clock on which each layer takes so long."""
    clock = SimpleNamespace(now=0.0)
    run: list[str] = []
    copied = twin._copied

    def slow(module):
        clock.now += seconds
        run.append(module)
        return copied(module)

    monkeypatch.setattr(twin, "_copied", slow)
    fields = {**DECODERS["qwen3"], "num_hidden_layers": 12}
    model = model_of(PackedForward, fields, torch.float32, CAUSAL, SHARED, monkeypatch)
    [layers] = lists(model.forward)
    assert disagreement(model, now=lambda: clock.now) is None
    places = [list(layers).index(module) for module in run]
    assert places[0] == 0
    assert clock.now <= LIMIT_S + seconds
    assert len(places) >= min(12, int(LIMIT_S / seconds))
    if len(places) > 2:
        assert places[-1] >= 9
        assert max(b - a for a, b in pairwise(places)) <= 12 / len(places) * 2 + 1
