"""A Kubernetes control plane without nodes, on loopback, for one test session.

`KUBEBUILDER_ASSETS` names a folder with `etcd`, `kube-apiserver`, `kube-controller-manager` and `kubectl`,
as `setup-envtest` downloads it. Nothing else is needed and nothing stays: `ControlPlane` is a context manager
that ends every process it started.
"""

import json
import os
import re
import secrets
import signal
import socket
import ssl
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

ADMIN = "test-admin"


def assets() -> Path | None:
    """Return the folder of control-plane programs, or None where it is not named or not complete."""
    folder = os.environ.get("KUBEBUILDER_ASSETS")
    if not folder:
        return None
    path = Path(folder)
    return path if all((path / program).exists() for program in ("etcd", "kube-apiserver")) else None


def oldest(programs: Path) -> str:
    """Return the oldest version of Kubernetes, `1.33`, that these programs can act as."""
    command = [programs / "kube-apiserver", "--help"]
    told = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    found = re.search(r"Options are: kube=(1\.\d+)\.\.", told)
    assert found, "kube-apiserver knows no --emulated-version: it is older than 1.32"
    return found[1]


def free_port() -> int:
    """Return a port on loopback that nothing listens on at this moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_for(what: str, probe: Callable[[], Any], *, timeout_s: float = 30.0, every_s: float = 0.1) -> Any:
    """Call `probe` until it returns something true, and return that; else AssertionError."""
    deadline = time.monotonic() + timeout_s
    last: Any = None
    while time.monotonic() < deadline:
        try:
            last = probe()
        except (urllib.error.URLError, OSError, KeyError) as error:
            last = error
        else:
            if last:
                return last
        time.sleep(every_s)
    raise AssertionError(f"{what}: not within {timeout_s} s; last seen: {last!r}")


class ApiError(Exception):
    """The API server refused a request of the test; `status` is the HTTP code, the text its message."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(f"{status}: {message}")
        self.status = status
        self.message = message


@dataclass
class ControlPlane:
    """etcd, API server and (on demand) controller manager, with an admin's client of a few lines."""

    folder: Path
    programs: Path
    version: str | None = None
    """Which Kubernetes they act as (their own where None): its APIs, its fields and its gates."""
    processes: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)
    tokens: dict[str, str] = field(default_factory=dict)

    def __enter__(self) -> "ControlPlane":
        self.etcd_port, self.etcd_peer, self.port = free_port(), free_port(), free_port()
        self._write_files()
        self.start_etcd()
        self.start_apiserver()
        return self

    def __exit__(self, *_: object) -> None:
        for name in reversed(list(self.processes)):
            self.stop(name)

    @property
    def url(self) -> str:
        """The API server's address."""
        return f"https://127.0.0.1:{self.port}"

    @property
    def audit_log(self) -> Path:
        """One JSON line per finished request."""
        return self.folder / "audit.jsonl"

    @property
    def _emulated(self) -> list[str]:
        return ["--emulated-version", self.version] if self.version else []

    def start_etcd(self) -> None:
        """Start etcd; its data stay between a stop and a start."""
        client, peer = f"http://127.0.0.1:{self.etcd_port}", f"http://127.0.0.1:{self.etcd_peer}"
        self._start(
            "etcd", "--data-dir", str(self.folder / "etcd"), "--listen-client-urls", client,
            "--advertise-client-urls", client, "--listen-peer-urls", peer,
            "--initial-advertise-peer-urls", peer, "--initial-cluster", f"default={peer}",
            "--unsafe-no-fsync",
        )  # fmt: skip

    def start_apiserver(self) -> None:
        """Start the API server and wait until it is ready."""
        self._start(
            "kube-apiserver", "--etcd-servers", f"http://127.0.0.1:{self.etcd_port}",
            "--secure-port", str(self.port), "--bind-address", "127.0.0.1",
            "--advertise-address", "127.0.0.1",
            "--cert-dir", str(self.folder / "certs"),
            "--service-account-issuer", "https://kubernetes.default.svc",
            "--service-account-key-file", str(self.folder / "sa.pub"),
            "--service-account-signing-key-file", str(self.folder / "sa.key"),
            "--token-auth-file", str(self.folder / "tokens.csv"), "--authorization-mode", "Node,RBAC",
            "--service-cluster-ip-range", "10.96.0.0/16",
            "--audit-policy-file", str(self.folder / "audit-policy.yaml"),
            "--audit-log-path", str(self.audit_log), "--audit-log-mode", "blocking", *self._emulated,
        )  # fmt: skip
        wait_for("API server ready", lambda: self.raw("GET", "/readyz")[0] == 200, timeout_s=60)
        wait_for("default namespace", lambda: self.get("/api/v1/namespaces/default"), timeout_s=30)

    def start_controller_manager(self) -> None:
        """Start the controllers that the tests need: garbage collection, Deployments, Jobs."""
        if "kube-controller-manager" in self.processes:
            return
        self._start(
            "kube-controller-manager", "--kubeconfig", str(self.kubeconfig(ADMIN)),
            "--service-account-private-key-file", str(self.folder / "sa.key"),
            "--leader-elect=false", "--secure-port", "0", "--kube-api-qps", "500", "--kube-api-burst", "1000",
            "--concurrent-gc-syncs", "20", "--use-service-account-credentials=false",
            "--controllers", "*,-persistentvolume-binder-controller,-nodelifecycle,-cloud-node-lifecycle",
            *self._emulated,
        )  # fmt: skip

    def start_scheduler(self, name: str) -> None:
        """Start a scheduler for the pods that ask for it by name: those of other tests stay unplaced."""
        config = {
            "apiVersion": "kubescheduler.config.k8s.io/v1",
            "kind": "KubeSchedulerConfiguration",
            "clientConnection": {"kubeconfig": str(self.kubeconfig(ADMIN))},
            "leaderElection": {"leaderElect": False},
            "profiles": [{"schedulerName": name}],
        }
        path = self.folder / "scheduler.yaml"
        path.write_text(yaml.safe_dump(config))
        self._start("kube-scheduler", "--config", str(path), "--secure-port", "0")

    def stop(self, name: str, *, kill: bool = False) -> None:
        """End one program and wait for it."""
        process = self.processes.pop(name)
        process.send_signal(signal.SIGKILL if kill or name == "etcd" else signal.SIGTERM)
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def kubeconfig(self, user: str, *, server: str | None = None) -> Path:
        """Write a kubeconfig for `user` (a key of `tokens`), by way of `server` (a proxy)."""
        path = self.folder / f"kubeconfig-{user.replace(':', '-')}-{(server or 'direct').rsplit(':', 1)[-1]}"
        config = {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "test",
            "clusters": [
                {"name": "test", "cluster": {"server": server or self.url, "insecure-skip-tls-verify": True}}
            ],
            "users": [{"name": "test", "user": {"token": self.tokens[user]}}],
            "contexts": [{"name": "test", "context": {"cluster": "test", "user": "test"}}],
        }
        path.write_text(yaml.safe_dump(config))
        return path

    def service_account_token(self, namespace: str, name: str) -> str:
        """Return a token of that ServiceAccount (made where missing), as a pod would get it."""
        account = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": name}}
        self.apply(account, namespace=namespace)
        body = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {}}
        path = f"/api/v1/namespaces/{namespace}/serviceaccounts/{name}/token"
        token = str(self.request("POST", path, body)["status"]["token"])
        self.tokens[f"{namespace}:{name}"] = token
        return token

    def raw(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        content_type: str = "application/json",
        user: str = ADMIN,
        timeout_s: float = 30,
    ) -> tuple[int, bytes]:
        """Send one request and return its status and body."""
        request = urllib.request.Request(self.url + path, method=method)
        request.add_header("Authorization", f"Bearer {self.tokens[user]}")
        request.add_header("Content-Type", content_type)
        data = None if body is None else json.dumps(body).encode()
        try:
            with urllib.request.urlopen(request, data, timeout=timeout_s, context=_unverified()) as response:
                return response.status, response.read()
        except urllib.error.HTTPError as error:
            return error.code, error.read()

    def request(self, method: str, path: str, body: Any = None, **options: Any) -> Any:
        """Send one request and return the decoded body; ApiError where the server refuses it."""
        status, answer = self.raw(method, path, body, **options)
        decoded = json.loads(answer) if answer.startswith(b"{") else answer.decode()
        if status >= 400:
            raise ApiError(status, decoded["message"] if isinstance(decoded, dict) else decoded)
        return decoded

    def get(self, path: str) -> Any:
        """Return an object, or None where there is none."""
        try:
            return self.request("GET", path)
        except ApiError as error:
            if error.status == 404:
                return None
            raise

    def patch(self, path: str, body: Any, **options: Any) -> Any:
        """Send a JSON merge patch."""
        return self.request("PATCH", path, body, content_type="application/merge-patch+json", **options)

    def apply(
        self, manifest: Mapping[str, Any], *, namespace: str | None = None, manager: str = "test"
    ) -> Any:
        """Server-side apply one object as `manager`, forced."""
        path = self.path_of(manifest, namespace) + f"?fieldManager={manager}&force=true"
        return self.request("PATCH", path, dict(manifest), content_type="application/apply-patch+yaml")

    def path_of(self, manifest: Mapping[str, Any], namespace: str | None = None) -> str:
        """Return the API path of an object; the plural comes from the server's discovery."""
        group_version, kind = manifest["apiVersion"], manifest["kind"]
        root = f"/api/{group_version}" if "/" not in group_version else f"/apis/{group_version}"
        resources = self.request("GET", root)["resources"]
        resource = next(r for r in resources if r["kind"] == kind and "/" not in r["name"])
        where = namespace or manifest["metadata"].get("namespace")
        middle = f"/namespaces/{where}" if resource["namespaced"] else ""
        return f"{root}{middle}/{resource['name']}/{manifest['metadata']['name']}"

    def audit(self, since: int = 0) -> Iterator[dict[str, Any]]:
        """Yield the finished requests in order, from byte `since` of the log."""
        with self.audit_log.open("rb") as log:
            log.seek(since)
            for line in log:
                if line.endswith(b"\n"):
                    yield json.loads(line)

    def _start(self, program: str, *arguments: str) -> None:
        log = (self.folder / f"{program}.log").open("ab")
        command = [str(self.programs / program), *arguments]
        self.processes[program] = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT)
        log.close()

    def _write_files(self) -> None:
        self.tokens[ADMIN] = secrets.token_hex(16)
        (self.folder / "tokens.csv").write_text(f"{self.tokens[ADMIN]},{ADMIN},{ADMIN},system:masters\n")
        key = self.folder / "sa.key"
        subprocess.run(["openssl", "genrsa", "-out", str(key), "2048"], check=True, capture_output=True)
        command = ["openssl", "rsa", "-in", str(key), "-pubout", "-out", str(self.folder / "sa.pub")]
        subprocess.run(command, check=True, capture_output=True)
        policy = {
            "apiVersion": "audit.k8s.io/v1",
            "kind": "Policy",
            "omitStages": ["RequestReceived"],
            "rules": [{"level": "Metadata", "users": [ADMIN], "verbs": ["never"]}, {"level": "Metadata"}],
        }
        (self.folder / "audit-policy.yaml").write_text(yaml.safe_dump(policy))


def _unverified() -> ssl.SSLContext:
    """Return a context that takes the API server's self-signed certificate."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context
