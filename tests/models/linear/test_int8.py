"""Products of 8-bit integers are exact, or are not used; what is rounded is near to float32."""

import warnings

import pytest
import torch
from torch import nn

from podium.errors import PermanentStartError, Reason
from podium.models import devices
from podium.models.linear import calibration, int8
from podium.models.linear.calibration import InBlocks, Settled, Undecided
from podium.models.linear.int8 import Int8Linear, Reading, largest_weight

CPU = torch.device("cpu")

needs_int8 = pytest.mark.skipif(
    largest_weight() is None,
    reason="needs a processor on which oneDNN's products of 8-bit integers are exact",
)


@pytest.fixture
def linear():
    torch.manual_seed(4)
    return nn.Linear(64, 48).requires_grad_(False)


@pytest.fixture
def x():
    torch.manual_seed(5)
    return torch.randn(300, 64)


@needs_int8
def test_a_sum_that_would_saturate_16_bits_is_exact():
    limit = largest_weight()
    weight = torch.full((16, 512), float(limit))
    layer = Int8Linear(weight, None, Reading(0.0, 255.0))
    assert torch.equal(layer(torch.full((3, 512), 255.0)), torch.full((3, 16), 512.0 * 255 * limit))


def saturating(operator):
    """Return oneDNN's operator as it is without VNNI and with weights of 8 bits: sums of two in 16 bits."""

    def product(x, step, zero, packed, *rest):
        exact = operator(x, step, zero, packed, *rest)
        return exact.clamp(max=256 * 32767.0)

    return product


@needs_int8
def test_a_product_that_saturates_is_found_out_and_int8_refused(monkeypatch):
    class Ops:
        qlinear_prepack = torch.ops.onednn.qlinear_prepack
        qlinear_pointwise = staticmethod(saturating(torch.ops.onednn.qlinear_pointwise))

    assert int8._exact(largest_weight())
    monkeypatch.setattr(torch.ops, "onednn", Ops)
    assert not int8._exact(127)


def test_a_processor_without_an_exact_form_refuses_int8_with_that_reason(monkeypatch):
    monkeypatch.setattr(devices, "largest_weight", lambda: None)
    with pytest.raises(PermanentStartError) as caught:
        devices.choose_dtype("int8", CPU)
    assert caught.value.reason is Reason.MODEL_LOAD_FAILED
    assert "whose products of 8-bit integers are not exact; it computes in " in caught.value.message
    assert caught.value.message.endswith("set PODIUM_DTYPE to one of these or to auto")


def test_int8_is_not_for_an_accelerator_and_auto_never_takes_it():
    with pytest.raises(PermanentStartError, match="dtype `int8` is not for device `mps`"):
        devices.choose_dtype("int8", torch.device("mps"))
    assert devices.choose_dtype("auto", CPU) != torch.int8


@needs_int8
def test_each_row_of_a_weight_has_a_scale_of_its_own(linear, x):
    linear.weight[0] *= 1000
    linear.bias.zero_()
    layer = Int8Linear(linear.weight, linear.bias, Reading(float(x.min()), float(x.max())))
    wanted = linear(x)
    shares = (layer(x) - wanted).norm(dim=0) / wanted.norm(dim=0)
    assert float(shares.max()) < 0.05


@needs_int8
@pytest.mark.parametrize("activation", ["none", "gelu", "gelu_tanh", "silu"])
def test_a_row_has_the_same_bits_alone_and_among_others(linear, x, activation):
    layer = Int8Linear(linear.weight, linear.bias, Reading(-3.0, 3.0), activation)
    every = layer(x)
    for rows in (1, 5, 16, 17, 299):
        assert torch.equal(layer(x[:rows]), every[:rows])
    assert torch.equal(layer(x[7:8]), every[7:8])


@needs_int8
def test_channels_far_apart_are_rounded_apart(linear):
    x = torch.rand(300, 64, generator=torch.Generator().manual_seed(5))
    x[:, 3] = x[:, 3] * 80 + 60
    layer = Undecided(linear)
    layer.watched = True
    wanted = linear(x)
    assert torch.allclose(layer(x), wanted, atol=1e-3)
    assert not layer.found.reading.plain
    rounded = layer.settle(layer.found)
    assert float((rounded(x) - wanted).norm() / wanted.norm()) < 0.01


@needs_int8
@pytest.mark.parametrize("worst", [0.0, 1.0])
def test_a_layer_that_is_too_far_from_float32_stays_there(linear, x, worst, monkeypatch):
    monkeypatch.setattr(calibration, "WORST_SHARE", worst)
    layer = Undecided(linear)
    layer.watched = True
    layer(x)
    assert isinstance(layer.settle(layer.found), Int8Linear if worst else InBlocks)


@needs_int8
def test_a_layer_that_sees_few_rows_stays_in_float32(linear, x):
    layer = Undecided(linear)
    layer.watched = True
    layer(x[:20])
    settled = layer.settle(layer.found)
    assert layer.found is None
    assert torch.allclose(settled(x), linear(x), atol=1e-5)


def test_what_is_not_a_number_is_not_near():
    assert not Settled(Reading(0.0, 1.0), float("nan")).near


def test_rows_in_blocks_have_the_same_bits_however_many_there_are(linear, x):
    blocks = InBlocks(linear, 16)
    every = blocks(x)
    assert torch.allclose(every, linear(x), atol=1e-5)
    for rows in (1, 15, 16, 40):
        assert torch.equal(blocks(x[:rows]), every[:rows])


@needs_int8
def test_a_weight_may_lie_in_any_order_of_memory(linear, x):
    """oneDNN takes rows for what is not contiguous, without a word."""
    reading = Reading(-3.0, 3.0, None, torch.ones(64))
    turned = Int8Linear(linear.weight.t().contiguous().t(), linear.bias, reading)
    assert torch.equal(turned(x), Int8Linear(linear.weight, linear.bias, reading)(x))


@needs_int8
@pytest.mark.parametrize("quantizes", [True, False])
@pytest.mark.parametrize("channels", [False, True], ids=["all alike", "each apart"])
def test_what_is_read_is_the_nearest_step_and_beyond_the_range_its_end(
    linear, x, quantizes, channels, monkeypatch
):
    if not quantizes:
        monkeypatch.setattr(int8, "_quantizes", lambda: False)
    x[0, :3] = torch.tensor([9.0, -9.0, 1e30])
    shift, factor = (torch.rand(64) - 0.5, torch.rand(64) + 0.5) if channels else (None, None)
    layer = Int8Linear(linear.weight, linear.bias, Reading(-2.0, 3.0, shift, factor))
    moved = (x - shift) / factor if channels else x
    exact = moved.double() / layer.reading.step + layer.reading.zero
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        steps = layer.steps(x.t().contiguous().t())
    assert steps.dtype == torch.uint8
    assert float((steps - exact.clamp(0, 255)).abs().max()) <= 0.501


@needs_int8
def test_a_sum_is_the_product_and_what_it_is_added_to(linear, x):
    layer = Int8Linear(linear.weight, linear.bias, Reading(-3.0, 3.0))
    for rows in (16, 300):  # padded or not
        other = torch.randn(1, rows, 48)
        wanted = layer(x[:rows].unsqueeze(0)) + other
        assert torch.equal(layer(x[:rows].unsqueeze(0), other.clone()), wanted)
