import time

import pytest
import torch
from torch import nn

from podium.models import devices
from podium.models.linear import onednn as linear
from podium.models.linear.onednn import FusedLinear, PlainLinear, fused
from podium.models.linear.stored import StoredLinear, merged

PLAIN_IS_FASTER = linear.plain_is_faster
needs_bfloat16 = pytest.mark.skipif(
    torch.bfloat16 not in devices.dtypes(torch.device("cpu")),
    reason="needs a processor that multiplies bfloat16 (AVX512-BF16, AMX, or Arm's BF16)",
)


@pytest.fixture(autouse=True)
def the_fused_layer_is_as_fast(monkeypatch):
    monkeypatch.setattr(linear, "plain_is_faster", lambda: False)


@pytest.fixture(
    params=[
        pytest.param(torch.float32, id="float32"),
        pytest.param(torch.bfloat16, id="bfloat16", marks=needs_bfloat16),
    ]
)
def layer(request):
    torch.manual_seed(2)
    return nn.Linear(48, 80).to(request.param).requires_grad_(False)


def difference(got, wanted):
    return float((got.float() - wanted.float()).abs().max())


def bound(layer):
    return 1e-5 if layer.weight.dtype == torch.float32 else 4e-2


@pytest.mark.parametrize("rows", [1, 7, 300])
def test_a_fused_layer_gives_what_the_plain_one_gives(layer, rows):
    x = torch.randn(1, rows, 48, dtype=layer.weight.dtype)
    residual = torch.randn(1, rows, 80, dtype=layer.weight.dtype)
    with torch.inference_mode():
        assert difference(fused(layer)(x), layer(x)) < bound(layer)
        assert difference(fused(layer)(x, residual), layer(x) + residual) < bound(layer)
        assert difference(fused(layer, "gelu")(x), nn.functional.gelu(layer(x))) < bound(layer)


@pytest.mark.parametrize(
    ("name", "function"),
    [
        ("gelu_tanh", lambda x: nn.functional.gelu(x, approximate="tanh")),
        ("silu", nn.functional.silu),
        ("none", lambda x: x),
    ],
)
def test_an_activation_is_known_by_what_it_does_and_fused(layer, name, function):
    assert linear.activation_of(function) == name
    x = torch.randn(7, 48, dtype=layer.weight.dtype)
    with torch.inference_mode():
        assert difference(fused(layer, name)(x), function(layer(x))) < bound(layer)


def test_another_activation_is_not_known():
    assert linear.activation_of(nn.functional.relu) is None


def test_a_fused_layer_multiplies_with_another_tensor(layer):
    x = torch.randn(7, 48, dtype=layer.weight.dtype)
    gate = torch.rand(7, 80, dtype=layer.weight.dtype)
    with torch.inference_mode():
        got = fused(layer, binary="mul")(x, gate)
        assert difference(got, layer(x) * gate) < bound(layer)
        assert difference(got, layer(x) + gate) > 10 * bound(layer)


def test_a_layer_without_bias_is_fused():
    layer = nn.Linear(16, 8, bias=False).requires_grad_(False)
    x = torch.randn(3, 16)
    assert difference(fused(layer)(x), layer(x)) < 1e-5


def test_a_dtype_that_the_processor_does_not_multiply_leaves_the_plain_layer_or_agrees_with_it():
    layer = nn.Linear(48, 80).to(torch.bfloat16).requires_grad_(False)
    x = torch.randn(7, 48, dtype=torch.bfloat16)
    replacement = fused(layer)
    assert difference(replacement(x), layer(x)) < bound(layer)


def test_a_missing_operator_leaves_the_plain_layer_and_says_so(monkeypatch, caplog):
    def missing(*_):
        raise AttributeError("no _reorder_linear_weight")

    monkeypatch.setattr(linear, "FusedLinear", missing)
    assert type(fused(nn.Linear(16, 8))) is PlainLinear
    assert "oneDNN's fused linear layer is not available, the plain one serves" in caplog.text


@pytest.mark.parametrize("error", [0.1, float("nan")])
def test_an_operator_that_disagrees_leaves_the_plain_layer_and_says_so(error, monkeypatch, caplog):
    class Wrong(nn.Linear):
        def __init__(self, weight, bias, activation, binary):
            super().__init__(weight.shape[1], weight.shape[0])

        def forward(self, x, residual=None):
            return super().forward(x) + error

    monkeypatch.setattr(linear, "FusedLinear", Wrong)
    assert type(fused(nn.Linear(16, 8))) is PlainLinear
    assert "oneDNN's fused linear layer disagrees with the plain one" in caplog.text


@pytest.mark.parametrize("order", [None, torch.arange(13, -1, -1)], ids=["as they are", "in another order"])
@pytest.mark.parametrize("bias", [True, False])
def test_merged_layers_stand_side_by_side(bias, order):
    layers = [nn.Linear(16, out, bias=bias).requires_grad_(False) for out in (8, 4, 2)]
    x = torch.randn(3, 16)
    wanted = torch.cat([layer(x) for layer in layers], dim=1)
    wanted = wanted if order is None else wanted[:, order]
    assert torch.allclose(merged(layers, order)(x), wanted, atol=1e-6)
    for layer in layers:
        layer.__class__ = StoredLinear
    stored = merged(layers, order)
    assert isinstance(stored, StoredLinear)
    assert {parameter.data_ptr() for parameter in stored.parameters()} == {
        parameter.data_ptr() for layer in layers for parameter in layer.parameters()
    }
    assert torch.allclose(stored(x), wanted, atol=1e-6)


@pytest.mark.parametrize(
    ("seconds", "plain"), [((2.0, 1.0), True), ((1.05, 1.0), False), ((1.0, 2.0), False)]
)
def test_where_the_plain_layer_is_clearly_faster_it_serves_in_float32(seconds, plain, monkeypatch, caplog):
    caplog.set_level("INFO")
    monkeypatch.setattr(linear, "_fastest", lambda *_: seconds)
    measured = PLAIN_IS_FASTER.__wrapped__
    assert measured() is plain
    assert ("plain linear layers serve: 2.0 times as fast" in caplog.text) is plain
    monkeypatch.setattr(linear, "plain_is_faster", measured)
    assert type(fused(nn.Linear(16, 8))) is (PlainLinear if plain else FusedLinear)


def test_which_is_faster_is_measured_in_turns_and_the_first_of_each_does_not_count():
    done, waits = [], iter([0.03, 0.0, *[0.0, 0.002] * 5])

    def work(name):
        done.append(name)
        time.sleep(next(waits))

    first, second = linear._fastest(lambda: work("a"), lambda: work("b"))
    assert done == ["a", "b"] * 6
    assert first < 0.03
    assert second >= 0.002
