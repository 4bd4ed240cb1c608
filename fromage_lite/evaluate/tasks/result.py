"""What a task gives: figures, how many examples they are of, and some of these to look at."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Self

from fromage_lite.evaluate.intervals import Figure
from fromage_lite.plain_data import PlainData


@dataclass(frozen=True)
class Sample(PlainData):
    """One example as it went.

    Attributes:
        asked: what the model was given, in words.
        shown: ids of the pictures that it was given.
        wanted: the right words, or what is right about the picture.
        said: the words that it gave; empty where it gave pictures.
        wanted_picture: id of the right picture; empty where words were asked for.
        found: ids of the pictures that it gave, the best first.
        is_right: whether that is right.
    """

    asked: str
    shown: tuple[str, ...] = ()
    wanted: str = ""
    said: str = ""
    wanted_picture: str = ""
    found: tuple[str, ...] = ()
    is_right: bool = False


@dataclass(frozen=True)
class TaskResult:
    """The outcome of a task.

    Attributes:
        figures: by name; a part before the last `/` says of which setting.
        counts: how many examples were evaluated, and how many were not and why.
        samples: some examples, right and wrong ones.
    """

    figures: Mapping[str, Figure]
    counts: Mapping[str, int] = field(default_factory=dict)
    samples: Sequence[Sample] = ()

    def to_dict(self) -> dict[str, Any]:
        """As JSON data."""
        return {
            "figures": {name: figure.to_dict() for name, figure in self.figures.items()},
            "counts": dict(self.counts),
            "samples": [sample.to_dict() for sample in self.samples],
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """The inverse of `to_dict`.

        Raises:
            ConfigError: a figure or sample has another form.
            KeyError: a part is missing.
        """
        return cls(
            {name: Figure.from_dict(value) for name, value in data["figures"].items()},
            dict(data["counts"]),
            [Sample.from_dict(value) for value in data["samples"]],
        )


def some_of_both(samples: Sequence[Sample], n: int = 4) -> list[Sample]:
    """The first `n` right and the first `n` wrong ones: no choice that could flatter."""
    right = [sample for sample in samples if sample.is_right][:n]
    return right + [sample for sample in samples if not sample.is_right][:n]
