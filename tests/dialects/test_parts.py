"""The rules that dialects share."""

import pytest

from podium.dialects import parts
from podium.errors import InvalidRequest


@pytest.mark.parametrize(
    ("value", "count"), [(None, None), (0, None), (1, 1), (10**400, 10**400)], ids=["null", "0", "1", "huge"]
)
def test_top_n_of_nothing_and_of_zero_means_all(value: int | None, count: int | None) -> None:
    assert parts.top_n(value) == count


@pytest.mark.parametrize("value", [-1, -(10**400)], ids=["-1", "huge"])
def test_a_negative_top_n_is_refused(value: int) -> None:
    with pytest.raises(InvalidRequest, match=r"^`top_k` must be 0 or more; leave it out to get all"):
        parts.top_n(value, "top_k")


@pytest.mark.parametrize(
    ("value", "flag"),
    [(True, True), (False, False), ("true", True), ("True", True), ("false", False), ("FALSE", False)],
)
def test_a_flag_may_be_a_string(value: parts.Flag, flag: bool) -> None:
    assert parts.flag(value, "f", default=not flag) is flag


@pytest.mark.parametrize("default", [True, False])
def test_a_flag_of_null_is_its_default(default: bool) -> None:
    assert parts.flag(None, "f", default=default) is default


def test_another_string_is_no_flag_and_is_shown_in_part() -> None:
    with pytest.raises(InvalidRequest, match=r'^`f` must be true or false, not "yes"$'):
        parts.flag("yes", "f")
    with pytest.raises(InvalidRequest, match=r'^`f` must be true or false, not "x{40}…"$'):
        parts.flag("x" * 10_000, "f")
