"""Pictures that are nearly the same are one hit."""

from __future__ import annotations

import numpy as np

from index.pictures.facts import Facts
from index.search.alike import fold
from index.search.hits import Hit


def hits(*scores: float) -> list[Hit]:
    return [Hit(id, score, f"/{id}.jpg") for id, score in enumerate(scores)]


def features(*angles: float) -> np.ndarray:
    return np.array([[np.cos(np.radians(a)), np.sin(np.radians(a))] for a in angles], dtype=np.float32) * 7


def test_the_best_one_stays_and_names_the_others():
    found = hits(0.9, 0.8, 0.7, 0.6)
    facts = [Facts(phash=0b1111), Facts(phash=-1), Facts(phash=0b0111), Facts(phash=0b1101)]
    first, second = fold(found, facts, features(0, 0, 10, 20))
    assert (first.id, first.alike) == (0, ("/2.jpg", "/3.jpg"))
    assert (second.id, second.alike) == (1, ())


def test_ten_bits_are_alike_and_eleven_are_not():
    facts = [Facts(phash=0), Facts(phash=2**10 - 1), Facts(phash=-(2**63))]
    assert [hit.id for hit in fold(hits(0.9, 0.8, 0.7), facts, None)] == [0]
    assert [hit.id for hit in fold(hits(0.9, 0.8), [Facts(phash=0), Facts(phash=2**11 - 1)], None)] == [0, 1]


def test_the_same_hash_is_not_enough_where_the_encoder_sees_something_else():
    facts = [Facts(phash=5), Facts(phash=5)]
    assert len(fold(hits(0.9, 0.8), facts, features(0, 80))) == 2
    assert len(fold(hits(0.9, 0.8), facts, features(0, 40))) == 1


def test_copies_of_the_same_bytes_are_alike_whatever_else_is_known():
    facts = [Facts(content=b"a"), Facts(content=b"a", phash=3), Facts(content=None), Facts(content=None)]
    assert [len(hit.alike) for hit in fold(hits(0.9, 0.8, 0.7, 0.6), facts, None)] == [1, 0, 0]
    assert fold([], [], None) == []
