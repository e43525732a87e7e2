"""One look from end to end, pure: from a Reranker's body and what was observed to a plan and a view."""

import logging
from collections.abc import Mapping
from datetime import datetime
from typing import Any

import msgspec

from podium_operator.judge.plan import Plan, key_of, make_plan
from podium_operator.render.children import Children, render_children
from podium_operator.render.pinned import held, wanted_pods
from podium_operator.resource.names import KIND
from podium_operator.resource.reranker import Reranker, read_reranker
from podium_operator.resource.source import model_source, own_claim_name
from podium_operator.resource.spec import Model, RerankerSpec
from podium_operator.resource.status import Pinned, read_status
from podium_operator.resource.validate import Problem, find_problem
from podium_operator.seen.download_progress import CacheProgress, cache_progress
from podium_operator.seen.observed import Contest, Observed, is_leaving
from podium_operator.seen.volumes import located
from podium_operator.settings import Settings
from podium_operator.tell.view import View

logger = logging.getLogger(__name__)


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
    seen = _without_leaving(reranker, observed)
    if problem:
        return _refused(reranker, problem, seen, settings, now)
    source = located(reranker, seen.claim)
    progress = _progress(reranker, seen, settings, now)
    try:
        children = render_children(reranker, source, progress, seen, settings, now)
        plan = make_plan(reranker, children, observed)
    except Exception as error:
        # A spec that nobody thought of: status says so, where a look that fails would say nothing.
        logger.exception("no children can be made for %s/%s", reranker.namespace, reranker.name)
        message = (
            f"no pods can be made of this spec, see the operator's log ({type(error).__name__}: {error})"
        )
        return _refused(reranker, Problem("InvalidSpec", message), seen, settings, now, rendered=False)
    view = View(
        reranker=reranker,
        source=source,
        progress=progress,
        observed=msgspec.structs.replace(seen, contests=_contests(observed, children)),
        settings=settings,
        conflicts=plan.conflicts,
        leaving=plan.leaving,
        going=plan.going,
        open=frozenset(key_of(apply.manifest) for apply in plan.applies),
        # status is written when nothing more is done: pods that were to move then did not
        up_to_date=children.pods.up_to_date and children.pods.turn != "taken",
        waits_for=observed.rolling if children.pods.turn == "awaited" else None,
    )
    takes_turn = children.pods.turn == "taken"
    pinned = reranker.status.pinned if takes_turn else None
    return Decision(plan=plan, view=view, pinned=pinned or children.pods.pinned, takes_turn=takes_turn)


def _without_leaving(reranker: Reranker, observed: Observed) -> Observed:
    """Return what was seen without the objects of an earlier Reranker of this name: they tell nothing."""
    leaving = {key for key, body in observed.children.items() if is_leaving(reranker, body)}
    if not leaving:
        return observed
    children = {key: body for key, body in observed.children.items() if key not in leaving}
    own = observed.get("PersistentVolumeClaim", own_claim_name(reranker.name))
    claim = (
        None if own is not None and observed.claim is own and is_leaving(reranker, own) else observed.claim
    )
    return msgspec.structs.replace(observed, children=children, claim=claim)


def _contests(observed: Observed, children: Children) -> tuple[Contest, ...]:
    """Return what is contested of what is wanted, and of status: a contest ends with its object."""
    wanted = {key_of(manifest) for manifest in children.manifests} | children.kept
    return tuple(
        field for field in observed.contests if field.kind == KIND or (field.kind, field.name) in wanted
    )


def _progress(reranker: Reranker, observed: Observed, settings: Settings, now: datetime) -> CacheProgress:
    source = model_source(reranker)
    return cache_progress(reranker, source, observed, now, retry_max_s=settings.download_retry_max_s)


def _refused(
    reranker: Reranker,
    problem: Problem,
    observed: Observed,
    settings: Settings,
    now: datetime,
    *,
    rendered: bool = True,
) -> Decision:
    """The pods of the last accepted spec go on; status speaks of them and of the problem.

    `rendered`: whether they may be rendered to see if they are of today's settings.
    """
    live = observed.get("Deployment", reranker.name)
    running = held(reranker, live) or reranker
    # A refused spec is not rendered: what is wrong with it may be what cannot be.
    pods = (
        None
        if running is reranker or not rendered
        else wanted_pods(running, live, settings, now, claim=observed.claim, waits=True)
    )
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
