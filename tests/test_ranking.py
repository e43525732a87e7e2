import numpy as np
import pytest

from podium.ranking import Usage, rank, sigmoid

USAGE = Usage(10, 0)


def logits(*values: float):
    return np.array(values, np.float32)


def test_documents_are_ordered_best_first():
    assert rank(logits(-1, 3, 2), USAGE).order == [1, 2, 0]


def test_scores_keep_the_input_order():
    assert rank(logits(-1, 3, 2), USAGE, raw_scores=True).scores == [-1.0, 3.0, 2.0]


def test_ties_keep_the_input_order():
    assert rank(logits(1, 2, 1, 2), USAGE).order == [1, 3, 0, 2]


def test_logits_that_all_have_the_sigmoid_1_are_still_told_apart():
    ranking = rank(logits(40, 60, 50), USAGE)
    assert set(ranking.scores) == {1.0}
    assert ranking.order == [1, 2, 0]


@pytest.mark.parametrize(("top_n", "order"), [(None, [1, 0]), (1, [1]), (5, [1, 0])])
def test_top_n_cuts_the_order_and_not_the_scores(top_n, order):
    ranking = rank(logits(1, 2), USAGE, top_n=top_n)
    assert ranking.order == order
    assert len(ranking.scores) == 2


def test_the_sigmoid_neither_overflows_nor_loses_small_values():
    with np.errstate(all="raise"):
        values = sigmoid(np.array([-200.0, -40.0, 0.0, 40.0, 200.0]))
    assert values[0] > 0
    assert values[2] == 0.5
    assert values[4] == 1.0
