"""What must have happened before torch is imported, seen in a process of its own."""

import os
import subprocess
import sys

NAMES = ("GOMP_SPINCOUNT", "ONEDNN_PRIMITIVE_CACHE_CAPACITY", "LRU_CACHE_CAPACITY")


def seen(**environment: str) -> str:
    code = f"import sys, os, podium.models; print('torch' in sys.modules, *map(os.environ.get, {NAMES}))"
    inherited = {name: value for name, value in os.environ.items() if name not in NAMES}
    return subprocess.run(
        [sys.executable, "-c", code],
        env={**inherited, **environment},
        capture_output=True,
        text=True,
        check=True,
    ).stdout.strip()


def test_waiting_threads_give_their_core_up_soon_and_few_products_are_remembered():
    assert seen() == "False 20000 256 64"


def test_what_is_set_already_stays():
    assert seen(**dict(zip(NAMES, "789", strict=True))) == "False 7 8 9"
