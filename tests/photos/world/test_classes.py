"""The table of classes says what ImageNet's numbers mean, in words that people use."""

import pytest
from timm.data import ImageNetInfo

from fromage_lite.photos.world.classes import CLASSES, KINDS, meaning
from fromage_lite.photos.world.nouns import plural, with_article


def names(words: str) -> set[str]:
    return {CLASSES[i].name for i in meaning(words) or ()}


def test_there_are_1000_classes_with_names_of_their_own():
    assert len(CLASSES) == len({row.name for row in CLASSES}) == 1000
    assert all(1 <= len(row.name.split()) <= 3 and row.name == row.name.lower() for row in CLASSES)


def test_every_class_has_one_to_three_kinds():
    assert all(1 <= len(row.kinds) <= 3 and set(row.kinds) <= KINDS.keys() for row in CLASSES)


def test_the_order_is_imagenets():
    info = ImageNetInfo("imagenet-1k")
    for i in (0, 99, 207, 281, 323, 404, 498, 620, 761, 805, 872, 930, 954, 985):
        lemmas = info.index_to_description(i).lower().replace(",", " ").split()
        assert set(CLASSES[i].name.split()) & set(lemmas), (i, CLASSES[i].name)


@pytest.mark.parametrize(
    ("words", "name"),
    [
        ("car", "taxi"),
        ("bikes", "mountain bike"),
        ("bike", "moped"),
        ("phone", "cell phone"),
        ("a puppy", "beagle"),
        ("kittens", "tabby"),
        ("Mobile Phone", "cell phone"),
        ("mushroom", "agaric"),
        ("whale", "killer whale"),
        ("wolves", "grey wolf"),
        ("t shirt", "t-shirt"),
        ("something to eat", "pizza"),
        ("people", "groom"),
        ("hound", "basset hound"),
        ("chests of drawers", "chest of drawers"),
    ],
)
def test_everyday_words_reach_their_classes(words, name):
    assert name in names(words)


def test_a_word_with_two_meanings_reaches_both():
    assert names("crane") == {"crane bird", "construction crane"}


def test_kinds_hold_nothing_else():
    assert names("cat") == {"tabby", "tiger cat", "persian cat", "siamese cat", "egyptian cat"}
    assert len(meaning("dogs")) == 118
    assert "computer mouse" not in names("computer")


def test_unknown_words_mean_nothing():
    assert meaning("democracy") is None


@pytest.mark.parametrize(
    ("noun", "said", "several"),
    [
        ("tabby", "a tabby", "tabbies"),
        ("egyptian cat", "an egyptian cat", "egyptian cats"),
        ("espresso", "espresso", "espresso"),
        ("hourglass", "an hourglass", "hourglasses"),
        ("unicycle", "a unicycle", "unicycles"),
        ("jeans", "jeans", "jeans"),
        ("computer mouse", "a computer mouse", "computer mice"),
        ("bird of prey", "a bird of prey", "birds of prey"),
        ("monkey", "a monkey", "monkeys"),
        ("one-piece swimsuit", "a one-piece swimsuit", "one-piece swimsuits"),
    ],
)
def test_articles_and_plurals(noun, said, several):
    assert (with_article(noun), plural(noun)) == (said, several)
