"""Which found pictures are shown."""

from __future__ import annotations

import pytest

from fromage_lite.chat.choosing import AGAIN, NEAREST, choose
from index.search.hits import Hit


def hits(*scores):
    return [Hit(number, score, f"{number}.png", "") for number, score in enumerate(scores)]


@pytest.mark.parametrize(
    ("scores", "shown", "match_score", "ids", "remark"),
    [
        ((0.8, 0.7, 0.3), (), 0.6, (0, 1, 2), ""),
        ((0.8, 0.7, 0.3), (0,), 0.6, (1, 2), ""),  # another one that fits
        ((0.8, 0.5, 0.3), (0,), 0.6, (0, 1, 2), AGAIN),  # the only whale at night, asked for twice
        ((0.5, 0.4), (), 0.6, (0, 1), NEAREST),
        ((0.5, 0.4), (0,), 0.6, (1,), NEAREST),  # nothing fits: at least nothing twice
        ((0.5, 0.4), (0,), None, (1,), ""),  # a model without a calibrated score
        ((0.9,), (0,), 0.6, (0,), AGAIN),
        ((0.5,), (0,), 0.6, (), ""),
        ((), (), 0.6, (), ""),
    ],
)
def test_what_fits_and_is_new_comes_first(scores, shown, match_score, ids, remark):
    choice = choose(hits(*scores), shown, match_score)
    assert (tuple(hit.id for hit in choice.hits), choice.remark) == (ids, remark)
