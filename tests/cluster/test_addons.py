"""Add-ons may come while the operator runs."""

from typing import Any

import pytest
from cluster.conftest import ADDONS, addon_crd, install
from cluster.harness import ControlPlane, wait_for
from cluster.operator_process import OperatorProcess
from cluster.space import Space

KEDA, SERVICE_MONITOR = "scaledobjects.keda.sh", "servicemonitors.monitoring.coreos.com"


@pytest.mark.parametrize(
    ("crd", "spec", "missing", "remedy", "there"),
    [
        pytest.param(
            KEDA,
            {"autoscaling": {"maxReplicas": 3, "engine": "KEDA", "prometheusAddress": "http://p"}},
            ("AutoscalingReady", "False", "KEDAMissing"),
            "install KEDA",
            ("AutoscalingReady", "Unknown", "Starting"),
            id="KEDA",
        ),
        pytest.param(
            SERVICE_MONITOR,
            {"monitoring": {"serviceMonitor": {"enabled": True}}},
            ("Degraded", "True", "APINotInstalled"),
            "install the API that the message names",
            ("Degraded", "False", "AsExpected"),
            id="ServiceMonitor",
        ),
    ],
)
def test_an_addon_that_is_installed_later_is_used_without_anybodys_help(
    plane: ControlPlane,
    space: Space,
    operator: OperatorProcess,
    crd: str,
    spec: dict[str, Any],
    missing: tuple[str, str, str],
    remedy: str,
    there: tuple[str, str, str],
) -> None:
    (group, version, kind), plural = ADDONS[crd], crd.partition(".")[0]
    operator.stop()
    plane.request("DELETE", f"/apis/apiextensions.k8s.io/v1/customresourcedefinitions/{crd}")
    wait_for(f"{kind} gone", lambda: plane.raw("GET", f"/apis/{group}/{version}/{plural}")[0] == 404)
    operator.start()
    space.rerank(**spec)
    message = space.wait_condition(*missing)
    assert f"To mend it: {remedy}" in message
    assert space.condition("Accepted")[0] == "True"
    process = operator.process
    install(plane, addon_crd(crd))
    wait_for(kind, lambda: space.get(plural) is not None, timeout_s=60)
    space.wait_condition(*there)
    assert process is not None
    assert process.poll() is None, "the same process, so no restart is counted"
