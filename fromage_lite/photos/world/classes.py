"""The 1,000 classes of ImageNet-1k by everyday names, and the kinds that they belong to.

`classes.txt` and `kinds.txt` are the source. They began as facts of WordNet 3.0 (which synset a class is, its words and
hypernyms; `LICENSE.wordnet`), gone over by hand: everyday names before the first lemma, natural kinds before hypernyms.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from fromage_lite.photos.world.nouns import plural


@dataclass(frozen=True)
class ImageClass:
    """A class of ImageNet-1k.

    Attributes:
        name: everyday name, at most three words, lower case, unlike any other class's.
        synonyms: further words that reach it; a word can reach several classes (crane, phone).
        kinds: one to three kinds from near to far: `("cat", "mammal", "animal")`.
    """

    name: str
    synonyms: tuple[str, ...]
    kinds: tuple[str, ...]


@dataclass(frozen=True)
class _Kind:
    wider: str
    synonyms: tuple[str, ...]


_FOLDER = Path(__file__).parent
_IGNORED_WORDS = ("a ", "an ", "the ", "some ", "any ")


def _rows(file: str) -> list[list[str]]:
    lines = (_FOLDER / file).read_text(encoding="utf-8").splitlines()
    return [[cell.strip() for cell in line.split("|")] for line in lines if line and not line.startswith("#")]


def _words(cell: str) -> tuple[str, ...]:
    return tuple(word.strip() for word in cell.split(",") if word.strip())


_KINDS: dict[str, _Kind] = {name: _Kind(wider, _words(synonyms)) for name, wider, synonyms in _rows("kinds.txt")}


def _chain(kind: str) -> tuple[str, ...]:
    kinds = []
    while kind:
        kinds.append(kind)
        kind = _KINDS[kind].wider
    return tuple(kinds)


CLASSES: tuple[ImageClass, ...] = tuple(
    ImageClass(name, _words(synonyms), _chain(kind)) for name, kind, synonyms in _rows("classes.txt")
)
"""In the order of the classifier's outputs."""

KINDS: dict[str, tuple[int, ...]] = {
    kind: tuple(i for i, row in enumerate(CLASSES) if kind in row.kinds) for kind in _KINDS
}
"""Every kind and the classes that belong to it, directly or through a narrower kind."""

KIND_SYNONYMS: dict[str, tuple[str, ...]] = {name: kind.synonyms for name, kind in _KINDS.items()}
"""Further words for a kind: puppy for dog, bike for bicycle and for motorcycle."""


def wider_kind(kind: str) -> str | None:
    """The next wider kind: mammal for dog, nothing for animal."""
    return _KINDS[kind].wider or None


def _plain(words: str) -> str:
    plain = " ".join(words.lower().replace("-", " ").replace("'", "").split())
    for ignored in _IGNORED_WORDS:
        plain = plain.removeprefix(ignored)
    return plain


def _index() -> dict[str, frozenset[int]]:
    found: dict[str, set[int]] = {}

    def add(word: str, classes: tuple[int, ...]) -> None:
        for form in (word, plural(word)):
            found.setdefault(_plain(form), set()).update(classes)

    for i, row in enumerate(CLASSES):
        for word in (row.name, *row.synonyms):
            add(word, (i,))
    for kind, classes in KINDS.items():
        for word in (kind, *KIND_SYNONYMS[kind]):
            add(word, classes)
    return {word: frozenset(classes) for word, classes in found.items()}


_MEANINGS = _index()


def meaning(words: str) -> frozenset[int] | None:
    """The classes that words mean, or None if they mean nothing here.

    Args:
        words: a name, a synonym or a kind, singular or plural, with or without an article, in any case. A word of
            several meanings reaches them all: `crane` the bird and the machine.
    """
    return _MEANINGS.get(_plain(words))


def known_words() -> frozenset[str]:
    """Every phrase that `meaning` knows, without articles, hyphens and apostrophes."""
    return frozenset(_MEANINGS)
