"""Device, dtype, threads and memory: what this machine can do, and what it does best."""

import ctypes
import logging
import math
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor

from podium.errors import PermanentStartError, Reason
from podium.models import processor
from podium.models.linear.int8 import largest_weight

logger = logging.getLogger(__name__)

_CGROUP = Path("/sys/fs/cgroup")
_CPU_V1 = ("cpu", "cpu,cpuacct")
"""Folders of the first version of cgroups; `_QUOTA` is -1 there where there is none."""
_QUOTA, _PERIOD = "cpu.cfs_quota_us", "cpu.cfs_period_us"
_UNBOUNDED = 1 << 60
"""Bytes of memory that are no limit: the first version says nearly 2^63."""
_MOST_THREADS = torch.get_num_threads()
"""Threads that torch would take by itself, by OMP_NUM_THREADS too: before any is set."""
_LOOK_S = 3.0
"""Seconds between two looks at the quota."""

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
    if not computes(wanted, device):
        names, out = ", ".join(name(one) for one in able), "set PODIUM_DTYPE to one of these or to auto"
        why = f"dtype `{wanted}` is not for device `{device}`, which computes in {names}"
        if dtype == torch.int8 and device.type == "cpu":
            why = (
                "dtype `int8` is not for this processor, whose products of 8-bit integers are not exact; it "
                f"computes in {names}"
            )
        elif dtype == torch.int8 and computes_int8(torch.device("cpu")):
            out += ", or PODIUM_DEVICE to cpu"
        raise PermanentStartError(Reason.MODEL_LOAD_FAILED, f"{why}; {out}")
    return dtype


def dtype_from(wanted: str, device: torch.device, dtype: torch.dtype) -> str:
    """Say what decided the dtype that `choose_dtype` returned."""
    if wanted != "auto":
        return "PODIUM_DTYPE"
    if device.type == "cpu":
        return processor.why(name(dtype))
    return f"auto: the one for {device.type}, which computes in {', '.join(map(name, dtypes(device)))}"


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
    return [torch.bfloat16, torch.float32] if processor.multiplies_bfloat16() else [torch.float32]


def computes(wanted: str, device: torch.device) -> bool:
    """Whether the device can compute in `auto` or in the dtype of that name, `int8` among them."""
    if wanted == "int8":
        return computes_int8(device)
    return wanted == "auto" or wanted in map(name, dtypes(device))


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


def cores() -> int:
    """Return how many cores the model's thread may use now: never more than the container's quota, where
    torch counts those of the host.
    """
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min(_MOST_THREADS, allowed, _quota()))


def _quota() -> int:
    """Return the container's CPU limit in whole cores, rounded up; a large number where there is none."""
    v2 = _words(_CGROUP / "cpu.max")
    for quota, period in [v2, *(_words(_CGROUP / v1 / _QUOTA, _CGROUP / v1 / _PERIOD) for v1 in _CPU_V1)]:
        if quota.isdigit() and period.isdigit() and int(period):
            return math.ceil(int(quota) / int(period))
    return 1 << 16


def memory_limit() -> int | None:
    """Return the bytes of memory that the container may use; None where nothing bounds them."""
    for file in (_CGROUP / "memory.max", _CGROUP / "memory" / "memory.limit_in_bytes"):
        said, _ = _words(file)
        if said.isdigit() and int(said) < _UNBOUNDED:
            return int(said)
    return None


def _words(*files: Path) -> tuple[str, str]:
    """Return the first two words of files; empty ones where there are fewer."""
    try:
        words = " ".join(file.read_text() for file in files).split()
    except (OSError, UnicodeDecodeError):
        words = []
    first, second, *_ = [*words, "", ""]
    return first, second


class Threads:
    """Torch's threads, as many as there are cores to use: a quota may change while a pod runs."""

    def __init__(self, *, now: Callable[[], float] = time.monotonic) -> None:
        self.count = torch.get_num_threads()
        self._now = now
        self._looked = now()

    def follow(self) -> None:
        """Look at the quota anew, every few seconds; call it from the thread that runs the model, whose
        number it sets.
        """
        if self._now() - self._looked < _LOOK_S:
            return
        self._looked = self._now()
        count = cores()
        if count != self.count:
            torch.set_num_threads(count)
            logger.info("the model has %d threads from now on, and had %d: its CPU limit", count, self.count)
            self.count = count


def device_memory(device: str) -> tuple[int, int]:
    """Return the bytes of a CUDA device's memory that are used, by whichever process, and that are free."""
    free, whole = torch.cuda.mem_get_info(device)
    return whole - free, free


def give_back_freed_memory() -> None:
    """Let glibc hand each large block back as soon as it is freed, until `keep_freed_memory` is called.

    While a model is loaded its weights are laid out anew, layer by layer, and what one layer leaves behind is
    of no use to the next where another thread allocated it: a model would pass through twice its memory.
    """
    _mallopt({_M_MMAP_THRESHOLD: 2 << 20})


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
