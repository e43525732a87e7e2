"""The operator as it ships: its own process, its own service account, the chart's rules."""

import os
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import yaml
from cluster.harness import ControlPlane, free_port, wait_for

ROOT = Path(__file__).parents[2]
RULES = ROOT / "charts" / "podium" / "files" / "rules.yaml"
ACCOUNT_NAMESPACE, ACCOUNT = "podium-system", "podium"
USER = f"{ACCOUNT_NAMESPACE}:{ACCOUNT}"
AUDIT_USER = f"system:serviceaccount:{USER}"


def grant(plane: ControlPlane, *, namespaces: tuple[str, ...] = (), account: str = ACCOUNT) -> str:
    """Make a service account with the operator's rules, everywhere or in these; return its user."""
    rules = yaml.safe_load(RULES.read_text())["rules"]
    core, rbac = "v1", "rbac.authorization.k8s.io/v1"
    plane.apply({"apiVersion": core, "kind": "Namespace", "metadata": {"name": ACCOUNT_NAMESPACE}})
    plane.service_account_token(ACCOUNT_NAMESPACE, account)
    subject = {"kind": "ServiceAccount", "name": account, "namespace": ACCOUNT_NAMESPACE}
    kind = "Role" if namespaces else "ClusterRole"
    for namespace in namespaces or (None,):
        metadata = {"name": account}
        plane.apply(
            {"apiVersion": rbac, "kind": kind, "metadata": metadata, "rules": rules}, namespace=namespace
        )
        binding = {
            "apiVersion": rbac,
            "kind": f"{kind}Binding",
            "metadata": metadata,
            "subjects": [subject],
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": kind, "name": account},
        }
        plane.apply(binding, namespace=namespace)
    _grant_lease(plane, account, subject)
    return f"{ACCOUNT_NAMESPACE}:{account}"


def _grant_lease(plane: ControlPlane, account: str, subject: dict[str, str]) -> None:
    """Grant what the chart's second Role grants: to make Leases, and to renew the release's own."""
    rbac, leases = (
        "rbac.authorization.k8s.io",
        {"apiGroups": ["coordination.k8s.io"], "resources": ["leases"]},
    )
    role = {"apiVersion": f"{rbac}/v1", "kind": "Role", "metadata": {"name": f"{account}-lease"}}
    own = {**leases, "resourceNames": [account], "verbs": ["get", "update"]}
    plane.apply({**role, "rules": [{**leases, "verbs": ["create"]}, own]}, namespace=ACCOUNT_NAMESPACE)
    binding = {**role, "kind": "RoleBinding", "subjects": [subject]}
    binding["roleRef"] = {"apiGroup": rbac, "kind": "Role", "name": f"{account}-lease"}
    plane.apply(binding, namespace=ACCOUNT_NAMESPACE)


@dataclass
class OperatorProcess:
    """One `python -m podium_operator`, started and stopped by the test."""

    plane: ControlPlane
    user: str = USER
    server: str | None = None
    settings: dict[str, str] = field(default_factory=dict)
    code: Path | None = None
    """Folder with a package `podium_operator` of another version."""
    process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> "OperatorProcess":
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self.process:
            self.stop()

    @property
    def log(self) -> Path:
        """All that the operator said."""
        return self.plane.folder / f"operator-{self.user.replace(':', '-')}.log"

    def start(self, *, wait: bool = True) -> None:
        """Start it, and wait until it has seen everything."""
        self.port = free_port()
        environment = {
            "PATH": os.environ["PATH"],
            "KUBECONFIG": str(self.plane.kubeconfig(self.user, server=self.server)),
            "PODIUM_OPERATOR_HTTP_HOST": "127.0.0.1",
            "PODIUM_OPERATOR_HTTP_PORT": str(self.port),
            "PODIUM_OPERATOR_LEASE": self.user.replace(":", "/"),
            "PODIUM_OPERATOR_HOLDER": "pod-1",
            "PODIUM_OPERATOR_RERANKER_IMAGE": "podium:test",
            "PODIUM_OPERATOR_RERANKER_GPU_IMAGE": "podium:test-gpu",
            **({"PYTHONPATH": str(self.code)} if self.code else {}),
            **self.settings,
        }
        with self.log.open("ab") as log:
            command = [sys.executable, "-m", "podium_operator"]
            self.process = subprocess.Popen(command, env=environment, stdout=log, stderr=subprocess.STDOUT)
        if wait:
            wait_for("operator ready", self._is_ready, timeout_s=40)

    def _is_ready(self) -> bool:
        assert self.process is not None
        if self.process.poll() is not None:
            pytest.fail(f"the operator ended by itself:\n{self.log.read_text()[-3000:]}")
        return self.get("/readyz")[0] == 200

    def stop(self, *, kill: bool = False) -> int:
        """End it; return its exit code."""
        assert self.process is not None
        self.process.send_signal(signal.SIGKILL if kill else signal.SIGTERM)
        code = self.process.wait(30)
        self.process = None
        return code

    def restart(self, **settings: str) -> None:
        """Stop it and start it with other settings, as an upgrade does."""
        self.stop()
        self.settings.update(settings)
        self.start()

    def get(self, path: str) -> tuple[int, str]:
        """Return status and body of one of the operator's own pages; status 0 where nobody answers."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=5) as response:
                return response.status, response.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()
        except (urllib.error.URLError, OSError):
            return 0, ""

    def metric(self, name: str, **labels: str) -> float:
        """Return the sum of a metric's series that bear these labels."""
        total = 0.0
        status, page = self.get("/metrics")
        assert status in (200, 0), f"/metrics: {status}"
        for line in page.splitlines():
            head, _, value = line.rpartition(" ")
            series, _, rest = head.partition("{")
            if series == name and all(f'{key}="{wanted}"' in rest for key, wanted in labels.items()):
                total += float(value)
        return total
