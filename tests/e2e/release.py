"""The chart on the cluster, installed, upgraded and uninstalled as a user does."""

import fcntl
import os
from pathlib import Path

from e2e.kube import program, run

CHART = Path(__file__).parents[2] / "charts" / "podium"
OPERATOR_NAMESPACE = "podium-system"


class Release:
    """The chart on the cluster."""

    def __init__(self) -> None:
        self.operator_image = os.environ["PODIUM_E2E_OPERATOR_IMAGE"]
        self.service_image = os.environ["PODIUM_E2E_SERVICE_IMAGE"]

    def install(
        self, *, service_image: str | None = None, operator_image: str | None = None, overlay: str = "safe"
    ) -> None:
        """Install or upgrade as a user does, and wait until the operator is ready."""
        values = self.values(service_image=service_image, operator_image=operator_image, overlay=overlay)
        given = [word for name, value in values.items() for word in ("--set", f"{name}={value}")]
        where = ["-n", OPERATOR_NAMESPACE, "--create-namespace", "--wait", "--timeout", "120s"]
        # Several runs of pytest may share a cluster, and Helm refuses a release that another one is at.
        with Path(os.environ["PODIUM_E2E_KUBECONFIG"]).open() as turn:
            fcntl.flock(turn, fcntl.LOCK_EX)
            self.helm("upgrade", "--install", "podium", str(CHART), *where, *given)

    def values(
        self, *, service_image: str | None = None, operator_image: str | None = None, overlay: str = "safe"
    ) -> dict[str, str]:
        """Return the values of the release, by their paths."""
        operator = (operator_image or self.operator_image).rpartition(":")
        service = (service_image or self.service_image).rpartition(":")
        return {
            "image.repository": operator[0],
            "image.tag": operator[2],
            "rerankerImage.repository": service[0],
            "rerankerImage.tag": service[2],
            "rerankerImage.gpu.repository": service[0],
            "rerankerImage.gpu.tag": service[2],
            # The GPUs of test clusters are often pretended: the pods compute on the CPU.
            "rerankerImage.gpu.device": "auto",
            "overlay": overlay,
            # Failed downloads are tried again soon: the tests wait for it.
            "settings.download_retry_max_s": "15",
        }

    def uninstall(self) -> None:
        """Uninstall as a user does."""
        self.helm("uninstall", "podium", "-n", OPERATOR_NAMESPACE, "--wait", "--timeout", "60s")

    @staticmethod
    def helm(*arguments: str) -> str:
        """Run Helm on the cluster."""
        helm = program("helm")
        assert helm is not None
        return run(helm, *arguments, timeout_s=180)
