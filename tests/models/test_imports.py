"""What must have happened before torch is imported, seen in a process of its own."""

import os
import subprocess
import sys


def spin_count(**environment: str) -> str:
    code = "import sys, os, podium.models; print('torch' in sys.modules, os.environ['GOMP_SPINCOUNT'])"
    inherited = {name: value for name, value in os.environ.items() if name != "GOMP_SPINCOUNT"}
    return subprocess.run(
        [sys.executable, "-c", code],
        env={**inherited, **environment},
        capture_output=True,
        text=True,
        check=True,
    ).stdout.strip()


def test_waiting_threads_give_their_core_up_soon():
    assert spin_count() == "False 1000"


def test_a_count_that_is_set_already_stays():
    assert spin_count(GOMP_SPINCOUNT="7") == "False 7"
