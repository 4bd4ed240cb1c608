import numpy as np
import pytest

from fromage_lite.evaluate.intervals import figure, mean_figure
from fromage_lite.evaluate.ranking import choice_figures, ndcg, rank_figures, rank_of, ranks


def test_ranks_by_hand():
    similarities = np.array([[0.9, 0.1, 0.5], [0.9, 0.1, 0.5], [0.2, 0.2, 0.2]])
    assert ranks(similarities).tolist() == [1, 3, 3]  # what is equal to all others is no find
    relevant = np.array([[0, 1, 1], [1, 0, 0], [1, 1, 1]], dtype=bool)
    assert ranks(similarities, relevant).tolist() == [2, 1, 1]
    assert rank_of(np.array([1.0, 3.0, 2.0]), 2) == 2


def test_figures_of_ranks():
    found = np.array([1, 1, 4, 20])
    figures = rank_figures(found)
    assert [figures[key].value for key in ("recall@1", "recall@5", "recall@10", "median_rank")] == [
        0.5,
        0.75,
        0.75,
        2.5,
    ]
    chosen = choice_figures(found)
    assert chosen["mrr"].value == pytest.approx((1 + 1 + 1 / 4 + 1 / 20) / 4) and chosen["mean_rank"].value == 6.5


def test_ndcg_by_hand():
    relevance = [0.0, 1.0, 0.5, 0.0]
    assert ndcg(np.array([0.0, 9.0, 8.0, 1.0]), relevance) == 1
    got = 0.5 / np.log2(3)  # the first place is wasted, the second holds 0.5; the third no longer counts
    assert ndcg(np.array([9.0, 1.0, 8.0, 0.0]), relevance) == pytest.approx(got / (1 + 0.5 / np.log2(3)))
    assert np.isnan(ndcg(np.array([1.0, 2.0]), [0.0, 0.0]))


def test_intervals_are_those_of_the_binomial():
    values = np.repeat([0.0, 1.0], [300, 700])
    made = mean_figure(values)
    spread = 1.96 * (0.3 * 0.7 / 1000) ** 0.5
    assert made.value == 0.7 and made.n == 1000
    assert made.low == pytest.approx(0.7 - spread, abs=0.004) and made.high == pytest.approx(0.7 + spread, abs=0.004)
    assert mean_figure(values) == made and mean_figure([]).n == 0


def test_a_figure_that_is_no_mean():
    made = figure(np.arange(101, dtype=np.float64)[:, None], lambda sample: float(np.median(sample)))
    assert made.value == 50 and 30 < made.low < 50 < made.high < 70
