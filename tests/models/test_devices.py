import ctypes
import logging
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from podium.errors import PermanentStartError, Reason
from podium.models import devices, processor
from podium.models.devices import give_back_freed_memory, keep_freed_memory

CPU = torch.device("cpu")


def test_auto_finds_a_device_and_a_dtype():
    device = devices.choose_device("auto")
    assert device.type == ("cuda" if torch.cuda.is_available() else device.type)
    assert devices.choose_dtype("auto", device) in (torch.bfloat16, torch.float16, torch.float32)


@pytest.mark.parametrize(
    ("cuda", "mps", "device"), [(1, True, "cuda:0"), (0, True, "mps"), (0, False, "cpu")]
)
def test_auto_takes_cuda_then_mps_then_the_processor(cuda, mps, device, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: bool(cuda))
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: mps)
    assert devices.choose_device("auto") == torch.device(device)


@pytest.mark.parametrize(
    ("device", "native", "dtypes"),
    [
        ("cuda", True, [torch.bfloat16, torch.float16, torch.float32]),
        ("cuda", False, [torch.float16, torch.float32]),
        ("mps", False, [torch.float32, torch.float16]),
    ],
)
def test_half_precision_is_taken_by_itself_on_cuda_and_where_it_is_asked_for_on_mps(
    device, native, dtypes, monkeypatch
):
    # emulated bfloat16 is slower than float16
    monkeypatch.setattr(
        torch.cuda, "is_bf16_supported", lambda including_emulation: native or including_emulation
    )
    assert devices.dtypes(torch.device(device)) == dtypes
    assert devices.choose_dtype("auto", torch.device(device)) is dtypes[0]


def test_a_device_that_is_not_there_is_refused_with_what_is():
    with pytest.raises(PermanentStartError) as caught:
        devices.choose_device("cuda:97")
    assert caught.value.reason is Reason.MODEL_LOAD_FAILED
    count = torch.cuda.device_count()
    assert caught.value.message.startswith(
        f"device `cuda:97` is not there: this machine has {count} CUDA and "
    )
    assert caught.value.message.endswith("set PODIUM_DEVICE to auto or cpu")


def test_float32_is_for_every_device():
    assert devices.choose_dtype("float32", CPU) is torch.float32


@pytest.mark.parametrize(
    ("native", "auto", "names"),
    [(True, torch.bfloat16, "bfloat16, float32"), (False, torch.float32, "float32")],
)
def test_bfloat16_is_taken_where_the_processor_has_it(native, auto, names, monkeypatch):
    monkeypatch.setattr(processor, "multiplies_bfloat16", lambda: native)
    assert devices.choose_dtype("auto", CPU) is auto
    with pytest.raises(PermanentStartError) as caught:
        devices.choose_dtype("float16", CPU)
    assert caught.value.message == (
        f"dtype `float16` is not for device `cpu`, which computes in {names}; set PODIUM_DTYPE to "
        "one of these or to auto"
    )


@pytest.mark.parametrize(
    ("text", "cores"),
    [("max 100000\n", 1 << 16), ("150000 100000\n", 2), ("50000 100000\n", 1), ("nonsense", 1 << 16)],
)
def test_the_container_s_quota_counts_in_whole_cores(text, cores, tmp_path, monkeypatch):
    (tmp_path / "cpu.max").write_text(text)
    monkeypatch.setattr(devices, "_CGROUP", tmp_path)
    assert devices._quota() == cores
    assert 1 <= devices.cores() <= cores


@pytest.mark.parametrize("folder", ["cpu", "cpu,cpuacct"])
@pytest.mark.parametrize(("quota", "cores"), [("250000", 3), ("-1", 1 << 16), ("", 1 << 16)])
def test_the_first_version_of_cgroups_counts_too(folder, quota, cores, tmp_path, monkeypatch):
    (tmp_path / folder).mkdir()
    (tmp_path / folder / "cpu.cfs_quota_us").write_text(f"{quota}\n")
    (tmp_path / folder / "cpu.cfs_period_us").write_text("100000\n")
    monkeypatch.setattr(devices, "_CGROUP", tmp_path)
    assert devices._quota() == cores


def test_without_a_quota_all_cores_count(tmp_path, monkeypatch):
    monkeypatch.setattr(devices, "_CGROUP", tmp_path / "none")
    assert devices._quota() == 1 << 16


@pytest.mark.parametrize(
    ("file", "text", "bytes_"),
    [
        ("memory.max", "2147483648\n", 2**31),
        ("memory.max", "max\n", None),
        ("memory/memory.limit_in_bytes", "1073741824\n", 2**30),
        ("memory/memory.limit_in_bytes", "9223372036854771712\n", None),
    ],
)
def test_the_container_s_memory_is_known_in_both_versions(file, text, bytes_, tmp_path, monkeypatch):
    (tmp_path / file).parent.mkdir(exist_ok=True)
    (tmp_path / file).write_text(text)
    monkeypatch.setattr(devices, "_CGROUP", tmp_path)
    assert devices.memory_limit() == bytes_


def test_threads_follow_a_quota_that_changes(tmp_path, monkeypatch, caplog):
    quota, clock, told = tmp_path / "cpu.max", [0.0], []
    monkeypatch.setattr(devices, "_CGROUP", tmp_path)
    monkeypatch.setattr(devices, "_MOST_THREADS", 8)
    monkeypatch.setattr(devices.os, "sched_getaffinity", lambda _: set(range(6)), raising=False)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 2)
    monkeypatch.setattr(torch, "set_num_threads", told.append)
    quota.write_text("200000 100000")
    threads = devices.Threads(now=lambda: clock[0])

    def after(seconds, text):
        clock[0] += seconds
        quota.write_text(text)
        threads.follow()
        return threads.count

    assert after(10, "200000 100000") == 2
    assert after(1, "400000 100000") == 2, "it is not looked at so often"
    assert after(10, "400000 100000") == 4
    assert after(10, "max 100000") == 6, "the cores that the process may use"
    with caplog.at_level(logging.INFO, "podium.models.devices"):
        assert after(10, "50000 100000") == 1
    assert told == [4, 6, 1]
    assert "the model has 1 threads from now on, and had 6: its CPU limit" in caplog.text


def test_torch_s_own_threads_may_grow_again_in_the_thread_that_runs_the_model():
    """Their number belongs to a thread, and a pool that was made smaller is made larger again."""
    code = """
import threading, torch
def run():
    x = torch.randn(512, 512)
    for count in (2, 1, 3):
        torch.set_num_threads(count); x @ x
        print(torch.get_num_threads(), end=" ")
torch.set_num_threads(1)
thread = threading.Thread(target=run); thread.start(); thread.join()
"""
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ended.stdout.split() == ["2", "1", "3"]


def test_a_dtype_is_called_by_its_plain_name():
    assert devices.name(torch.bfloat16) == "bfloat16"


class Library:
    """A C library that notes what is set."""

    def __init__(self, *, has_mallopt: bool) -> None:
        self.set: dict[int, int] = {}
        if has_mallopt:
            self.mallopt = self.set.__setitem__


def test_glibc_gives_large_blocks_back_while_a_model_is_loaded_and_keeps_them_afterwards(monkeypatch):
    library = Library(has_mallopt=True)
    monkeypatch.setattr(ctypes, "CDLL", lambda _: library)
    monkeypatch.setattr(devices.sys, "platform", "linux")
    give_back_freed_memory()
    assert library.set == {-3: 2 << 20}
    keep_freed_memory()
    assert library.set == {-3: 32 * 1024 * 1024, -1: 1 << 30}


def test_another_c_library_is_left_alone(monkeypatch):
    monkeypatch.setattr(ctypes, "CDLL", lambda _: Library(has_mallopt=False))
    monkeypatch.setattr(devices.sys, "platform", "linux")
    keep_freed_memory()


GIB = 1 << 30


@pytest.mark.parametrize(
    ("free", "kept", "bytes_a_token", "tokens"),
    [
        pytest.param(70 * GIB, 0, 32 << 10, 65_536, id="a large card"),
        pytest.param(2 * GIB, 0, 32 << 10, 32_768, id="a small one"),
        pytest.param(1 * GIB, 1 * GIB, 32 << 10, 32_768, id="what torch keeps counts as free"),
        pytest.param(6 * GIB, 0, 102_400, 31_457, id="8B in 24 GB"),
        pytest.param(0, 0, 32 << 10, 16, id="a full one"),
    ],
)
def test_a_batch_on_a_card_fits_what_is_free(free, kept, bytes_a_token, tokens, monkeypatch):
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda _: (free, 80 * GIB))
    monkeypatch.setattr(torch.cuda, "memory_reserved", lambda _: 3 * GIB + kept)
    monkeypatch.setattr(torch.cuda, "memory_allocated", lambda _: 3 * GIB)
    assert devices.batch_tokens(torch.device("cuda:0"), bytes_a_token) == tokens
    assert tokens == 16 or tokens * bytes_a_token <= (free + kept) / 2 or tokens == 65_536


def test_a_batch_on_mps_fits_what_metal_recommends(monkeypatch):
    monkeypatch.setattr(torch.mps, "recommended_max_memory", lambda: 5 * GIB)
    monkeypatch.setattr(torch.mps, "driver_allocated_memory", lambda: 5 * GIB - (128 << 20))
    assert devices.batch_tokens(torch.device("mps"), 32 << 10) == 2_048


def test_a_batch_on_the_cpu_has_4096_tokens():
    assert devices.batch_tokens(CPU, 1 << 20) == 4_096


@pytest.mark.parametrize(
    ("device", "pinned", "options"),
    [("cuda:0", True, {"non_blocking": True}), ("mps", False, {}), ("cpu", False, {})],
)
def test_a_copy_is_not_waited_for_only_on_cuda_and_from_pinned_memory(device, pinned, options, monkeypatch):
    calls = []
    monkeypatch.setattr(torch.Tensor, "pin_memory", lambda tensor: calls.append("pinned") or tensor)
    monkeypatch.setattr(
        torch.Tensor, "to", lambda tensor, where, **how: calls.append((str(where), how)) or tensor
    )
    devices.placed(np.arange(3), torch.device(device))
    assert calls == [*(["pinned"] if pinned else []), (device, options)]


def test_nothing_else_goes_to_a_device_without_waiting():
    sources = Path(devices.__file__).parents[1].rglob("*.py")
    assert [file.name for file in sources if "non_blocking" in file.read_text()] == ["devices.py"]
