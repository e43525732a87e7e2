"""A batch is laid down whole: each pair once, a shared prefix once a sequence."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from podium.models.base import Encoding
from podium.models.network.sequences import sequences


def encoding(prefix: int, shared: int, own: int) -> Encoding:
    """Return a pair whose prefix is told apart by its number, and whose own tokens by nothing."""
    ids = np.concatenate((np.full(shared, 1000 + prefix), np.arange(own))).astype(np.int32)
    return Encoding(ids=ids, second=len(ids), cut=False, needed=len(ids), shared=shared)


batches = st.lists(
    st.builds(encoding, st.integers(0, 3), st.sampled_from([0, 1, 40, 300]), st.integers(1, 500)), min_size=1
)


@given(batch=batches, limit=st.sampled_from([None, 400, 4096]), share=st.booleans())
def test_every_pair_is_computed_once_from_its_own_tokens(batch, limit, share):
    seen = []
    for laid in sequences(batch, limit, share=share):
        ends = [number for number in range(len(laid.ids)) if number not in laid.prefixes]
        assert len(ends) == len(laid.pairs)
        for number, index in zip(ends, laid.pairs, strict=True):
            before = laid.ids[laid.prefixes[number]] if laid.prefixes[number] >= 0 else []
            assert np.concatenate((before, laid.ids[number])).tolist() == batch[index].ids.tolist()
            seen.append(index)
    assert sorted(seen) == list(range(len(batch)))


@given(batch=batches, limit=st.sampled_from([400, 4096]))
def test_a_sequence_has_no_more_tokens_than_its_limit_or_one_pair(batch, limit):
    for laid in sequences(batch, limit, share=True):
        assert laid.tokens == sum(len(ids) for ids in laid.ids)
        assert laid.tokens <= limit or len(laid.pairs) == 1


@given(batch=batches, limit=st.sampled_from([None, 4096]), share=st.booleans())
def test_spans_lie_in_the_order_that_a_layout_asks_for(batch, limit, share):
    for laid in sequences(batch, limit, share=share):
        lengths = np.array([len(ids) for ids in laid.ids])
        assert laid.prefixes.tolist() == sorted(laid.prefixes.tolist())
        for prefix in set(laid.prefixes.tolist()):
            run = lengths[laid.prefixes == prefix]
            assert run.tolist() == sorted(run.tolist())


def test_a_prefix_is_laid_down_once_for_all_its_pairs():
    batch = [encoding(1, 100, 60), encoding(2, 50, 9), encoding(1, 100, 30), encoding(2, 50, 8)]
    [laid] = sequences(batch, None, share=True)
    assert [len(ids) for ids in laid.ids] == [50, 100, 8, 9, 30, 60]
    assert laid.prefixes.tolist() == [-1, -1, 0, 0, 1, 1]
    assert laid.pairs == [3, 1, 2, 0]
    assert laid.tokens == 257


@pytest.mark.parametrize(
    ("batch", "share"),
    [
        pytest.param([encoding(1, 100, 60), encoding(2, 100, 60)], True, id="no two have it"),
        pytest.param([encoding(1, 100, 60), encoding(1, 100, 60)], False, id="it is not to be shared"),
    ],
)
def test_pairs_without_company_are_laid_down_whole(batch, share):
    [laid] = sequences(batch, None, share=share)
    assert [len(ids) for ids in laid.ids] == [160, 160]
    assert laid.prefixes.tolist() == [-1, -1]


def test_the_last_token_is_never_a_prefix_s():
    only = np.arange(9, dtype=np.int32)
    pair = Encoding(ids=only, second=9, cut=False, needed=9, shared=9)
    [laid] = sequences([pair, pair], None, share=True)
    assert [len(ids) for ids in laid.ids] == [8, 1, 1]
