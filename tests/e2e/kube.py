"""The cluster as a person meets it: `kubectl`, and patience."""

import json
import os
import re
import secrets
import shutil
import subprocess
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import yaml

Object = dict[str, Any]
T = TypeVar("T")


def program(name: str) -> str | None:
    """Return the path of `kubectl` or `helm`, from KUBEBUILDER_ASSETS or the PATH."""
    folder = os.environ.get("KUBEBUILDER_ASSETS")
    found = shutil.which(name, path=folder) if folder else None
    return found or shutil.which(name)


class KubectlError(Exception):
    """kubectl ended with an error; the text is what it said."""


def run(*command: str, stdin: str | None = None, timeout_s: float = 120) -> str:
    """Run a program and return what it printed; KubectlError where it fails."""
    done = subprocess.run(
        command, input=stdin, capture_output=True, text=True, timeout=timeout_s, env=environment()
    )
    if done.returncode:
        raise KubectlError(done.stderr + done.stdout)
    return done.stdout


def environment() -> dict[str, str]:
    """Return the environment of kubectl and Helm: they talk to the cluster under test and to no other."""
    return {**os.environ, "KUBECONFIG": os.environ["PODIUM_E2E_KUBECONFIG"]}


def wait_for(what: str, probe: Callable[[], T | None], *, timeout_s: float = 60, every_s: float = 0.5) -> T:
    """Call `probe` until it returns something true, and return that; else AssertionError with the last.

    PODIUM_E2E_PATIENCE multiplies the time, for machines that do other work meanwhile.
    """
    timeout_s *= float(os.environ.get("PODIUM_E2E_PATIENCE", "1"))
    deadline = time.monotonic() + timeout_s
    last: Any = None
    while time.monotonic() < deadline:
        try:
            last = probe()
            if last:
                return last
        except KubectlError as error:
            last = error
        time.sleep(every_s)
    raise AssertionError(f"{what}: not within {timeout_s:.0f} s; last seen: {last!r}")


class Namespace:
    """One namespace of the cluster, made for a test; "" stands for all, and for what lies in none."""

    def __init__(self, name: str) -> None:
        self.name = name

    def kubectl(self, *arguments: str, stdin: str | None = None, timeout_s: float = 120) -> str:
        """Run kubectl in this namespace."""
        kubectl = program("kubectl")
        assert kubectl is not None
        where = ["-n", self.name] if self.name else []
        return run(kubectl, *where, *arguments, stdin=stdin, timeout_s=timeout_s)

    def apply(self, *objects: Mapping[str, Any]) -> None:
        """Apply objects as a user does."""
        self.kubectl("apply", "-f", "-", stdin=yaml.safe_dump_all(objects))

    def apply_file(self, path: Path, **replacements: str) -> None:
        """Apply a file with some words of it replaced."""
        text = path.read_text()
        for word, other in replacements.items():
            assert word in text, f"{path} does not say {word}"
            text = text.replace(word, other)
        self.kubectl("apply", "-f", "-", stdin=text)

    def get(self, kind: str, name: str) -> Object | None:
        """Return an object, or None where there is none."""
        text = self.kubectl("get", kind, name, "-o", "json", "--ignore-not-found")
        return json.loads(text) if text else None

    def objects(self, kind: str, selector: str = "") -> list[Object]:
        """Return the objects of a kind."""
        chosen = ["-l", selector] if selector else []
        chosen += [] if self.name else ["-A"]
        items: list[Object] = json.loads(self.kubectl("get", kind, *chosen, "-o", "json"))["items"]
        return items

    def patch(self, kind: str, name: str, patch: Mapping[str, Any]) -> None:
        """Send a JSON merge patch."""
        self.kubectl("patch", kind, name, "--type=merge", "-p", json.dumps(patch))

    def clear(self) -> None:
        """Delete the namespace; its pods are ended at once, so that they hold nothing of the next test."""
        # The Rerankers first, and ReplicaSets with the rest: what is left alone makes its pods anew.
        self.kubectl("delete", "rerankers,jobs,deployments,replicasets", "--all", "--wait=false")
        self.kubectl("delete", "pods", "--all", "--grace-period=1", "--timeout=60s")
        self.kubectl("delete", "namespace", self.name, "--wait=false")

    def delete(self, kind: str, name: str) -> None:
        """Delete an object and wait until it is gone."""
        self.kubectl("delete", kind, name, "--ignore-not-found", "--timeout=90s")

    def pods(self, reranker: str) -> list[Object]:
        """Return the serving pods of a Reranker that are not ending."""
        found = self.objects("pods", f"app.kubernetes.io/name=reranker,app.kubernetes.io/instance={reranker}")
        return [pod for pod in found if not pod["metadata"].get("deletionTimestamp")]

    def ready_pods(self, reranker: str) -> list[Object]:
        """Return those of them that are ready."""
        return [pod for pod in self.pods(reranker) if _is_ready(pod)]

    def reranker(self, name: str, **spec: Any) -> None:
        """Apply a Reranker: built-in model, modest requests, a quick end where the spec says nothing else."""
        engine = {"resources": {"requests": {"cpu": "50m", "memory": "300Mi"}}, **spec.pop("engine", {})}
        spec = {"termination": {"drainSeconds": 1, "gracePeriodSeconds": 10}, **spec}
        body = {"apiVersion": "podium.sh/v1alpha1", "kind": "Reranker", "metadata": {"name": name}}
        self.apply({**body, "spec": {"model": {"uri": "builtin"}, "engine": engine, **spec}})

    def condition(self, name: str, kind: str) -> Object:
        """Return a condition of a Reranker at its current generation; {} where it has none yet."""
        reranker = self.get("reranker", name) or {"metadata": {}}
        for condition in reranker.get("status", {}).get("conditions", []):
            if condition["type"] == kind:
                current = condition.get("observedGeneration") == reranker["metadata"]["generation"]
                return dict(condition) if current else {}
        return {}

    def wait_condition(
        self, name: str, kind: str, status: str, reason: str | None = None, *, timeout_s: float = 60
    ) -> Object:
        """Wait until a condition has a status, and a reason if one is given; return it."""

        def there() -> Object | None:
            condition = self.condition(name, kind)
            fits = condition.get("status") == status and reason in (None, condition.get("reason"))
            return condition if fits else None

        what = f"{self.name}/{name}: {kind}={status}" + (f"/{reason}" if reason else "")
        try:
            return wait_for(what, there, timeout_s=timeout_s)
        except AssertionError:
            described = self.kubectl("describe", "reranker", name)
            raise AssertionError(f"{what} not within {timeout_s:.0f} s:\n{described}") from None


def restricted_namespace(words: str) -> Namespace:
    """Make a namespace that admits restricted pods only, its name made of these words."""
    plain = re.sub(r"[^a-z0-9]+", "-", words.lower())[:40].strip("-")
    name = f"e2e-{plain}-{secrets.token_hex(3)}"
    labels = {"pod-security.kubernetes.io/enforce": "restricted"}
    Namespace("").apply(
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}}
    )
    return Namespace(name)


def _is_ready(pod: Object) -> bool:
    conditions = pod["status"].get("conditions", [])
    return any(entry["type"] == "Ready" and entry["status"] == "True" for entry in conditions)
