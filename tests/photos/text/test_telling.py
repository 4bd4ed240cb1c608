"""What is said of mixtures whose probabilities are written out here."""

import numpy as np
import pytest

from fromage_lite.photos.text import telling
from fromage_lite.photos.text.pairs import both
from fromage_lite.photos.world.classes import CLASSES, meaning

NUMBER = {row.name: number for number, row in enumerate(CLASSES)}


def mixture(**shares):
    """Shares by name (`_` for a blank); what is left is spread over all classes."""
    mixed = np.full(1000, (1 - sum(shares.values())) / 1000, dtype=np.float32)
    for name, share in shares.items():
        mixed[NUMBER[name.replace("_", " ")]] += share
    return mixed


TABBY = mixture(tabby=0.9)
BREEDS = mixture(tabby=0.3, tiger_cat=0.3, persian_cat=0.3)
NOTHING = mixture()


@pytest.mark.parametrize(
    ("shown", "answer"),
    [
        (TABBY, "a tabby."),
        (mixture(espresso=0.8), "espresso."),
        (mixture(tabby=0.45, tiger_cat=0.45), "a tabby or a tiger cat."),
        (BREEDS, "some kind of cat."),
        (NOTHING, "i can't tell what this shows."),
    ],
)
def test_what_a_picture_shows_as_far_as_it_can_be_told(shown, answer):
    assert telling.description(shown) == answer


@pytest.mark.parametrize(
    ("shown", "word", "answer"),
    [
        (TABBY, "tabby", "yes."),
        (TABBY, "cat", "yes, a tabby."),
        (TABBY, "animal", "yes, a tabby."),
        (TABBY, "tiger cat", "no, a tabby."),
        (TABBY, "dog", "no, a tabby."),
        (BREEDS, "animal", "yes, some kind of cat."),
        (BREEDS, "cat", "yes."),
        (BREEDS, "tabby", "maybe."),
        (BREEDS, "car", "no, some kind of cat."),
        (NOTHING, "car", "no."),
        (NOTHING, "animal", "maybe."),  # nearly 400 of the classes are animals
    ],
)
def test_yes_and_no_by_the_share_of_what_is_asked_for(shown, word, answer):
    assert telling.yes_no(shown, sorted(meaning(word))) == answer


def test_the_kind_of_a_thing_and_what_it_is_for():
    assert telling.kind_answer(BREEDS) == "a cat."
    assert telling.use(mixture(revolver=0.9)) == "one can fight with it."
    assert telling.use(mixture(banana=0.4, lemon=0.4)) == "one can eat it."
    assert telling.use(NOTHING) == "i can't tell what this shows."


def test_a_guess_names_what_is_likely_and_nothing_where_nothing_is():
    assert telling.guess(mixture(palace=0.3, monastery=0.2)) == "maybe a palace or a monastery."
    assert telling.guess(mixture(palace=0.3, monastery=0.1)) == "maybe a palace."
    assert telling.guess(NOTHING) == "i can't tell what this shows."


def test_two_pictures_are_both_told():
    assert both(TABBY, BREEDS) == "a tabby and some kind of cat."
    assert both(NOTHING, TABBY) == "something that i can't name and a tabby."
