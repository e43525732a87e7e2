"""Which instructions this processor multiplies with, and what follows from them. No other module decides
anything by a processor's name.
"""

import platform

import torch

from podium.models.linear.int8 import largest_weight

MEASURED: dict[tuple[str, str, str], tuple[float, float]] = {
    ("AVX2", "float32", "int8"): (1.6, 1.8),
    ("AVX512-VNNI", "float32", "int8"): (1.9, 2.5),
    ("AVX512-BF16", "float32", "bfloat16"): (1.7, 1.9),
}
"""By instruction set: from which dtype to which, and how many times as fast that is on MiniLM-L6's shape and
on BERT-base's. docs/speed.md has the same table, and the figures that it is from."""

_ARM = ("aarch64", "arm64")


def instruction_set() -> str:
    """Return the best instructions for products that the processor has and oneDNN takes: `AMX`,
    `AVX512-BF16`, `AVX512-VNNI`, `AVX512`, `AVX2-VNNI`, `AVX2`, `SVE256-BF16`, `NEON`, ….

    ONEDNN_MAX_CPU_ISA is heeded where it takes AVX-512 away, and ATEN_CPU_CAPABILITY below that.
    """
    capability = torch.backends.cpu.get_cpu_capability()
    if platform.machine() in _ARM:
        base = capability if capability.startswith("SVE") else "NEON"
        return f"{base}-BF16" if multiplies_bfloat16() else base
    if torch.ops.mkldnn._is_mkldnn_bf16_supported():  # from AVX-512 on
        if torch.cpu._is_amx_tile_supported():
            return "AMX"
        if torch.cpu._is_avx512_bf16_supported():
            return "AVX512-BF16"
        return "AVX512-VNNI" if torch.cpu._is_vnni_supported() else "AVX512"
    if not torch.cpu._is_avx2_supported():
        return capability
    return "AVX2-VNNI" if torch.cpu.get_capabilities().get("avx_vnni") else "AVX2"


def multiplies_bfloat16() -> bool:
    """Whether the processor multiplies bfloat16 itself, and oneDNN lets it (ONEDNN_MAX_CPU_ISA may not): from
    AVX-512 on oneDNN takes bfloat16 without such instructions too, slower than float32.
    """
    if not torch.ops.mkldnn._is_mkldnn_bf16_supported():
        return False
    if platform.machine() in _ARM:
        return True
    return torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()


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
