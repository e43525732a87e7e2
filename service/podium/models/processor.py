"""Which instructions this processor multiplies with, and what follows from them. No other module decides
anything by a processor's name.
"""

import os
import platform

import torch

from podium.models.linear.int8 import largest_weight

MEASURED: dict[tuple[str, str, str], tuple[float, float]] = {
    ("AVX2", "float32", "int8"): (1.6, 1.8),
    ("AVX512-VNNI", "float32", "int8"): (1.9, 2.5),
    ("AVX512-BF16", "float32", "bfloat16"): (1.7, 1.9),
    ("AMX", "float32", "bfloat16"): (2.3, 3.1),
}
"""By instruction set: from which dtype to which, and how many times as fast that is on MiniLM-L6's shape and
on BERT-base's. docs/speed.md has the same table, and the figures that it is from."""

_ARM = ("aarch64", "arm64")

_LEFT = {
    "sse41": 0x1,
    "avx": 0x3,
    "avx2": 0x7,
    "avx2_vnni": 0xF,
    "avx2_vnni_2": 0x1F,
    "avx512_core": 0x27,
    "avx512_core_vnni": 0x67,
    "avx512_core_bf16": 0xE7,
    "avx512_core_fp16": 0x1EF,
    "avx10_1_512": 0x1EF,
    "avx10_2_512": 0x1EF,
    "avx512_core_amx": 0xFEF,
}
"""By values of ONEDNN_MAX_CPU_ISA what they leave, as oneDNN's `dnnl_cpu_isa_t` has it, one bit an extension;
any other value, such as ALL, takes away nothing that is told here."""


def instruction_set() -> str:
    """Return the best instructions for products that the processor has and oneDNN takes: `AMX`,
    `AVX512-BF16`, `AVX512-VNNI`, `AVX512`, `AVX2-VNNI`, `AVX2`, `SVE256-BF16`, `NEON`, ….

    ONEDNN_MAX_CPU_ISA is heeded, and ATEN_CPU_CAPABILITY below AVX-512.
    """
    capability = torch.backends.cpu.get_cpu_capability()
    if platform.machine() in _ARM:
        base = capability if capability.startswith("SVE") else "NEON"
        return f"{base}-BF16" if multiplies_bfloat16() else base
    if torch.ops.mkldnn._is_mkldnn_bf16_supported():  # from AVX-512 on
        if torch.cpu._is_amx_tile_supported() and _leaves("avx512_core_amx"):
            return "AMX"
        if torch.cpu._is_avx512_bf16_supported() and _leaves("avx512_core_bf16"):
            return "AVX512-BF16"
        vnni = torch.cpu._is_vnni_supported() and _leaves("avx512_core_vnni")
        return "AVX512-VNNI" if vnni else "AVX512"
    if not torch.cpu._is_avx2_supported():
        return capability
    if not _leaves("avx2"):
        return "AVX" if _leaves("avx") else "SSE41"
    vnni = bool(torch.cpu.get_capabilities().get("avx_vnni")) and _leaves("avx2_vnni")
    return "AVX2-VNNI" if vnni else "AVX2"


def _leaves(extension: str) -> bool:
    """Whether ONEDNN_MAX_CPU_ISA, or DNNL_MAX_CPU_ISA where that is empty, leaves oneDNN an extension."""
    said = os.environ.get("ONEDNN_MAX_CPU_ISA") or os.environ.get("DNNL_MAX_CPU_ISA", "")
    wanted = _LEFT[extension]
    return _LEFT.get(said.lower(), wanted) & wanted == wanted


def multiplies_bfloat16() -> bool:
    """Whether the processor multiplies bfloat16 itself, and oneDNN lets it (ONEDNN_MAX_CPU_ISA may not): from
    AVX-512 on oneDNN takes bfloat16 without such instructions too, slower than float32.
    """
    if not torch.ops.mkldnn._is_mkldnn_bf16_supported():
        return False
    if platform.machine() in _ARM:
        return True
    return instruction_set() in ("AMX", "AVX512-BF16")


def why(dtype: str) -> str:
    """Say why `auto` takes a dtype on this processor."""
    does = "multiplies" if dtype == "bfloat16" else "does not multiply"
    return f"auto: this processor {does} bfloat16"


def faster(dtype: str, *, packed: bool) -> str | None:
    """Say what would be faster on this processor than a float dtype, by how much where that was measured;
    None where nothing is known to be.
    """
    if dtype != "float32":
        return None
    if multiplies_bfloat16():
        better = "bfloat16"
    elif packed and largest_weight() is not None:
        better = "int8"
    else:
        return None
    instructions = instruction_set()
    measured = MEASURED.get((instructions, dtype, better))
    if measured is None:
        return f"PODIUM_DTYPE={better} may be faster; it was not measured with {instructions}"
    low, high = measured
    return f"PODIUM_DTYPE={better} is about {low} to {high} times as fast"
