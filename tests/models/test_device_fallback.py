"""What loading makes of a device that does not compute what the CPU computes."""

import pytest
import torch
from models.networks import BUILTIN
from models.oracle import PAIRS, assert_equal, expected, save, scored, unigram_tokenizer

from podium.errors import PermanentStartError
from podium.models import agreement, devices
from podium.models import load as loading
from podium.models.network import packed
from podium.models.readiness import first_batches, warm_up


@pytest.fixture(autouse=True)
def _as_on_a_device(monkeypatch):
    """No product is one of oneDNN's, which only a CPU has."""
    monkeypatch.setattr(packed, "fused", None)


@pytest.fixture
def _accelerated(monkeypatch):
    """The first device that is chosen has to prove itself; it is the CPU."""
    monkeypatch.setattr(devices, "choose_device", lambda _: torch.device("cpu"))
    monkeypatch.setattr(agreement, "is_asked", lambda _: True)


def broken(monkeypatch) -> None:
    """Let the device's second layer give something else; what is loaded after it is right."""
    recorded = agreement._recorded

    def wrongly(forward, pairs, stages):
        *_, last = stages.values()
        hook = last.register_forward_hook(lambda _, __, output: output * 1.5, prepend=True)
        try:
            return recorded(forward, pairs, stages)
        finally:
            hook.remove()

    monkeypatch.setattr(agreement, "_recorded", wrongly)


@pytest.mark.usefixtures("_accelerated")
@pytest.mark.parametrize("device", ["auto", "cuda:0"])
def test_a_device_that_agrees_is_served(device, caplog):
    caplog.set_level("INFO")
    assert loading.load(BUILTIN, uri="x", device=device, dtype="float32").info.device == "cpu"
    assert "cpu computes as the CPU does: 3 of 3 layers were compared" in caplog.text


@pytest.mark.usefixtures("_accelerated")
def test_auto_falls_back_to_the_cpu_with_a_warning(monkeypatch, caplog):
    broken(monkeypatch)
    asked = []
    loaded = loading._loaded
    monkeypatch.setattr(
        loading, "_loaded", lambda folder, on, **options: asked.append(on) or loaded(folder, on, **options)
    )
    model = loading.load(BUILTIN, uri="x", device="auto", dtype="float32")
    [said] = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert said.startswith("device `cpu` does not compute what the CPU computes: what comes out of `")
    assert said.endswith(" times the bound; the CPU serves")
    assert model.info.device == "cpu"
    assert len(asked) == 2


@pytest.mark.usefixtures("_accelerated")
def test_where_the_cpu_cannot_serve_the_dtype_the_device_is_what_is_told(monkeypatch):
    broken(monkeypatch)
    answers = iter([True, False])  # the device computes in it, the CPU does not
    monkeypatch.setattr(devices, "computes", lambda *_: next(answers))
    with pytest.raises(PermanentStartError) as caught:
        loading.load(BUILTIN, uri="x", device="auto", dtype="float32")
    assert caught.value.message.startswith("device `cpu` does not compute what the CPU computes: what comes")
    assert caught.value.message.endswith("; set PODIUM_DTYPE to auto or to float32")


@pytest.mark.usefixtures("_accelerated")
def test_a_device_that_was_asked_for_by_its_name_is_refused(monkeypatch):
    broken(monkeypatch)
    with pytest.raises(PermanentStartError) as caught:
        loading.load(BUILTIN, uri="x", device="cuda:0", dtype="float32")
    assert caught.value.message.startswith("device `cpu` does not compute what the CPU computes: what comes")
    assert caught.value.message.endswith(
        "; set PODIUM_DEVICE to cpu, or PODIUM_DTYPE to float32 if it is not"
    )


def test_the_cpu_is_not_asked_and_every_other_device_is():
    assert not agreement.is_asked(torch.device("cpu"))
    assert all(agreement.is_asked(torch.device(name)) for name in ("cuda:0", "cuda:3", "mps"))


@pytest.mark.parametrize("dtype", ["auto", "bfloat16"])
def test_auto_falls_back_to_float32_where_a_model_s_code_knows_no_other(monkeypatch, tmp_path, dtype, caplog):
    monkeypatch.setattr(devices, "dtypes", lambda _: [torch.bfloat16, torch.float32])
    small = {"d_model": 64, "n_head": 4, "n_layer": 1, "d_inner": 96}
    folder = save(tmp_path, "classifier", unigram_tokenizer(), model_type="xlnet", **small)
    model = loading.load(folder, uri="x", device="cpu", dtype=dtype)
    if dtype == "auto":
        told = (model.info.dtype, model.info.dtype_from)
        assert told == ("float32", "auto: XLNetForSequenceClassification fails in bfloat16")
        assert "XLNetForSequenceClassification fails in bfloat16, float32 serves: " in caplog.text
        assert_equal(scored(model, PAIRS), expected(folder, PAIRS, batch_size=1))
    else:
        assert model.info.dtype == "bfloat16"
        with pytest.raises(PermanentStartError, match="try PODIUM_DTYPE=float32"), first_batches(model):
            warm_up(model)
