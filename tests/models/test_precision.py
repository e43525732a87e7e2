import pytest
import torch

from podium.errors import PermanentStartError, Reason
from podium.models import precision

CPU = torch.device("cpu")


def test_auto_finds_a_device_and_a_dtype():
    device = precision.choose_device("auto")
    assert device.type == ("cuda" if torch.cuda.is_available() else device.type)
    assert precision.choose_dtype("auto", device) in (torch.bfloat16, torch.float16, torch.float32)


@pytest.mark.parametrize(
    ("cuda", "mps", "device"), [(1, True, "cuda:0"), (0, True, "mps"), (0, False, "cpu")]
)
def test_auto_takes_cuda_then_mps_then_the_processor(cuda, mps, device, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: bool(cuda))
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: mps)
    assert precision.choose_device("auto") == torch.device(device)


@pytest.mark.parametrize(
    ("device", "native", "dtypes"),
    [
        ("cuda", True, [torch.bfloat16, torch.float16, torch.float32]),
        ("cuda", False, [torch.float16, torch.float32]),
        ("mps", False, [torch.float16, torch.float32]),
    ],
)
def test_half_precision_is_taken_on_accelerators(device, native, dtypes, monkeypatch):
    # emulated bfloat16 is slower than float16
    monkeypatch.setattr(
        torch.cuda, "is_bf16_supported", lambda including_emulation: native or including_emulation
    )
    assert precision.dtypes(torch.device(device)) == dtypes
    assert precision.choose_dtype("auto", torch.device(device)) is dtypes[0]


def test_a_device_that_is_not_there_is_refused_with_what_is():
    with pytest.raises(PermanentStartError) as caught:
        precision.choose_device("cuda:97")
    assert caught.value.reason is Reason.MODEL_LOAD_FAILED
    count = torch.cuda.device_count()
    assert caught.value.message.startswith(
        f"device `cuda:97` is not there: this machine has {count} CUDA and "
    )
    assert caught.value.message.endswith("set PODIUM_DEVICE to auto or cpu")


def test_float32_is_for_every_device():
    assert precision.choose_dtype("float32", CPU) is torch.float32


@pytest.mark.parametrize(
    ("native", "auto", "names"),
    [(True, torch.bfloat16, "bfloat16, float32"), (False, torch.float32, "float32")],
)
def test_bfloat16_is_taken_where_the_processor_has_it(native, auto, names, monkeypatch):
    monkeypatch.setattr(precision, "_cpu_has_bfloat16", lambda: native)
    assert precision.choose_dtype("auto", CPU) is auto
    with pytest.raises(PermanentStartError) as caught:
        precision.choose_dtype("float16", CPU)
    assert caught.value.message == (
        f"dtype `float16` is not for device `cpu`, which computes in {names}; set PODIUM_DTYPE to "
        "one of these or to auto"
    )


@pytest.mark.parametrize(
    ("text", "cores"),
    [("max 100000\n", 1 << 16), ("150000 100000\n", 2), ("50000 100000\n", 1), ("nonsense", 1 << 16)],
)
def test_the_container_s_quota_counts_in_whole_cores(text, cores, tmp_path, monkeypatch):
    quota = tmp_path / "cpu.max"
    quota.write_text(text)
    monkeypatch.setattr(precision, "_CPU_QUOTA", quota)
    assert precision._quota() == cores
    assert 1 <= precision.cores() <= cores


def test_without_a_quota_all_cores_count(tmp_path, monkeypatch):
    monkeypatch.setattr(precision, "_CPU_QUOTA", tmp_path / "none")
    assert precision._quota() == 1 << 16


def test_a_dtype_is_called_by_its_plain_name():
    assert precision.name(torch.bfloat16) == "bfloat16"
