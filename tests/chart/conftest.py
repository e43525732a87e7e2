"""Fixtures of the chart's tests."""

import importlib.util
from collections.abc import Iterator
from typing import Any

import pytest
from chart.helm import CHARTS, find
from cluster.harness import ControlPlane, assets


@pytest.fixture(scope="session")
def generate() -> Any:
    """Return charts/generate.py, which is a script and in no package."""
    spec = importlib.util.spec_from_file_location("generate", CHARTS / "generate.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def plane(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ControlPlane]:
    """Start a Kubernetes API server without nodes; Helm talks to it as its administrator."""
    programs = assets()
    if programs is None:
        pytest.skip(
            "needs a Kubernetes control plane: set KUBEBUILDER_ASSETS to a folder with etcd, kube-apiserver, "
            "kube-controller-manager and helm, as `setup-envtest use -p path` downloads the first three"
        )
    if find() is None:
        pytest.skip("needs Helm 3.17 or later: put `helm` on the PATH or into KUBEBUILDER_ASSETS")
    with ControlPlane(tmp_path_factory.mktemp("plane"), programs) as running:
        yield running
