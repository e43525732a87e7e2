"""The built-in model through the protocol that the data path sees."""

import numpy as np
import pytest
import torch
from models.networks import BUILTIN, needs_cuda
from scipy.stats import spearmanr

from podium.errors import OutOfMemory
from podium.models import devices
from podium.models.cross_encoder import CrossEncoder
from podium.models.load import load
from podium.models.readiness import self_test, warm_up

CHECKS = [
    (
        "What is deep learning?",
        {
            "Deep learning is a subset of machine learning that uses neural networks.": 6.7517,
            "The weather is nice today.": -4.3758,
            "Machine learning is a field of AI.": 6.2250,
        },
    ),
    (
        "what is panda?",
        {
            "hi": -1.1455,
            "The giant panda (Ailuropoda melanoleuca), sometimes called a panda bear or simply panda, is a "
            "bear species endemic to China.": 6.3335,
            "I like cats.": -3.5410,
        },
    ),
]


@pytest.fixture(scope="module")
def model() -> CrossEncoder:
    return load(BUILTIN, uri="builtin", device="cpu", dtype="float32")


def scores(model, pairs):
    """Return the logits of (query, document) pairs, in batches of 32."""
    queries, documents = zip(*pairs, strict=True)
    encoded = [
        model.pair(query, document)
        for query, document in zip(model.queries(queries), model.documents(documents), strict=True)
    ]
    return np.concatenate([model.score(encoded[i : i + 32]) for i in range(0, len(encoded), 32)])


@pytest.mark.parametrize(("query", "documents"), CHECKS, ids=["deep learning", "panda"])
def test_the_built_in_model_gives_the_logits_of_its_readme(model, query, documents):
    got = scores(model, [(query, document) for document in documents])
    assert got == pytest.approx(list(documents.values()), abs=1e-4)


def test_scores_come_in_the_order_of_the_pairs(model):
    (query, documents), _ = CHECKS
    pairs = [(query, document) for document in documents]
    assert scores(model, pairs[::-1]) == pytest.approx(scores(model, pairs)[::-1], abs=1e-5)


def test_no_pairs_have_no_scores(model):
    assert model.score([]).shape == (0,)


@pytest.mark.parametrize(
    ("device", "dtype"),
    [
        ("cpu", "bfloat16"),
        pytest.param("cuda", "bfloat16", marks=needs_cuda),
        pytest.param("cuda", "float16", marks=needs_cuda),
    ],
)
def test_half_precision_ranks_as_float32_does_and_keeps_scores_apart(device, dtype, model, random_pairs):
    able = [devices.name(each) for each in devices.dtypes(devices.choose_device(device))]
    if dtype not in able:
        pytest.skip(f"this {device} computes in {', '.join(able)}")
    exact = scores(model, random_pairs)
    fast = scores(load(BUILTIN, uri="builtin", device=device, dtype=dtype), random_pairs)
    assert spearmanr(exact, fast).statistic >= 0.999
    assert len(set(fast.tolist())) >= 190


@needs_cuda
def test_a_batch_that_does_not_fit_the_device_leaves_it_usable():
    model = load(BUILTIN, uri="builtin", device="cuda")
    (query,), (document,) = model.queries(["panda"]), model.documents(["bear " * 500])
    pair = model.pair(query, document)
    _, total = torch.cuda.mem_get_info()
    torch.cuda.empty_cache()
    torch.cuda.set_per_process_memory_fraction((torch.cuda.memory_allocated() + (256 << 20)) / total)
    try:
        with pytest.raises(OutOfMemory, match="a batch of 2000 pairs"):
            model.score([pair] * 2000)
        assert np.isfinite(model.score([pair])).all()
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)


def test_a_warm_model_ranks_the_known_pair(model):
    warm_up(model)
    assert self_test(model) is None


class Failing:
    """A forward that fails, or gives fixed logits."""

    name = "packed"

    def __init__(self, outcome):
        self.outcome = outcome

    def logits(self, _):
        if isinstance(self.outcome, Exception):
            raise self.outcome
        return np.array(self.outcome, dtype=np.float32)


def failing(model, outcome):
    spoilt = CrossEncoder.__new__(CrossEncoder)
    spoilt.__dict__ = {**model.__dict__, "forward": Failing(outcome)}
    return spoilt


@pytest.mark.parametrize(
    ("logits", "shown"),
    [
        ((-1.0, 2.5), "gives the relevant document -1 and the irrelevant one 2.5"),
        ((1.0, 1.0), "gives the relevant document 1 and the irrelevant one 1"),
        ((float("nan"), 0.0), "gives the relevant document nan and the irrelevant one 0"),
    ],
)
def test_a_model_that_ranks_the_known_pair_wrongly_is_told_of(model, logits, shown):
    wrong = self_test(failing(model, logits))
    assert wrong is not None
    assert shown in wrong
    assert wrong.endswith("PODIUM_SELF_TEST=off serves it anyway")


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB."),
        RuntimeError(
            "[enforce fail at alloc_cpu.cpp:118] err == 0. DefaultCPUAllocator: can't allocate memory"
        ),
        RuntimeError("MPS backend out of memory (MPS allocated: 8.00 GB)"),
        RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
        MemoryError(),
    ],
    ids=["device", "host", "mps", "library", "python"],
)
def test_running_out_of_memory_is_told_with_the_size_of_the_batch(model, error):
    (query,), (document,) = model.queries(["a b"]), model.documents(["c d e"])
    with pytest.raises(OutOfMemory) as caught:
        failing(model, error).score([model.pair(query, document)])
    assert caught.value.message == (
        "a batch of 1 pairs with 8 tokens does not fit the memory of cpu; lower PODIUM_MAX_BATCH_TOKENS"
    )


def test_other_failures_are_left_as_they_are(model):
    (query,), (document,) = model.queries(["a"]), model.documents(["b"])
    with pytest.raises(RuntimeError, match="broken"):
        failing(model, RuntimeError("broken")).score([model.pair(query, document)])
