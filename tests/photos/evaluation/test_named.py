"""Replies about a picture, read back."""

import pytest

from fromage_lite.photos.evaluation.named import Said, read
from fromage_lite.photos.world.classes import CLASSES

NUMBER = {row.name: number for number, row in enumerate(CLASSES)}
TABBY, TIGER = NUMBER["tabby"], NUMBER["tiger cat"]


@pytest.mark.parametrize(
    ("reply", "said"),
    [
        ("a tabby.", Said((TABBY,))),
        ("A tabby or a tiger cat.", Said((TABBY, TIGER))),
        ("maybe a tabby.", Said((TABBY,))),
        ("some kind of cat.", Said((), "cat")),
        ("some kind of cat, maybe a tabby.", Said((TABBY,), "cat")),
        ("i can't tell what this shows.", Said(nothing=True)),
        ("a tabby tiger.", Said((-1,))),
        ("some kind of nonsense.", Said()),
    ],
)
def test_what_a_reply_claims(reply, said):
    assert read(reply) == said
