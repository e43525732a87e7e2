import tracemalloc

import pytest

from podium.cache import ENTRY_BYTES, SPAN_BYTES, PairCache, Scored, pair_key, query_key

SCORED = Scored(1.0, 10, False, 10)


def key(query: str, document: str) -> bytes:
    return pair_key(query_key(query), document.encode("utf-8", "surrogatepass"))


def test_equal_pairs_have_equal_keys_and_others_have_others():
    assert key("a", "bc") == key("a", "bc")
    assert len({key("a", "bc"), key("ab", "c"), key("bc", "a"), key("", "abc"), key("abc", "")}) == 5


def test_lone_surrogates_have_keys():
    assert key("\ud800", "\udfff") != key("\udfff", "\ud800")


def test_an_entry_is_remembered_until_its_time_is_over():
    now = 0.0
    cache = PairCache(ENTRY_BYTES * 10, 60, timer=lambda: now)
    cache.put(b"key", SCORED)
    now = 59.0
    assert cache.get(b"key") == SCORED
    now = 61.0
    assert cache.get(b"key") is None


def test_what_grew_old_is_not_dropped_all_at_once():
    """It would hold the event loop up: 0.2 s for 100,000 entries."""
    now = 0.0
    cache = PairCache(ENTRY_BYTES * 10, 60, timer=lambda: now)
    for number in range(10):
        cache.put(bytes([number]), SCORED)
    now = 61.0
    assert cache.bytes == ENTRY_BYTES * 10
    assert cache.get(b"\0") is None
    assert cache.bytes == ENTRY_BYTES * 9
    cache.put(b"new", SCORED)
    cache.put(b"newer", SCORED)
    assert cache.bytes == ENTRY_BYTES * 10
    assert cache.get(b"new") == SCORED


def test_a_full_cache_forgets_what_was_not_used_for_longest():
    cache = PairCache(ENTRY_BYTES * 2, 60)
    cache.put(b"1", SCORED)
    cache.put(b"2", SCORED)
    assert cache.get(b"1") == SCORED
    cache.put(b"3", SCORED)
    assert cache.get(b"2") is None
    assert cache.get(b"1") == SCORED


def test_zero_bytes_turn_it_off():
    cache = PairCache(0, 60)
    cache.put(b"key", SCORED)
    assert not cache.on
    assert cache.get(b"key") is None


@pytest.mark.parametrize("spans", [0, 1, 5, 64, 585])
def test_entries_take_no_more_than_they_are_counted_for(spans):
    def scored(number: int) -> Scored:
        windows = tuple(
            (number + 1_000 * n, number + 1_000 * n + 900, number / (n + 7)) for n in range(spans)
        )
        return Scored(number / 7, 1_000 + number, False, 1_000 + number, windows)

    entries = 20_000 // (1 + spans)
    cache = PairCache(entries * (ENTRY_BYTES + spans * SPAN_BYTES), 60)
    tracemalloc.start()
    for number in range(2 * entries):
        cache.put(key("query", str(number)), scored(number))
    taken, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert 0.5 * entries * (ENTRY_BYTES + spans * SPAN_BYTES) < taken
    assert taken <= entries * (ENTRY_BYTES + spans * SPAN_BYTES)


def test_an_entry_larger_than_the_cache_is_not_kept_and_drives_nothing_out():
    cache = PairCache(ENTRY_BYTES * 2, 60)
    cache.put(b"1", SCORED)
    cache.put(b"2", SCORED._replace(spans=((0, 1, 1.0),) * 100))
    assert cache.get(b"1") == SCORED
    assert cache.get(b"2") is None
