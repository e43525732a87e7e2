"""Add-ons may come while the operator runs."""

from cluster.conftest import addon_crd, install
from cluster.harness import ControlPlane, wait_for
from cluster.operator_process import OperatorProcess
from cluster.space import Space

KEDA = "scaledobjects.keda.sh"


def test_an_addon_that_is_installed_later_is_used_without_anybodys_help(
    plane: ControlPlane, space: Space, operator: OperatorProcess
) -> None:
    operator.stop()
    path = f"/apis/apiextensions.k8s.io/v1/customresourcedefinitions/{KEDA}"
    plane.request("DELETE", path)
    wait_for("KEDA gone", lambda: plane.raw("GET", "/apis/keda.sh/v1alpha1")[0] == 404)
    operator.start()
    space.rerank(autoscaling={"maxReplicas": 3, "engine": "KEDA", "prometheusAddress": "http://p"})
    message = space.wait_condition("AutoscalingReady", "False", "KEDAMissing")
    assert "To mend it: install KEDA" in message
    assert space.condition("Accepted")[0] == "True"
    process = operator.process
    install(plane, addon_crd(KEDA))
    wait_for("ScaledObject", lambda: space.get("scaledobjects") is not None, timeout_s=60)
    space.wait_condition("AutoscalingReady", "Unknown", "Starting")
    assert process is not None
    assert process.poll() is None, "the same process, so no restart is counted"
