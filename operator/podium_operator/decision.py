"""One look from end to end, pure: from a Reranker's body and what was observed to a plan and a view."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

import msgspec

from podium_operator.judge.plan import Plan, key_of, make_plan
from podium_operator.render.children import render_children
from podium_operator.render.pinned import held, wanted_pods
from podium_operator.resource.reranker import Reranker, read_reranker
from podium_operator.resource.source import model_source
from podium_operator.resource.spec import Model, RerankerSpec
from podium_operator.resource.status import Pinned, read_status
from podium_operator.resource.validate import Problem, find_problem
from podium_operator.seen.download_progress import CacheProgress, cache_progress
from podium_operator.seen.observed import Observed
from podium_operator.settings import Settings
from podium_operator.tell.view import View


class Decision(msgspec.Struct, frozen=True, kw_only=True):
    """What to do now, and what status is made from."""

    plan: Plan
    view: View
    pinned: Pinned
    takes_turn: bool = False
    """Whether the plan moves pods because of an upgrade; one Reranker of a namespace at a time."""


def read(body: Mapping[str, Any], settings: Settings) -> tuple[Reranker, Problem | None]:
    """Return the Reranker and what is wrong with its spec; one that cannot be read gets a stand-in spec."""
    try:
        reranker = read_reranker(body)
    except msgspec.ValidationError as error:
        message = f"the spec cannot be read: {error}"
        return _stand_in(body), Problem("InvalidSpec", message)
    return reranker, find_problem(reranker, settings)


def _stand_in(body: Mapping[str, Any]) -> Reranker:
    metadata = body["metadata"]
    return Reranker(
        namespace=metadata["namespace"],
        name=metadata["name"],
        uid=metadata["uid"],
        generation=metadata.get("generation", 0),
        spec=RerankerSpec(model=Model(uri="builtin")),
        raw={},
        status=read_status(body),
    )


def decide(body: Mapping[str, Any], observed: Observed, settings: Settings, now: datetime) -> Decision:
    """Return the plan and the view. A spec with a problem plans nothing: what runs is left alone."""
    reranker, problem = read(body, settings)
    if problem:
        return _refused(reranker, problem, observed, settings, now)
    source = model_source(reranker)
    progress = _progress(reranker, observed, settings, now)
    children = render_children(reranker, source, progress, observed, settings, now)
    plan = make_plan(reranker, children, observed)
    view = View(
        reranker=reranker,
        source=source,
        progress=progress,
        observed=observed,
        settings=settings,
        conflicts=plan.conflicts,
        open=frozenset(key_of(apply.manifest) for apply in plan.applies),
        # status is written when nothing more is done: pods that were to move then did not
        up_to_date=children.pods.up_to_date and children.pods.turn != "taken",
        waits_for=observed.rolling if children.pods.turn == "awaited" else None,
    )
    takes_turn = children.pods.turn == "taken"
    pinned = reranker.status.pinned if takes_turn else None
    return Decision(plan=plan, view=view, pinned=pinned or children.pods.pinned, takes_turn=takes_turn)


def _progress(reranker: Reranker, observed: Observed, settings: Settings, now: datetime) -> CacheProgress:
    source = model_source(reranker)
    return cache_progress(reranker, source, observed, now, retry_max_s=settings.download_retry_max_s)


def _refused(
    reranker: Reranker, problem: Problem, observed: Observed, settings: Settings, now: datetime
) -> Decision:
    """The pods of the last accepted spec go on; status speaks of them and of the problem."""
    live = observed.get("Deployment", reranker.name)
    running = held(reranker, live) or reranker
    # A refused spec is not rendered: what is wrong with it may be what cannot be.
    pods = None if running is reranker else wanted_pods(running, live, settings, now, waits=True)
    view = View(
        reranker=running,
        source=model_source(running),
        progress=_progress(running, observed, settings, now),
        observed=observed,
        settings=settings,
        problem=problem,
        up_to_date=pods.up_to_date if pods else None,
    )
    return Decision(
        plan=Plan(), view=view, pinned=pods.pinned if pods else reranker.status.pinned or Pinned()
    )
