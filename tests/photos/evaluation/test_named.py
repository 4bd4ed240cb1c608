"""Replies about a picture, read back."""

import pytest

from fromage_lite.photos.evaluation.named import read
from fromage_lite.photos.world.classes import CLASSES
from fromage_lite.photos.world.saying import Saying

NUMBER = {row.name: number for number, row in enumerate(CLASSES)}
TABBY, TIGER = NUMBER["tabby"], NUMBER["tiger cat"]


@pytest.mark.parametrize(
    ("reply", "said"),
    [
        ("a tabby.", Saying((TABBY,), sure=True)),
        ("A tabby or a tiger cat.", Saying((TABBY, TIGER))),
        ("maybe a tabby.", Saying((TABBY,))),
        ("some kind of cat.", Saying((), "cat")),
        ("some kind of cat, maybe a tabby.", Saying((TABBY,), "cat")),
        ("i can't tell what this shows.", Saying()),
        ("a tabby tiger.", Saying((-1,), sure=True)),
        ("some kind of nonsense.", Saying((-1,))),
    ],
)
def test_what_a_reply_claims(reply, said):
    assert read(reply) == said
