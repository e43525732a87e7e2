"""Fixtures of the chart's tests."""

import importlib.util
from typing import Any

import pytest
from chart.helm import CHARTS


@pytest.fixture(scope="session")
def generate() -> Any:
    """Return charts/generate.py, which is a script and in no package."""
    spec = importlib.util.spec_from_file_location("generate", CHARTS / "generate.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
