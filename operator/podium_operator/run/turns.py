"""Whose turn it is to be moved by an upgrade: one Reranker of a namespace after the other."""

from collections.abc import Callable

from podium_operator.decision import Decision
from podium_operator.seen.store import Key, Store


class Turns:
    """Turns of all namespaces. Who was moved last, and whether its pods are there, stands in the cluster."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._at_it: dict[str, str] = {}
        self._waiting: dict[str, set[str]] = {}
        self.wake: Callable[[Key], None] = lambda _: None
        """Called with a Reranker whose turn has come."""

    def before(self, key: Key) -> str | None:
        """Return the Reranker whose pods must be ready before an upgrade moves these, or None."""
        at_it = self._at_it.get(key[0], key[1])
        return at_it if at_it != key[1] else self._store.rolling(key)

    def take(self, key: Key, decision: Decision) -> None:
        """From a decision to move pods to the answer to its apply no other Reranker may decide the same."""
        if decision.takes_turn:
            self._at_it[key[0]] = key[1]
        waiting = self._waiting.setdefault(key[0], set())
        (waiting.add if decision.view.waits_for else waiting.discard)(key[1])

    def end(self, key: Key) -> None:
        """End a Reranker's look, and wake one that waits where its turn has come."""
        space, name = key
        if self._at_it.get(space) == name:
            del self._at_it[space]
        if self._store.reranker(key) is None:
            self._waiting.get(space, set()).discard(name)
        first = min(self._waiting.get(space, ()), default=None)
        if first and first != name and self.before((space, first)) is None:
            self.wake((space, first))
