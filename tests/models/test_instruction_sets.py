"""Fewer instructions than this processor has: the same tests, in a process that is kept from the rest."""

import os
import platform
import subprocess
import sys
from pathlib import Path

import pytest
import torch

SAME = (
    "tests/models/linear",
    "tests/models/network/test_integers.py",
    "tests/models/test_integers.py::test_it_ranks_200_pairs_as_in_float32",
)
AVX2 = {
    "ONEDNN_MAX_CPU_ISA": "AVX2",
    "ATEN_CPU_CAPABILITY": "avx2",
    "FBGEMM_ENABLE_INSTRUCTIONS": "AVX2",
    "MKL_ENABLE_INSTRUCTIONS": "AVX2",
}
FOUND = """
import torch
from podium.models import devices
from podium.models.linear.int8 import largest_weight
print(torch.backends.cpu.get_cpu_capability(), devices.dtypes(torch.device("cpu")), largest_weight())
"""


@pytest.fixture
def below():
    """The environment of a process with AVX2 alone."""
    if platform.machine() != "x86_64" or torch.backends.cpu.get_cpu_capability() != "AVX512":
        pytest.skip("needs a processor with AVX-512: one with less runs the same tests as they are")
    return os.environ | AVX2


def test_dtypes_and_the_bits_of_weights_follow_what_is_left(below):
    ended = subprocess.run(
        [sys.executable, "-c", FOUND], env=below, capture_output=True, text=True, timeout=120, check=True
    )
    assert ended.stdout.split() == ["AVX2", "[torch.float32]", "64"]


def test_float32_and_int8_are_as_right_with_avx2_alone(below):
    root = Path(__file__).parents[2]
    ended = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *SAME],
        env=below,
        cwd=root,
        capture_output=True,
        text=True,
        timeout=900,
    )
    assert ended.returncode == 0, ended.stdout[-5_000:]
    assert " passed" in ended.stdout
