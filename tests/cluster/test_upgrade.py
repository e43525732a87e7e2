"""An upgraded operator moves no pod by itself, and one Reranker after the other when told to."""

import json
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from cluster.harness import wait_for
from cluster.operator_process import ROOT, OperatorProcess
from cluster.space import Space

NUMBER = 20
SIDE = {"name": "side", "image": "s", "resources": {"limits": {"cpu": 0.5}}}
HOME = '"HOME": "/tmp",  # noqa: S108 inside the pod\n        **{f"PODIUM_'
"""Where the serving container's variables are rendered."""


def version(folder: Path, name: str, file: str, before: str, after: str) -> Path:
    """Return a folder with another version of the operator: one text in one of its files is another."""
    code = folder / name
    shutil.copytree(ROOT / "operator" / "podium_operator", code / "podium_operator")
    path = code / "podium_operator" / file
    assert path.read_text().count(before) == 1
    path.write_text(path.read_text().replace(before, after))
    return code


def altered(folder: Path, name: str) -> Path:
    """Return an operator that renders one more variable."""
    return version(folder, name, "render/pod.py", HOME, f'"{name.upper()}": "1",\n        {HOME}')


@pytest.fixture
def upgraded(operator: OperatorProcess) -> Iterator[OperatorProcess]:
    """The operator, to be started in other versions."""
    before = dict(operator.settings)
    yield operator
    operator.code = None
    operator.settings.clear()
    operator.restart(**before)


def start(operator: OperatorProcess, code: Path | None, **settings: str) -> None:
    operator.code = code
    operator.restart(**settings)


def template(space: Space, name: str) -> str:
    return json.dumps(space.get("deployments", name)["spec"]["template"], sort_keys=True)


def templates(space: Space) -> dict[str, str]:
    return {
        item["metadata"]["name"]: json.dumps(item["spec"]["template"], sort_keys=True)
        for item in space.list("deployments")
    }


def kept(space: Space) -> bool:
    """Whether every Deployment has been applied by an operator that keeps templates."""
    found = [item["metadata"]["annotations"] for item in space.list("deployments")]
    return len(found) == NUMBER and all("podium.sh/template" in annotations for annotations in found)


def test_an_altered_template_moves_no_pod_by_a_byte_and_an_edit_moves_one(
    space: Space, upgraded: OperatorProcess, tmp_path: Path
) -> None:
    """The first operator is one that did not keep templates yet: they are read from what its apply owns."""
    text = ", TEMPLATE_ANNOTATION: _text(pods.template)}"
    start(upgraded, version(tmp_path, "older", "render/pinned.py", text, "}"))
    specs = (
        {},
        {"replicas": 2, "engine": {"env": [{"name": "EMPTY", "value": ""}]}},
        {"gpu": {}, "engine": {"settings": {"cors_origins": ""}}},
        {"podTemplate": {"overlay": {"containers": [SIDE]}}},
        {"scheduling": {"tolerations": [{"operator": "Exists"}], "nodeSelector": {"a.b/c": "d"}}},
    )  # fmt: skip
    names = [f"r{number:02}" for number in range(NUMBER)]
    for number, name in enumerate(names):
        space.rerank(name, **specs[number % len(specs)])
    for name in names:
        space.wait("deployments", name, timeout_s=60)
        space.settled(name)
    first = templates(space)
    for name in ("second", "third"):
        start(upgraded, altered(tmp_path, name), PODIUM_OPERATOR_RERANKER_IMAGE=f"podium:{name}")
        wait_for("all looked at", lambda: upgraded.metric("podium_operator_reconciles_total") >= NUMBER)
        wait_for("templates are kept", lambda: kept(space))
        for each in names:
            space.settled(each, quiet_s=0.5)
        assert templates(space) == first
        assert len(space.list("replicasets")) == NUMBER
    assert {space.get("rerankers", name)["status"]["upToDate"] for name in names} == {False}
    assert upgraded.metric("podium_operator_reranker_up_to_date", namespace=space.name) == 0

    edited = space.get("rerankers", "r00")["spec"]
    space.rerank("r00", **{**edited, "engine": {"maxLength": 256}})
    wait_for("the edit", lambda: '"THIRD"' in template(space, "r00"))
    assert "podium:third" in template(space, "r00")
    space.settled("r00")
    after = templates(space)
    assert {name for name in names if after[name] != first[name]} == {"r00"}
    assert space.get("rerankers", "r00")["status"]["upToDate"] is True


def test_a_template_too_large_for_an_annotation_is_applied_and_outlives_an_upgrade(
    space: Space, upgraded: OperatorProcess, tmp_path: Path
) -> None:
    values = [{"name": f"E{number}", "value": "x" * 50_000} for number in range(3)]
    space.rerank(engine={"env": [*values, {"name": "EMPTY", "value": ""}]})
    space.wait("deployments")
    space.settled()
    first = templates(space)
    start(upgraded, altered(tmp_path, "second"))
    wait_for("looked at", lambda: space.get("rerankers")["status"].get("upToDate") is False)
    space.settled()
    assert templates(space) == first
    assert len(space.list("replicasets")) == 1
    start(upgraded, altered(tmp_path, "third"), PODIUM_OPERATOR_ON_UPGRADE="Roll")
    wait_for("rolled", lambda: '"THIRD"' in template(space, "demo"))
    before = space.settled()["deployments/demo"]
    upgraded.restart()
    space.settled()
    assert space.get("deployments")["metadata"]["resourceVersion"] == before, "it is rolled once"


def test_another_secret_of_the_download_or_a_default_written_out_moves_no_pod(
    space: Space, upgraded: OperatorProcess
) -> None:
    hub = {"uri": "hf://org/model", "credentialsSecretRef": {"name": "old", "key": "token"}}
    space.rerank(model=hub)
    space.end_job(space.download_job())
    space.wait("deployments")
    space.settled()
    first = template(space, "demo")
    start(upgraded, None, PODIUM_OPERATOR_RERANKER_IMAGE="podium:next")
    renamed = {**hub, "credentialsSecretRef": {"name": "new", "key": "token"}}
    space.rerank(model=renamed, engine={}, probes={"startupTimeoutSeconds": 900})
    space.settled()
    assert template(space, "demo") == first
    assert space.get("rerankers")["status"]["image"] == "podium:test"
    space.rerank(model=renamed, probes={"startupTimeoutSeconds": 901})
    wait_for("today's image", lambda: "podium:next" in template(space, "demo"))


def ready(space: Space, name: str) -> None:
    """Have the pods of a Reranker answer until its Deployment is rolled out."""

    def rolled_out() -> bool:
        space.answer(name)
        body = space.get("deployments", name)
        numbers = body["status"]
        return bool(
            numbers.get("observedGeneration") == body["metadata"]["generation"]
            and numbers.get("replicas")
            == numbers.get("updatedReplicas")
            == numbers.get("availableReplicas")
            == 1
        )

    wait_for(f"{name} is rolled out", rolled_out)


def test_told_to_roll_it_moves_one_reranker_of_a_namespace_after_the_other(
    space: Space, upgraded: OperatorProcess, tmp_path: Path
) -> None:
    rolling = {"rollout": {"onUpgrade": "Roll"}}
    for name in ("a", "b", "c"):
        space.rerank(name, **rolling)
    space.rerank("stays", rollout={"onUpgrade": "Keep"})
    other = Space.make(space.plane)
    other.rerank("a", **rolling)
    for each, name in ((space, "a"), (space, "b"), (space, "c"), (space, "stays"), (other, "a")):
        each.wait("deployments", name)
        ready(each, name)
        each.settled(name)

    def new() -> set[str]:
        time.sleep(3)
        found = {name for name in ("a", "b", "c", "stays") if '"SECOND"' in template(space, name)}
        wait_for("the other namespace has its own turn", lambda: '"SECOND"' in template(other, "a"))
        return found

    start(upgraded, altered(tmp_path, "second"))
    wait_for("the first", lambda: '"SECOND"' in template(space, "a"))
    assert new() == {"a"}
    message = space.wait_condition("Progressing", "False", "WaitingForTurn", "b")
    assert "newer pods wait until those of Reranker a, moved before, are ready" in message
    assert space.get("rerankers", "c")["status"]["upToDate"] is False
    ready(space, "a")
    wait_for("the second", lambda: '"SECOND"' in template(space, "b"))
    assert new() == {"a", "b"}
    upgraded.restart()
    assert new() == {"a", "b"}, "a new process knows whose turn it is"
    ready(space, "b")
    wait_for("the third", lambda: '"SECOND"' in template(space, "c"))
    ready(space, "c")
    space.wait_condition("Progressing", "False", "RolloutComplete", "c")
    assert new() == {"a", "b", "c"}
    assert space.get("rerankers", "stays")["status"]["upToDate"] is False

    start(upgraded, None, PODIUM_OPERATOR_ON_UPGRADE="Roll")
    wait_for("back to the first template", lambda: '"SECOND"' not in template(space, "a"))
    time.sleep(5)
    assert '"SECOND"' in template(space, "b"), "a roll that fails stops its namespace"
    space.patch("rerankers", "a", {"spec": {"suspend": True}})
    wait_for("the next one", lambda: '"SECOND"' not in template(space, "b"))
    other.delete("rerankers", "a")
