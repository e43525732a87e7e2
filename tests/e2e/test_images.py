"""The images as their containers see them."""

import pytest
from e2e.client import Client
from e2e.kube import KubectlError, Namespace
from e2e.release import OPERATOR_NAMESPACE, Release

_LOOK = """
import os, pathlib, shutil
folder = next(pathlib.Path("/opt/podium/lib").glob("python3*/site-packages"))
print(os.getuid(), os.getgid())
print(*[name for name in ("gcc", "cc", "make") if shutil.which(name)] or ["none"])
print((folder / "pip").exists(), (folder / "torch").exists(), (folder / "podium").exists())
inits = [path for path in folder.rglob("__init__.py") if path.stat().st_size]
print(all((path.parent / "__pycache__").is_dir() for path in inits))
"""


def test_the_operators_image_adds_little_and_has_no_torch(release: Release) -> None:
    operator = Namespace(OPERATOR_NAMESPACE)
    where = ("exec", "deploy/podium-operator", "--")
    megabytes = int(operator.kubectl(*where, "du", "-sm", "/opt/podium").split()[0])
    assert megabytes <= 180
    user, tools, (pip, torch, service), compiled = look(operator, "deploy/podium-operator")
    assert (user, tools, compiled) == (["65532", "65532"], ["none"], ["True"])
    assert (pip, torch, service) == ("False", "False", "False")


@pytest.fixture
def looked_at(shared_namespace: Namespace) -> Namespace:
    """Return a namespace with a Reranker of that name."""
    shared_namespace.reranker("looked-at")
    shared_namespace.wait_condition("looked-at", "Ready", "True")
    return shared_namespace


def test_the_services_image_has_torch_and_nothing_to_build_with(looked_at: Namespace) -> None:
    user, tools, (pip, torch, service), compiled = look(looked_at, "deploy/looked-at")
    assert (user, tools, compiled) == (["65532", "65532"], ["none"], ["True"])
    assert (pip, torch, service) == ("False", "True", "True")


def test_the_root_file_system_is_read_only(looked_at: Namespace) -> None:
    with pytest.raises(KubectlError, match="Read-only file system"):
        looked_at.kubectl("exec", "deploy/looked-at", "--", "touch", "/opt/podium/x")


def test_the_executable_answers_without_loading_a_model(client: Client) -> None:
    assert client.run("podium", "--version").startswith("podium ")
    assert "podium fetch" in client.run("podium", "fetch", "--help")


def look(namespace: Namespace, target: str) -> list[list[str]]:
    """Return user, build tools, which of pip, torch and podium are there, and whether bytecode is."""
    lines = namespace.kubectl("exec", target, "--", "python", "-c", _LOOK).splitlines()
    return [line.split() for line in lines]
