"""The tutorial and the how-to guides on the cluster, command by command, as a reader types them."""

import os
import shutil
import socket
from pathlib import Path

import pytest
from documents.blocks import PAGES, blocks
from documents.shell import run_blocks
from e2e.kube import Namespace, environment, program, run
from e2e.release import Release

ON_A_CLUSTER = [page for page in PAGES if any(block.how == "cluster" for block in blocks(page))]


@pytest.mark.parametrize("page", [pytest.param(page, id=page.stem) for page in ON_A_CLUSTER])
def test_the_commands_of_a_page_work(
    page: Path, namespace: Namespace, release: Release, tmp_path: Path
) -> None:
    if shutil.which("curl") is None:
        pytest.skip("needs `curl` on the PATH")
    programs, kubeconfig, folder = (tmp_path / name for name in ("bin", "kubeconfig", "folder"))
    programs.mkdir()
    folder.mkdir()
    kubectl, helm = program("kubectl"), program("helm")
    assert kubectl is not None
    assert helm is not None
    # The reader's default namespace is the test's, and the reader's images are those under test.
    shutil.copy(os.environ["PODIUM_E2E_KUBECONFIG"], kubeconfig)
    here = ("config", "set-context", "--current", "--namespace", namespace.name)
    run(kubectl, "--kubeconfig", str(kubeconfig), *here)
    (programs / "kubectl").symlink_to(kubectl)
    values = " ".join(f"--set {name}={value}" for name, value in release.values().items())
    (programs / "helm").write_text(f'#!/bin/sh\nexec "{helm}" "$@" {values}\n')
    (programs / "helm").chmod(0o755)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = str(free.getsockname()[1])
    run_blocks(
        blocks(page),
        "cluster",
        folder,
        replace={"8080": port},
        environment={**environment(), "KUBECONFIG": str(kubeconfig)},
        programs=programs,
    )
