"""What a model is run on before it serves."""

import msgspec
import pytest
from fakes import INFO, FakeModel
from models.networks import BUILTIN

from podium.batching import learn_speed, next_budget
from podium.errors import OutOfMemory, PermanentStartError
from podium.models.load import load
from podium.models.readiness import GAIN, first_batches, measure, warm_up


def lengths_warmed(device: str, max_length: int) -> list[int]:
    """The tokens of the pairs that the warm-up scores, in ascending order."""
    model = FakeModel(msgspec.structs.replace(INFO, device=device, max_length=max_length))
    lengths = []
    score = model.score

    def noting(encodings):
        lengths.extend(encoding.tokens for encoding in encodings)
        return score(encodings)

    model.score = noting
    warm_up(model)
    return sorted(lengths)


@pytest.mark.parametrize(
    ("dtype", "error", "way_out"),
    [
        ("bfloat16", RuntimeError("m1 and m2"), "; it may not know bfloat16: try PODIUM_DTYPE=float32"),
        ("float32", RuntimeError("m1 and m2"), ""),
        ("bfloat16", OutOfMemory("no room"), ""),
    ],
)
def test_a_model_that_fails_on_its_first_batch_is_refused_with_a_way_out(dtype, error, way_out):
    model = FakeModel(msgspec.structs.replace(INFO, dtype=dtype))
    with pytest.raises(PermanentStartError) as caught, first_batches(model):
        raise error
    told = f"{type(error).__name__}: {error}"
    assert caught.value.message == f"the model is loaded, but fails on its first batch: {told}{way_out}"


@pytest.mark.parametrize("device", ["cuda:0", "cuda:1", "mps"])
@pytest.mark.parametrize("max_length", [40, 512, 8192])
def test_an_accelerator_is_warmed_up_with_a_pair_of_full_length(device, max_length):
    assert lengths_warmed(device, max_length)[-1] == max_length


@pytest.mark.parametrize("max_length", [513, 600, 8192])
def test_the_cpu_with_one_of_at_most_512_tokens(max_length):
    assert 512 - 11 < lengths_warmed("cpu", max_length)[-1] <= 512


@pytest.mark.parametrize("max_length", [40, 64, 512])
def test_the_cpu_with_one_of_full_length_where_that_is_no_longer(max_length):
    assert lengths_warmed("cpu", max_length)[-1] == max_length


def test_a_real_tokenizer_fills_the_pair():
    model, lengths = load(BUILTIN, uri="x", device="cpu", dtype="float32"), []
    score = model.score

    def noting(encodings):
        lengths.extend(encoding.tokens for encoding in encodings)
        return score(encodings)

    model.score = noting
    warm_up(model)
    assert max(lengths) == model.info.max_length == 512


# How large its batches should be.


class Timed(FakeModel):
    """A device on which a batch takes `fixed` seconds and so many for each token, on a clock of its own."""

    def __init__(self, fixed: float, each: float, device: str = "cuda:0") -> None:
        super().__init__(msgspec.structs.replace(INFO, device=device, max_length=512))
        self.fixed, self.each, self.now = fixed, each, 0.0

    def score(self, encodings):
        self.now += self.fixed + self.each * self.computed(encodings)
        return super().score(encodings)


def paced(model, max_batch_tokens=65_536, most_s=0.25):
    return measure(model, max_batch_tokens, most_s, now=lambda: model.now)


@pytest.mark.parametrize("each", [1e-6, 1e-5, 1e-4])
@pytest.mark.parametrize("fixed", [1e-4, 5e-3, 2e-2])
def test_batches_are_as_large_as_makes_a_device_fast_and_no_larger(fixed, each):
    pace = paced(Timed(fixed, each))
    tokens = pace.tokens_per_s * pace.batch_s
    assert pace.batch_s <= 0.25
    doubled = 2 * tokens / (fixed + each * 2 * tokens)
    worth = doubled >= GAIN * pace.tokens_per_s * 1.01
    assert not worth or 2 * tokens > 65_536 or fixed + each * tokens >= 0.25


def test_no_batch_is_tried_that_would_not_fit_but_for_the_first():
    model = Timed(1.0, 0.0)
    paced(model, max_batch_tokens=5_000, most_s=10)
    assert max(sum(len(d.split()) + 5 for d in batch) for batch in model.batches) <= 5_000
    assert paced(Timed(1e-3, 1e-6), max_batch_tokens=16) is not None


def test_a_batch_that_does_not_fit_after_all_ends_the_search_and_not_the_start():
    model = Timed(1.0, 0.0)
    score = model.score

    def score_within(encodings):
        if model.computed(encodings) > 3_000:
            raise OutOfMemory("the batch does not fit")
        return score(encodings)

    model.score = score_within
    pace = paced(model, most_s=10)
    assert 1_000 <= 2 * pace.least_batch_tokens <= 3_000


def test_a_few_slow_batches_make_later_ones_no_smaller_than_half_of_what_was_measured():
    fixed, each = 0.01, 5e-7
    pace = paced(Timed(fixed, each), max_batch_tokens=8_192)
    speed = pace.tokens_per_s

    def run(batches, slower):
        nonlocal speed
        for _ in range(batches):
            budget = next_budget(speed, 8_192, pace.batch_s, pace.least_batch_tokens)
            speed = learn_speed(speed, budget, slower * fixed + each * budget, budget, pace.batch_s)
        return budget

    run(60, 1.5)
    assert run(100, 1.0) >= pace.least_batch_tokens >= 2_000


def test_the_cpu_is_not_measured_so():
    model = Timed(1.0, 1.0, device="cpu")
    assert paced(model) is None
    assert model.batches == []
