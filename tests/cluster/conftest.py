"""One control plane for the session, one operator that watches everything, a namespace for each test."""

import contextlib
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from cluster.harness import ControlPlane, assets, oldest, wait_for
from cluster.operator_process import ROOT, OperatorProcess, grant
from cluster.space import Space

ADDONS = {
    "scaledobjects.keda.sh": ("keda.sh", "v1alpha1", "ScaledObject"),
    "servicemonitors.monitoring.coreos.com": ("monitoring.coreos.com", "v1", "ServiceMonitor"),
    "podmonitors.monitoring.coreos.com": ("monitoring.coreos.com", "v1", "PodMonitor"),
}


def addon_crd(name: str) -> dict:
    """Return a definition of an add-on's kind that takes anything."""
    group, version, kind = ADDONS[name]
    schema = {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}}
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": name},
        "spec": {
            "group": group,
            "scope": "Namespaced",
            "names": {"kind": kind, "plural": name.partition(".")[0], "singular": kind.lower()},
            "versions": [
                {
                    "name": version,
                    "served": True,
                    "storage": True,
                    "schema": schema,
                    "subresources": {"status": {}},
                }
            ],
        },
    }


def install(plane: ControlPlane, definition: dict) -> None:
    """Apply a CRD and wait until it is served."""
    path = plane.path_of(definition)
    plane.apply(definition)

    def established() -> bool:
        conditions = plane.get(path).get("status", {}).get("conditions") or ()  # null at first
        return any(item["type"] == "Established" and item["status"] == "True" for item in conditions)

    wait_for(definition["metadata"]["name"], established)
    spec = definition["spec"]
    root = f"/apis/{spec['group']}/{spec['versions'][0]['name']}"
    wait_for(root, lambda: plane.get(root))


@contextlib.contextmanager
def control_plane() -> Iterator[ControlPlane]:
    """Start a control plane that knows Rerankers and the add-ons, or skip where its programs are not."""
    programs = assets()
    if programs is None:
        pytest.skip(
            "KUBEBUILDER_ASSETS must name a folder with etcd, kube-apiserver and kube-controller-manager; "
            "`setup-envtest use -p path` prints one"
        )
    version = oldest(programs) if os.environ.get("PODIUM_KUBERNETES") == "oldest" else None
    with tempfile.TemporaryDirectory() as folder, ControlPlane(Path(folder), programs, version) as plane:
        install(plane, yaml.safe_load((ROOT / "manifests" / "crd.yaml").read_text()))
        for name in ADDONS:
            install(plane, addon_crd(name))
        plane.start_controller_manager()
        yield plane


@pytest.fixture(scope="session")
def plane() -> Iterator[ControlPlane]:
    with control_plane() as running:
        yield running


@pytest.fixture(scope="session")
def operator(plane: ControlPlane) -> Iterator[OperatorProcess]:
    """The operator that the tests share; one that restarts it or breaks its network runs its own."""
    grant(plane)
    with OperatorProcess(plane, settings={"PODIUM_OPERATOR_DOWNLOAD_RETRY_MAX_S": "2"}) as process:
        yield process


@pytest.fixture
def space(plane: ControlPlane) -> Iterator[Space]:
    """A namespace of this test's own; its Rerankers are deleted at the end: no operator stays busy."""
    made = Space.make(plane)
    yield made
    for item in made.list("rerankers"):
        made.delete("rerankers", item["metadata"]["name"])
