"""Training data as plain values: interleaved examples of text and pictures, and the data set that holds them.

A picture is a row of a feature array here, never an image: the frozen encoder has run once, before training.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
from PIL.Image import Image as PILImage
from torch import Tensor

from fromage_lite.errors import DataError
from fromage_lite.text.interleaving import Ret, Text
from fromage_lite.text.message import ImageSegment
from fromage_lite.text.template import Template


@dataclass(frozen=True)
class Image:
    """A picture in the language model's input: row `row` of the features."""

    row: int


ExampleSegment = Text | Image | Ret


@dataclass(frozen=True)
class Example:
    """An interleaved sequence of text, pictures and `[RET]`s, for example a dialogue."""

    segments: tuple[ExampleSegment, ...]

    @property
    def rows(self) -> tuple[int, ...]:
        """All feature rows of the example, in order."""
        return tuple(segment.row for segment in self.segments if not isinstance(segment, Text))


TrainingTurn = tuple[Sequence[str | Image], Sequence[str | Ret | Image]]
"""A message and the reply to it."""


def dialogue_example(template: Template, turns: Sequence[TrainingTurn], ret_ends_reply: bool = False) -> Example:
    """A dialogue exactly as the chat would feed it, in the prompt's template; what the model says is the label.

    Args:
        template: `get_template(config.prompt_template, tokenizer)`.
        turns: message and reply of each turn. The template adds what a reply's text begins with, such as the blank
            after `A:`. The text that ends a turn is a label, too, so that replies end. An image after a `[RET]` is what
            was found.
        ret_ends_reply: as in `FromageConfig`; the end of a turn is then not a label after a `[RET]`, because the
            decoder never gets there.
    """
    segments: list[ExampleSegment] = []
    is_label = True  # whether the end of the previous turn is a label
    for number, (message, reply) in enumerate(turns):
        pictures = [part if isinstance(part, str) else ImageSegment(str(part.row)) for part in message]
        prompt: list[ExampleSegment] = [
            Text(part) if isinstance(part, str) else Image(int(part.path))
            for part in template.render_turn(pictures, is_first=number == 0)
        ]
        if number and isinstance(prompt[0], Text):  # the prompt of a later turn begins with the end of the last reply
            rest = prompt[0].text.removeprefix(template.turn_end)
            prompt[:1] = [Text(template.turn_end, label=is_label, joined=True), Text(rest)]
        segments += prompt
        segments += [Text(template.render_reply(part), label=True) if isinstance(part, str) else part for part in reply]
        is_label = not (ret_ends_reply and isinstance(segments[-1], Ret | Image))
    return Example((*segments, Text(template.turn_end, label=is_label)))


@dataclass(frozen=True)
class TrainingData:
    """Everything that a training run reads. Each source of data (playground, caption file) makes one.

    Attributes:
        features: `(N, dim)` float16 or float32, the frozen encoder's pooled features; may be memory-mapped.
        captions: `(caption, row)` pairs; a picture may have several captions.
        dialogues: interleaved examples; empty for a captions-only run.
        groups: `(N,)` integers or None. Rows of one group look alike (equal descriptions), so they are never
            negatives of each other in the contrastive losses.
        texts: for each row a text about the picture that could replace it in the LM's input; None if there are only the
            captions.
        visual_map: weight `(visual tokens * width, dim)` and bias `(visual tokens * width,)` of the map to visual
            tokens, where the data knows it in closed form.
        validation: held-out data of the same form, without its own validation.
        grid: `(N, P, grid_dim)`, the patches of the pictures or the encoder's layers, where visual tokens come from
            them; else None.
        picture: gives the picture of a row, small, to be looked at; None where there is none to be had.
        fingerprint: of the content, so that a run is only resumed on the same data; may be empty.
    """

    features: npt.NDArray[np.floating]
    captions: Sequence[tuple[str, int]]
    dialogues: Sequence[Example] = ()
    groups: npt.NDArray[np.integer] | None = None
    texts: Sequence[str] | None = field(default=None, repr=False)
    visual_map: tuple[Tensor, Tensor] | None = field(default=None, repr=False)
    validation: TrainingData | None = field(default=None, repr=False)
    grid: npt.NDArray[np.floating] | None = field(default=None, repr=False)
    picture: Callable[[int], PILImage] | None = field(default=None, repr=False)
    fingerprint: str = ""

    def __post_init__(self) -> None:
        if self.features.ndim != 2:
            raise DataError(f"Features must have the shape (images, dim), not {self.features.shape}.")
        if not self.captions and not self.dialogues:
            raise DataError("The training data holds neither captions nor dialogues.")
        if self.groups is not None and self.groups.shape != (len(self.features),):
            raise DataError(f"There are {len(self.features)} feature rows, but {len(self.groups)} groups.")
        if self.texts is not None and len(self.texts) != len(self.features):
            raise DataError(f"There are {len(self.features)} feature rows, but {len(self.texts)} texts.")
        rows = [row for _, row in self.captions] + [row for example in self.dialogues for row in example.rows]
        if rows and not 0 <= min(rows) <= max(rows) < len(self.features):
            raise DataError(f"Rows {min(rows)} to {max(rows)} are named, but only {len(self.features)} features exist.")
