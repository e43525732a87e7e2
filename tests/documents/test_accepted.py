"""Every manifest of the tutorial and the how-to guides is taken by a real API server as it stands."""

from collections.abc import Iterator

import pytest
import yaml
from cluster.harness import ControlPlane, assets, wait_for
from documents.blocks import PAGES, ROOT, Block, blocks

from podium_operator.resource.reranker import read_reranker
from podium_operator.resource.validate import find_problem
from podium_operator.settings import read_settings

MANIFESTS = [
    pytest.param(block, id=block.name) for page in PAGES for block in blocks(page) if block.how == "accepted"
]


@pytest.fixture(scope="module")
def plane(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ControlPlane]:
    programs = assets()
    if programs is None:
        pytest.skip("needs a Kubernetes control plane: set KUBEBUILDER_ASSETS, see tests/chart/conftest.py")
    with ControlPlane(tmp_path_factory.mktemp("plane"), programs) as running:
        running.apply(yaml.safe_load((ROOT / "manifests" / "crd.yaml").read_text()))
        wait_for("the kind is served", lambda: running.get("/apis/podium.sh/v1alpha1"))
        yield running


@pytest.mark.parametrize("block", MANIFESTS)
def test_the_api_server_takes_a_manifest(block: Block, plane: ControlPlane) -> None:
    for body in yaml.safe_load_all(block.text):
        taken = plane.apply(body, namespace="default")
        assert taken["spec"] == body["spec"], "a field that the API server does not know is dropped"


@pytest.mark.parametrize("block", MANIFESTS)
def test_the_operator_finds_nothing_wrong_with_it(block: Block) -> None:
    for body in yaml.safe_load_all(block.text):
        given = {
            **body,
            "metadata": {**body["metadata"], "namespace": "default", "uid": "1", "generation": 1},
        }
        assert find_problem(read_reranker(given), read_settings({})) is None
