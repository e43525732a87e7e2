"""What a processor multiplies with, what `auto` takes by it, and what is said to be faster."""

import re
from pathlib import Path

import pytest
import torch

from podium.models import processor
from podium.models.processor import MEASURED, faster, instruction_set, why

SPEED = Path(__file__).parents[2] / "docs" / "speed.md"
ROW = re.compile(r"^\| (\S+) \| (\w+) \| (\w+) \| ([\d.]+) to ([\d.]+) \|$", re.MULTILINE)


class Processor:
    """An x86 or Arm processor, as torch and oneDNN tell of it."""

    def __init__(self, monkeypatch, *has: str, machine: str = "x86_64", capability: str = "AVX512") -> None:
        for name in ("ONEDNN_MAX_CPU_ISA", "DNNL_MAX_CPU_ISA"):
            monkeypatch.delenv(name, raising=False)
        monkeypatch.setattr(processor.platform, "machine", lambda: machine)
        monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: capability)

        class Mkldnn:
            _is_mkldnn_bf16_supported = staticmethod(lambda: "onednn" in has)

        monkeypatch.setattr(torch.ops, "mkldnn", Mkldnn)
        for name in ("avx2", "vnni", "avx512_bf16", "amx_tile"):
            monkeypatch.setattr(torch.cpu, f"_is_{name}_supported", lambda name=name: name in has)
        monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx_vnni": "avx_vnni" in has})


ZEN_4 = ("onednn", "avx2", "vnni", "avx512_bf16")


@pytest.mark.parametrize(
    ("has", "more", "name", "bfloat16"),
    [
        pytest.param((*ZEN_4, "amx_tile"), {}, "AMX", True, id="Sapphire Rapids"),
        pytest.param(ZEN_4, {}, "AVX512-BF16", True, id="Zen 4"),
        pytest.param(("onednn", "avx2", "vnni"), {}, "AVX512-VNNI", False, id="Cascade Lake"),
        pytest.param(("onednn", "avx2"), {}, "AVX512", False, id="Skylake"),
        pytest.param(ZEN_4[1:], {}, "AVX2", False, id="Zen 4 with ONEDNN_MAX_CPU_ISA=AVX2"),
        pytest.param(("avx2", "avx_vnni"), {"capability": "AVX2"}, "AVX2-VNNI", False, id="Alder Lake"),
        pytest.param(("avx2",), {"capability": "AVX2"}, "AVX2", False, id="Zen 3"),
        pytest.param((), {"capability": "DEFAULT"}, "DEFAULT", False, id="older"),
        pytest.param(
            ("onednn",), {"machine": "aarch64", "capability": "SVE256"}, "SVE256-BF16", True, id="Graviton 3"
        ),
        pytest.param((), {"machine": "aarch64", "capability": "DEFAULT"}, "NEON", False, id="Ampere Altra"),
    ],
)
def test_the_best_instructions_are_named_and_decide_on_bfloat16(monkeypatch, has, more, name, bfloat16):
    Processor(monkeypatch, *has, **more)
    assert instruction_set() == name
    assert processor.multiplies_bfloat16() is bfloat16


SAPPHIRE_RAPIDS = (*ZEN_4, "amx_tile", "avx_vnni")


@pytest.mark.parametrize(
    ("has", "cap", "name", "bfloat16"),
    [
        (SAPPHIRE_RAPIDS, "ALL", "AMX", True),
        (SAPPHIRE_RAPIDS, "a word that oneDNN does not know", "AMX", True),
        (SAPPHIRE_RAPIDS, "AVX10_1_512_AMX", "AMX", True),
        (SAPPHIRE_RAPIDS, "AVX512_CORE_AMX", "AMX", True),
        (SAPPHIRE_RAPIDS, "AVX512_CORE_FP16", "AVX512-BF16", True),
        (SAPPHIRE_RAPIDS, "avx512_core_bf16", "AVX512-BF16", True),
        (SAPPHIRE_RAPIDS, "AVX512_CORE_VNNI", "AVX512-VNNI", False),
        (SAPPHIRE_RAPIDS, "AVX512_CORE", "AVX512", False),
        (SAPPHIRE_RAPIDS[1:], "AVX2_VNNI_2", "AVX2-VNNI", False),
        (SAPPHIRE_RAPIDS[1:], "AVX2_VNNI", "AVX2-VNNI", False),
        (SAPPHIRE_RAPIDS[1:], "AVX2", "AVX2", False),
        (("avx2", "avx_vnni"), "AVX512_CORE", "AVX2", False),  # no extension of AVX2_VNNI
        (("onednn", "avx2"), "AVX512_CORE_BF16", "AVX512", False),
        (("avx2",), "AVX", "AVX", False),
        (("avx2",), "SSE41", "SSE41", False),
    ],
)
@pytest.mark.parametrize("variable", ["ONEDNN_MAX_CPU_ISA", "DNNL_MAX_CPU_ISA"])
def test_what_onednn_may_not_use_is_neither_named_nor_chosen(monkeypatch, variable, has, cap, name, bfloat16):
    Processor(monkeypatch, *has)
    monkeypatch.setenv(variable, cap)
    assert instruction_set() == name
    assert processor.multiplies_bfloat16() is bfloat16


def test_this_processor_has_some():
    assert re.fullmatch(r"AMX|AVX\S*|SSE41|SVE\S*|NEON\S*|DEFAULT", instruction_set())


def test_it_is_said_why_auto_takes_a_dtype():
    assert why("float32") == "auto: this processor does not multiply bfloat16"
    assert why("bfloat16") == "auto: this processor multiplies bfloat16"


@pytest.mark.parametrize(
    ("has", "capability", "dtype", "packed", "said"),
    [
        (ZEN_4, "AVX512", "float32", True, "PODIUM_DTYPE=bfloat16 is about 1.7 to 1.9 times as fast"),
        (("avx2",), "AVX2", "float32", True, "PODIUM_DTYPE=int8 is about 1.6 to 1.8 times as fast"),
        (("avx2",), "AVX2", "float32", False, None),
        (
            ("onednn", "avx2"),
            "AVX512",
            "float32",
            True,
            "PODIUM_DTYPE=int8 may be faster; it was not measured with AVX512",
        ),
        (ZEN_4, "AVX512", "bfloat16", True, None),
        (("avx2",), "AVX2", "int8", True, None),
    ],
)
def test_what_would_be_faster_is_said_with_what_was_measured(
    monkeypatch, has, capability, dtype, packed, said
):
    Processor(monkeypatch, *has, capability=capability)
    monkeypatch.setattr(processor, "largest_weight", lambda: 64)
    assert faster(dtype, packed=packed) == said


def test_int8_is_not_said_to_be_faster_where_it_is_refused(monkeypatch):
    Processor(monkeypatch, "avx2", capability="AVX2")
    monkeypatch.setattr(processor, "largest_weight", lambda: None)
    assert faster("float32", packed=True) is None


def test_the_document_on_speed_has_the_same_figures():
    rows = {(*key, float(low), float(high)) for *key, low, high in ROW.findall(SPEED.read_text())}
    assert rows == {(*key, *times) for key, times in MEASURED.items()}
