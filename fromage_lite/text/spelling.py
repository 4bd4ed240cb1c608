"""Slips of the finger: words that a model does not know, read as the known ones that were meant.

A small model knows few words, and to it a misspelt one is another word. Distances are optimal string alignment
(Damerau 1964: letters inserted, left out, replaced, or swapped with a neighbour).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from textwrap import shorten

from fromage_lite.text.message import Segment

LEAST_LETTERS = 3  # shorter words are not looked at
MOST_SLIPS = 2
LONG_LETTERS = 8  # a known word of so many letters may have two slips, others one
SHORT_LETTERS = 5  # words up to here are often one letter from others that really mean something else
MOST_CHARACTERS = 20_000  # longer texts are read as they are: they were not typed

_WORD = re.compile(r"[^\W\d_]+")
_PLACE = re.compile(r"<[^<>\n]*>|\S+")
# A word with its punctuation; paths, addresses, numbers and words with a hyphen are none.
_TYPED = re.compile(r"([\"'(\u201c\u2018]*)([^\W\d_]+)((?:['\u2019][sS])?[.,;:!?\"')\u201d\u2019\u2026]*)")
_SENTENCE_ENDS = (".", "!", "?", "\u2026", ":")
_SIBILANTS = ("s", "x", "z", "ch", "sh", "o")


def words_in(text: str) -> list[str]:
    """The words of a text in lower case: its runs of letters."""
    return [word.lower() for word in _WORD.findall(text)]


class Spelling:
    """Reads slips of the finger as what was meant.

    Args:
        words: all that the model knows, in lower case.
        others: words that it does not know, and that are meant as they are although they look like one that it does.
    """

    def __init__(self, words: Iterable[str], others: Iterable[str] = ()) -> None:
        self._known = sorted(set(words))
        self._words = frozenset(self._known).union(others)
        self._candidates = [word for word in self._known if len(word) >= LEAST_LETTERS]

    def knows(self, word: str) -> bool:
        """Whether a word in lower case is known, or its plural, or what it is the plural of."""
        forms = {word, word.removesuffix("s")}
        if not word.endswith(("s", "u")):
            forms.add(word + "s")
        if word.endswith("ies"):
            forms.add(word.removesuffix("ies") + "y")
        if word.removesuffix("es").endswith(_SIBILANTS):
            forms.add(word.removesuffix("es"))
        return not forms.isdisjoint(self._words)

    @property
    def words(self) -> tuple[list[str], list[str]]:
        """The known words and the others, each in their order."""
        return self._known, sorted(self._words.difference(self._known))

    def corrected(self, text: str) -> str:
        """The text with each unknown word replaced by the known one that it must be a slip of, if there is exactly one.

        Names (capitals inside a sentence), numbers, paths and `<image:PATH>` stay, and so does a word in doubt.
        """
        if len(text) > MOST_CHARACTERS:
            return text
        shouted = text.isupper()
        begins = True

        def mended(place: re.Match[str]) -> str:
            nonlocal begins
            chunk, is_first = place[0], begins
            begins = chunk.endswith(_SENTENCE_ENDS)
            parts = _TYPED.fullmatch(chunk)
            if parts is None:
                return chunk
            before, word, after = parts.groups()
            if not (word.islower() or shouted or (is_first and word.istitle())):
                return chunk
            return before + _cased_as(word, self.meant(word.lower())) + after

        return _PLACE.sub(mended, text)

    def meant(self, word: str) -> str:
        """The known word that a word in lower case is a slip of; the word itself if it is known or in doubt."""
        if len(word) < LEAST_LETTERS or self.knows(word):
            return word
        from rapidfuzz import process  # only once there is an unknown word: a command's first lines need not wait
        from rapidfuzz.distance import OSA

        found = process.extract(word, self._candidates, scorer=OSA.distance, score_cutoff=MOST_SLIPS, limit=None)
        near = [(distance, known) for known, distance, _ in found if _is_slip(word, known, int(distance))]
        ranked = [(distance, not _is_of_the_finger(word, known), known) for distance, known in near]
        best = [known for *rank, known in ranked if rank == list(min(ranked)[:2])]
        if len(best) == 2 and best[1] == best[0] + "s":  # in their order: the singular, and the plural
            del best[1]
        return best[0] if len(best) == 1 else word


def read_as(spelling: Spelling | None, segments: Sequence[Segment]) -> tuple[Segment, ...]:
    """A message with its slips corrected; as it is for a model whose words are not known (None)."""
    if spelling is None:
        return tuple(segments)
    return tuple(spelling.corrected(segment) if isinstance(segment, str) else segment for segment in segments)


def told(segments: Sequence[Segment]) -> str:
    """What the user is told of a message that is not read as it was typed."""
    text = " ".join(segment for segment in segments if isinstance(segment, str))
    return f"Read as: {shorten(text, 200, placeholder=' …')}"


def _is_slip(typed: str, known: str, distance: int) -> bool:
    """Whether a word so near may be a slip of a known one. Its first letter must be right, unless the first two are
    swapped; words of three letters must have two neighbours swapped, and others of a few letters be a slip of the
    finger."""
    is_swap = distance == 1 and sorted(typed) == sorted(known)
    is_short = min(len(typed), len(known)) <= SHORT_LETTERS
    if typed[0] != known[0]:
        return is_swap and not is_short
    if distance > 1:
        return len(known) >= LONG_LETTERS and len(typed) >= LONG_LETTERS - 1
    if len(typed) == LEAST_LETTERS:
        return is_swap
    return not is_short or _is_of_the_finger(typed, known)


def _is_of_the_finger(typed: str, known: str) -> bool:
    """Whether a word at distance 1 has two neighbours swapped, a letter left out or one doubled: the usual slips."""
    if len(typed) == len(known):
        return sorted(typed) == sorted(known)
    if len(typed) < len(known):
        return True
    return any(known == typed[:at] + typed[at + 1 :] for at in range(1, len(typed)) if typed[at] == typed[at - 1])


def _cased_as(typed: str, word: str) -> str:
    """A word in lower case with the capitals of a typed one."""
    if typed.islower():
        return word
    return word.capitalize() if typed.istitle() else word.upper()
