"""What a world must tell of itself so that the forms of talk can be filled with its words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol


class World(Protocol):
    """The words of a shipped world."""

    @property
    def nouns(self) -> Sequence[str]:
        """The names of all things, singular."""

    @property
    def kinds(self) -> Mapping[str, Sequence[str]]:
        """The kinds of things, singular, each with its members."""

    @property
    def strangers(self) -> Sequence[str]:
        """Noun phrases of what the world does not hold ("a dragon")."""

    @property
    def unknown(self) -> str:
        """The honest answer to what the world does not hold."""

    def kinds_of(self, noun: str) -> Sequence[str]:
        """The kinds that a thing belongs to, the nearest first."""

    def article(self, word: str) -> str:
        """`a` or `an`."""

    def plural(self, noun: str) -> str:
        """The plural of a thing's name."""

    def plural_kind(self, kind: str) -> str:
        """The plural of a kind's name."""
