"""Words from inside pods: believed where they have the agreed form, cut and cleaned always."""

from decimal import Decimal

import pytest
from rerankers import NOW, body, pod, settle

from podium_operator.resource.quantity import parse_quantity, same_quantity
from podium_operator.seen.observed import Observed
from podium_operator.seen.pod_causes import Termination, clean, lost_node, pod_cause, termination
from podium_operator.seen.stuck import may_become_suspect, suspects


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (
            '{"reason":"NoSpace","message":"full","bytes":7}',
            Termination(reason="NoSpace", message="full", bytes=7),
        ),
        ('warning: x\n{"reason":"NoSpace"}\n', Termination(reason="NoSpace")),
        ('{"resolvedRevision":"abc"}', Termination(resolved_revision="abc")),
        ("Killed", None),
        ('{"reason":["a"]}', None),
        ("{not json", None),
        pytest.param('{"bytes":' + "9" * 40 + "}", None, id="more-bytes-than-status-takes"),
        pytest.param('{"x":' + "[" * 4000, None, id="as-deep-as-a-termination-log"),
        ("", None),
    ],
)
def test_the_last_json_line_of_a_termination_message_counts(text: str, found: Termination | None) -> None:
    assert termination({"terminated": {"message": text}}) == found


def test_text_from_a_pod_is_one_short_printable_line() -> None:
    assert clean("a\x1b[31m\n b\tc") == "a [31m b c"
    assert len(clean("x" * 5000)) == 400


def test_a_pod_that_runs_or_was_not_tried_yet_has_no_cause() -> None:
    assert pod_cause(pod(ready=True)) is None
    assert pod_cause(pod(state={"waiting": {"reason": "ContainerCreating"}})) is None
    assert pod_cause(pod(ready=True, last={"terminated": {"exitCode": 1}}, restarts=4)) is None


def test_a_node_is_lost_only_where_containers_were_ready() -> None:
    assert lost_node(pod(ready=True)) is None
    assert lost_node(pod(ready=False)) is None


@pytest.mark.parametrize(
    ("value", "number"),
    [
        ("1500m", "1.5"),
        ("10Gi", 10 * 2**30),
        ("2e3", 2000),
        (3, 3),
        ("1k", 1000),
        (".5", "0.5"),
        ("1E", 10**18),
    ],
)
def test_quantities_are_numbers(value: int | str, number: int | str) -> None:
    assert parse_quantity(value) == Decimal(number)


def test_what_is_no_quantity_is_refused_and_never_the_same() -> None:
    with pytest.raises(ValueError, match="`ten` is not a quantity: use a number with a suffix"):
        parse_quantity("ten")
    assert same_quantity("1024Mi", "1Gi")
    assert not same_quantity("http", "http2")
    assert not same_quantity(None, "1")


def test_events_are_read_only_for_jobs_without_pods_and_pods_without_containers() -> None:
    job = {"kind": "Job", "metadata": {"uid": "j", "creationTimestamp": "2026-03-01T11:59:50Z"}, "status": {}}
    assert suspects(Observed(children={("Job", "demo-dl-1"): job}), NOW) == [("Job", "demo-dl-1", "j")]
    young = {**job, "metadata": {"uid": "j", "creationTimestamp": "2026-03-01T11:59:58Z"}}
    seen = Observed(children={("Job", "demo-dl-1"): young})
    assert suspects(seen, NOW) == []
    assert may_become_suspect(seen, NOW)
    with_pod = Observed(children={("Job", "demo-dl-1"): job}, pods=(pod(owner="j"),))
    assert suspects(with_pod, NOW) == []
    creating = pod(state={"waiting": {"reason": "ContainerCreating"}}, phase="Pending")
    assert suspects(Observed(pods=(creating,)), NOW) == [
        ("Pod", "demo-abc-12345", creating["metadata"]["uid"])
    ]
    assert not may_become_suspect(settle(body()), NOW)
