"""What the engine learns of its device: how many tokens fit into it, and whether it still works. Pure."""

from collections.abc import Callable, Iterator

from podium.errors import is_failure

WELL = 16
"""Batches in a row that fit before larger ones are tried again."""

FAILURES = 3
"""Failed batches in a row, each with a self-test that failed behind it, after which the device is lost."""

_LOST = frozenset({"AcceleratorError", "DeferredCudaCallError"})
"""Names of torch's errors after which a process cannot use its device any more, such as a failed assertion on
it: each later call fails, too. By name, because nothing but `models` imports torch."""


class Room:
    """Tokens of a batch at most: halved where memory ran out, and grown back after batches that fit."""

    def __init__(self, most: int) -> None:
        self._most = self.tokens = most
        self._well = 0

    def exceeded(self, batch: int, budget: int) -> None:
        """Halve it, after a batch of so many tokens did not fit where `budget` were aimed at.

        Memory may have run out for a moment, by the hand of another process: two tiny pairs say little of
        what fits, so that the larger number is halved.
        """
        self.tokens = max(1, max(batch, min(budget, self.tokens)) // 2)
        self._well = 0

    def held(self, batch: int) -> None:
        """Count a batch that fitted; those far below the limit say nothing of it."""
        if self.tokens == self._most or 2 * batch < self.tokens:
            return
        self._well += 1
        if self._well == WELL:
            self.tokens = min(self._most, self.tokens * 5 // 4 + 1)
            self._well = 0


class Health:
    """Whether the device works. `lost` says why it does not, once and for all; None while it does.

    Callers read it, so that the words of the driver stand in `cause` alone, for the log.
    """

    def __init__(self) -> None:
        self.lost: str | None = None
        self.cause = ""
        self._failures = 0

    def worked(self) -> None:
        """Count a batch that was scored."""
        self._failures = 0

    def failed(self, error: BaseException, test: Callable[[], object]) -> bool:
        """Count a batch that failed with `error`, if `test` on the device fails, too; return whether it did.

        A caller whose texts make the model fail must not be able to end the service with them.
        """
        if is_lost(error):
            self.lost = "the device is lost; the process must be started anew"
            self.cause = _sentence(error)
            return True
        try:
            test()
        except BaseException as other:
            if not is_failure(other):
                raise
            if is_lost(other):
                return self.failed(other, test)
            self._failures += 1
        else:
            self._failures = 0
        if self._failures == FAILURES:
            self.lost = (
                f"{FAILURES} batches in a row and the self-tests behind them failed; "
                "the process must be started anew"
            )
            self.cause = type(error).__name__
        return self._failures > 0


def is_lost(error: BaseException) -> bool:
    """Whether an error, or one behind it, says that the device cannot be used any more."""
    return any(
        kind.__name__ in _LOST and "out of memory" not in str(cause).lower()
        for cause in _causes(error)
        for kind in type(cause).__mro__
    )


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def _sentence(error: BaseException) -> str:
    lines = str(error).splitlines() or [type(error).__name__]
    return lines[0][:200]
