"""Device, dtype, threads and memory: what this machine can do, and what it does best."""

import ctypes
import logging
import math
import os
import platform
import sys
from pathlib import Path
from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor

from podium.errors import PermanentStartError, Reason
from podium.models.linear.int8 import largest_weight

logger = logging.getLogger(__name__)

_CPU_QUOTA = Path("/sys/fs/cgroup/cpu.max")

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3
_LARGEST_MMAP_THRESHOLD = 32 * 1024 * 1024
"""glibc refuses more on 64 bits."""
_TRIM_THRESHOLD = 1 << 30

_BATCH_TOKENS = {"cpu": 4_096, "mps": 8_192, "cuda": 65_536}
"""Tokens of a batch at most, by kind of device. CPU: beyond it temporaries pass 32 MB, which glibc maps anew
each time. CUDA: 65,536 tokens of bge-reranker-v2-m3 take 2 GB beside its weights."""
_ROOM = 0.5
"""Share of the free memory that a batch may take by estimate: the rest is for what attention needs for long
pairs, for products in work, and for what lies between torch's blocks."""
_FEWEST_TOKENS = 16


def choose_device(wanted: str) -> torch.device:
    """Return the device for `auto`, `cpu`, `cuda`, `cuda:1` or `mps`: auto takes cuda, then mps, then cpu.

    Raises PermanentStartError where the wanted device is not there.
    """
    if wanted == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda:0")
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    device = torch.device(wanted)
    count = {"cpu": 1, "cuda": torch.cuda.device_count(), "mps": int(torch.backends.mps.is_available())}
    if (device.index or 0) >= count[device.type]:
        raise PermanentStartError(
            Reason.MODEL_LOAD_FAILED,
            f"device `{wanted}` is not there: this machine has {count['cuda']} CUDA and {count['mps']} MPS "
            "devices; set PODIUM_DEVICE to auto or cpu",
        )
    return torch.device("cuda:0") if wanted == "cuda" else device


def choose_dtype(wanted: str, device: torch.device) -> torch.dtype:
    """Return the dtype for `auto`, which takes the first of `dtypes`, or for one that is named, `int8` too.

    Raises PermanentStartError where the device cannot compute in the wanted dtype, and says in which it can.
    """
    able = dtypes(device)
    if wanted == "auto":
        return able[0]
    dtype: torch.dtype = getattr(torch, wanted)
    if dtype not in able and not (dtype == torch.int8 and computes_int8(device)):
        names = ", ".join(name(one) for one in able)
        why = f"dtype `{wanted}` is not for device `{device}`, which computes in {names}"
        if dtype == torch.int8 and device.type == "cpu":
            why = (
                "dtype `int8` is not for this processor, whose products of 8-bit integers are not exact; it "
                f"computes in {names}"
            )
        raise PermanentStartError(
            Reason.MODEL_LOAD_FAILED, f"{why}; set PODIUM_DTYPE to one of these or to auto"
        )
    return dtype


def name(dtype: torch.dtype) -> str:
    """Return `float32` for torch.float32."""
    return str(dtype).removeprefix("torch.")


def dtypes(device: torch.device) -> list[torch.dtype]:
    """Return what floats the device computes in by its own instructions, the one to take by itself first.

    That is the fastest, but on MPS, where float16 overflows in models that were trained in bfloat16.
    """
    if device.type == "cuda":
        native = torch.cuda.is_bf16_supported(including_emulation=False)
        return [*([torch.bfloat16] if native else []), torch.float16, torch.float32]
    if device.type == "mps":
        return [torch.float32, torch.float16]
    return [torch.bfloat16, torch.float32] if _cpu_has_bfloat16() else [torch.float32]


def computes_int8(device: torch.device) -> bool:
    """Whether linear layers can be had in exact products of 8-bit integers."""
    return device.type == "cpu" and largest_weight() is not None


def batch_tokens(device: torch.device, bytes_a_token: int) -> int:
    """Return the tokens of a batch at most: those that are worth it on such a device, and fit what is free.

    Ask once the weights lie there. `bytes_a_token` is what `inspection.batch_bytes` estimates.
    """
    free, most = free_bytes(device), _BATCH_TOKENS[device.type]
    if free is None:
        return most
    fits = int(free * _ROOM) // bytes_a_token
    if fits < most // 8:
        logger.warning(
            "%s has %.1f GB free: batches hold %d tokens at most; free some and start anew for more",
            device,
            free / 1e9,
            max(_FEWEST_TOKENS, fits),
        )
    return max(_FEWEST_TOKENS, min(most, fits))


def free_bytes(device: torch.device) -> int | None:
    """Return how much memory a batch may take on a device, what torch keeps of it included; None on a CPU."""
    if device.type == "cuda":
        kept = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        return int(torch.cuda.mem_get_info(device)[0]) + kept
    if device.type == "mps":
        return max(0, torch.mps.recommended_max_memory() - torch.mps.driver_allocated_memory())
    return None


def placed(values: NDArray[Any], device: torch.device) -> Tensor:
    """Return an array as a tensor on the device, which does not wait for it on CUDA.

    There the copy is made from pinned memory, which torch keeps until the device has read it. Elsewhere a
    copy that nobody waits for reads memory that is another's by then: on MPS it gave wrong numbers and no
    error.
    """
    tensor = torch.from_numpy(values)
    if device.type != "cuda":
        return tensor.to(device)
    return tensor.pin_memory().to(device, non_blocking=True)


def _cpu_has_bfloat16() -> bool:
    """Whether the processor multiplies bfloat16 itself, and oneDNN lets it (ONEDNN_MAX_CPU_ISA may not): from
    AVX-512 on oneDNN takes bfloat16 without such instructions too, slower than float32.
    """
    if not torch.ops.mkldnn._is_mkldnn_bf16_supported():
        return False
    if platform.machine() in ("aarch64", "arm64"):
        return True
    return torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()


def cores() -> int:
    """Return how many cores the model's thread may use: never more than the container's quota, where torch
    counts those of the host.
    """
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min(torch.get_num_threads(), allowed, _quota()))


def _quota() -> int:
    """Return the container's CPU limit in whole cores, rounded up; a large number where there is none."""
    try:
        quota, period = _CPU_QUOTA.read_text().split()
    except (OSError, ValueError):
        return 1 << 16
    return 1 << 16 if quota == "max" else math.ceil(int(quota) / int(period))


def device_memory(device: str) -> tuple[int, int]:
    """Return the bytes of a CUDA device's memory that are used, by whichever process, and that are free."""
    free, whole = torch.cuda.mem_get_info(device)
    return whole - free, free


def give_back_freed_memory() -> None:
    """Let glibc hand each large block back as soon as it is freed, until `keep_freed_memory` is called.

    While a model is loaded its weights are laid out anew, layer by layer, and what one layer leaves behind is
    of no use to the next where another thread allocated it: a model would pass through twice its memory.
    """
    _mallopt({_M_MMAP_THRESHOLD: 1 << 20})


def keep_freed_memory() -> None:
    """Raise glibc's thresholds, by which it hands large blocks back and gets them anew at every batch."""
    _mallopt({_M_MMAP_THRESHOLD: _LARGEST_MMAP_THRESHOLD, _M_TRIM_THRESHOLD: _TRIM_THRESHOLD})


def _mallopt(options: dict[int, int]) -> None:
    """Set options of glibc; do nothing where the C library is another one, which has its own ways."""
    if not sys.platform.startswith("linux"):
        return
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        for option, value in options.items():
            mallopt(option, value)
