"""Carrying a plan out: deletions and applies, each of which may fail by itself."""

import logging
from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from podium_operator.decision import Decision
from podium_operator.judge.drift import difference, restored, taker
from podium_operator.judge.memory import Memory
from podium_operator.judge.plan import Apply, Delete, key_of
from podium_operator.render.deployment import is_zeroed
from podium_operator.resource.names import MANAGER
from podium_operator.run.cluster import ApiError, Cluster, Unreachable
from podium_operator.run.metrics import WRITES
from podium_operator.seen.kinds import BY_NAME
from podium_operator.seen.observed import ObjectKey, Refusal, is_owned
from podium_operator.seen.store import Key, Store, trim

logger = logging.getLogger(__name__)

_WITH_PODS = ("Deployment", "Job")
"""What is not made without the account of its pods, which would run under one that is not theirs."""
_HANDOVER_MANAGER = f"{MANAGER}-handover"


class Writer:
    """Writes the children of a Reranker, and remembers what was granted and what refused."""

    def __init__(self, store: Store, cluster: Cluster, clock: Callable[[], float]) -> None:
        self._store, self._cluster, self._clock = store, cluster, clock

    async def carry_out(self, key: Key, decision: Decision, memory: Memory) -> bool:
        """Do what the plan says; return whether anything was done, so that another look is worth while.

        Raises Unreachable with the second kind that got no answer: each takes as long as a request may.
        """
        plan = decision.plan
        done = memory.forget_others(plan.concerns)
        self._note_zero(decision, memory)
        # What is due is asked once: else two writes without an answer would each time be due together, and
        # what comes after them would never be tried.
        now = self._clock()
        unanswered: set[str] = set()
        no_account = False
        steps: list[Delete | Apply] = [*plan.deletes, *plan.applies]
        for step in steps:
            child = (step.kind, step.name) if isinstance(step, Delete) else key_of(step.manifest)
            request = step if isinstance(step, Delete) else step.manifest
            if no_account and _makes(step, *_WITH_PODS):
                memory.forget(child)
                continue
            if memory.is_refused(child, request, now):
                no_account |= _makes(step, "ServiceAccount")
                continue
            try:
                if isinstance(step, Delete):
                    await self._delete(key, step)
                    memory.forget(child)
                    done = True
                elif not memory.is_withheld(step, child, now):
                    done = await self._apply(key, step, decision, memory) or done
                    if memory.is_foreign(child):
                        return True  # the next look sees the conflict, and plans nothing
            except (ApiError, Unreachable) as error:
                # One that fails (a webhook of its kind, a quota) hides no other and is tried again by itself.
                self._refuse(key, child, request, error, memory)
                no_account |= _makes(step, "ServiceAccount")
                done = True
                if isinstance(error, Unreachable):
                    unanswered.add(child[0])
                    if len(unanswered) > 1:
                        raise
        return done

    def _refuse(
        self, key: Key, child: ObjectKey, request: object, error: ApiError | Unreachable, memory: Memory
    ) -> None:
        code, wait_s = (error.status, error.retry_after_s) if isinstance(error, ApiError) else (0, 0.0)
        message = error.message if isinstance(error, ApiError) else str(error)
        memory.refuse(child, request, Refusal(code=code, message=message), self._clock(), at_least_s=wait_s)
        logger.warning("%s %s of %s/%s was refused: %s", *child, *key, error)

    @staticmethod
    def _note_zero(decision: Decision, memory: Memory) -> None:
        """Remember who scaled an autoscaled Deployment to 0, as long as nobody is served because of it."""
        view = decision.view
        if view.deployment and is_zeroed(view.reranker, view.deployment):
            # The API server keeps no manager of a number that was set to 0 through /scale.
            manager = taker(view.deployment, "spec.replicas")
            memory.zeroed_by = "someone" if manager == "unknown" else f"manager {manager}"
        elif view.ready >= view.needed or view.reranker.spec.suspend or not view.reranker.spec.autoscaling:
            memory.zeroed_by = None

    async def _delete(self, key: Key, delete: Delete) -> None:
        await self._cluster.delete(BY_NAME[delete.kind], key[0], delete.name, delete.uid)
        WRITES.labels(what="delete").inc()
        logger.info("deleted %s %s of %s/%s: %s", delete.kind, delete.name, *key, delete.reason)
        self._store.forget((delete.kind, key[0], delete.name))

    async def _apply(self, key: Key, apply: Apply, decision: Decision, memory: Memory) -> bool:
        """Apply one object; return whether the store has changed."""
        child = key_of(apply.manifest)
        handover = decision.plan.handover
        if handover and child == key_of(handover):
            await self._hand_over(key, handover)
        try:
            live = await self._put(key, apply)
        except ApiError as error:
            if _is_another(error):
                return await self._resolve(key, apply, decision, memory, error)
            raise
        logger.info("applied %s %s of %s/%s: %s", *child, *key, apply.reason)
        if apply.taken:  # only what was put right can be taken again
            memory.taken(apply.taken, self._clock())
        self._store.put(live, watched=False)
        memory.accept(child, apply.manifest, trim(live))
        return True

    async def _hand_over(self, key: Key, handover: Mapping[str, Any]) -> None:
        """Let a second manager hold the number that the operator is about to leave out."""
        manifest = {**handover, "metadata": {**handover["metadata"], "namespace": key[0]}}
        await self._cluster.apply(manifest, uid=handover["metadata"]["uid"], manager=_HANDOVER_MANAGER)
        WRITES.labels(what="apply").inc()

    async def _put(self, key: Key, apply: Apply) -> Any:
        """Apply one object; return it. What someone made of a field of ours may have to go first."""
        manifest, kind = apply.manifest, BY_NAME[apply.manifest["kind"]]
        WRITES.labels(what="apply").inc()
        try:
            return await self._cluster.apply(manifest, uid=apply.uid)
        except ApiError as error:
            if error.status != 422 or _is_another(error):
                raise
            live = await self._cluster.find(kind, key[0], manifest["metadata"]["name"])
            if live is None or live["metadata"]["uid"] != apply.uid:
                raise
            spec = difference(live.get("spec"), restored(live.get("spec"), manifest.get("spec")))
            if not spec:
                raise
            logger.info("%s %s of %s/%s is restored: %s", *key_of(manifest), *key, error)
            await self._cluster.patch_spec(kind, live, spec)
            WRITES.labels(what="patch").inc()
        WRITES.labels(what="apply").inc()
        return await self._cluster.apply(manifest, uid=apply.uid)

    async def _resolve(
        self, key: Key, apply: Apply, decision: Decision, memory: Memory, error: ApiError
    ) -> bool:
        """The object is not what the store knew: gone, someone else's, or ours without its label."""
        kind, name = key_of(apply.manifest)
        live = await self._cluster.find(BY_NAME[kind], key[0], name)
        if live is None:
            if apply.uid is None:
                raise error  # whoever denies the making says Conflict, too
            self._store.forget((kind, key[0], name))
            return True
        reranker = decision.view.reranker
        if is_owned(reranker, live):
            if live["metadata"]["uid"] == apply.uid or live["metadata"].get("deletionTimestamp"):
                raise error
            again = msgspec.structs.replace(apply, uid=live["metadata"]["uid"])
            return await self._apply(key, again, decision, memory)
        refusal = Refusal(code=error.status, message=error.message, foreign=True)
        memory.refuse((kind, name), apply.manifest, refusal, self._clock())
        logger.warning("%s %s exists and does not belong to %s/%s", kind, name, *key)
        return True


def _makes(step: Delete | Apply, *kinds: str) -> bool:
    """Whether a step makes an object of these kinds that is not there yet."""
    return isinstance(step, Apply) and step.uid is None and step.manifest["kind"] in kinds


def _is_another(error: ApiError) -> bool:
    """Whether an apply was refused because the object of that name is not the one that was meant."""
    return error.status == 409 or (error.status == 422 and "metadata.uid" in error.message)
