"""From examples to token ids: the same ids that prompts and replies have when the model is used.

Training that tokenizes differently from serving is a classic bug, so both interleave with `text.interleaving`, and put
one beginning-of-text token before the first text.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from fromage_lite.config import FromageConfig
from fromage_lite.errors import DataError
from fromage_lite.language.model import LanguageModel
from fromage_lite.text.interleaving import IGNORED, IMAGE_SLOT, Ret, Text, interleave, joined
from fromage_lite.training.data.interleaved import Example, ExampleSegment, Image

MOST_REMEMBERED = 500_000
"""Texts whose ids are kept: those of a world come again and again, those of a large data set hardly ever."""


@dataclass(frozen=True)
class Encoded:
    """A sequence of T positions.

    Attributes:
        ids: `(T,)`, `IMAGE_SLOT` at visual tokens.
        labels: `(T,)`, the id at labels, else `IGNORED`. Not shifted: position t is predicted from t - 1.
        image_rows: the feature row of each picture, in order.
        ret_rows: the target feature row of each `[RET]`, in order.
    """

    ids: npt.NDArray[np.int64]
    labels: npt.NDArray[np.int64]
    image_rows: tuple[int, ...] = ()
    ret_rows: tuple[int, ...] = ()

    def __len__(self) -> int:
        return len(self.ids)

    def __add__(self, other: Encoded) -> Encoded:
        """The two sequences as one."""
        return Encoded(
            np.concatenate([self.ids, other.ids]),
            np.concatenate([self.labels, other.labels]),
            self.image_rows + other.image_rows,
            self.ret_rows + other.ret_rows,
        )


class SequenceEncoder:
    """Turns examples and captions into ids for one language model and one configuration."""

    def __init__(self, language: LanguageModel, config: FromageConfig) -> None:
        self._language = language
        self._config = config
        self._memory: dict[tuple[str, bool], tuple[int, ...]] = {}

    def example(self, example: Example, max_tokens: int | None = None) -> Encoded:
        """Encodes an interleaved example.

        Raises:
            DataError: it is longer than `max_tokens`.
        """
        encoded = self._encode(example.segments, add_bos=True)
        if max_tokens is not None and len(encoded) > max_tokens:
            raise DataError(f"A training example has {len(encoded)} tokens, more than max_tokens ({max_tokens}).")
        return encoded

    def captioned_image(
        self,
        caption: str,
        row: int,
        *,
        separator: str = "",
        input_prefix: str = "",
        max_tokens: int | None = None,
        begin_first: bool = False,
        learn_end: bool = False,
    ) -> Encoded:
        """`[picture][caption]`, the captioning sequence. The caption's beginning-of-text token is a label, as in the
        paper's code; `input_prefix`, which comes before it, is not.

        Args:
            caption: cut to `max_tokens - 1` tokens, as in the retrieval sequence.
            row: the picture's feature row.
            separator: see `Recipe.caption_separator`.
            input_prefix: see `Recipe.input_prefix`.
            max_tokens: None does not cut.
            begin_first: see `Recipe.begin_first`.
            learn_end: see `Recipe.learn_end`.
        """
        if begin_first:
            texts = (Text(input_prefix), Text(separator + caption, label=True))
            sequence = self._encode((Text(""), Image(row), *(text for text in texts if text.text)), add_bos=True)
        elif not input_prefix:
            sequence = self._encode((Image(row), Text(separator + caption, label=True)), add_bos=True)
        else:
            picture = self._encode((Image(row),), add_bos=False)
            words = self._ids(separator + caption, add_bos=True)
            prefix = self._ids(input_prefix, add_bos=False)
            ids = [*picture.ids, *prefix, *words]
            is_label = [False] * (len(ids) - len(words)) + [True] * len(words)
            sequence = _encoded(ids, is_label, (row,), ())
        excess = 0 if max_tokens is None else int((sequence.labels != IGNORED).sum()) - (max_tokens - 1)
        if excess > 0:
            return Encoded(sequence.ids[:-excess], sequence.labels[:-excess], (row,), ())
        ends = sorted(self._language.eos_ids)[:1] if learn_end else []
        return sequence + _encoded(ends, [True] * len(ends), (), ())

    def retrieval_caption(
        self, caption: str, row: int, *, input_prefix: str = "", max_tokens: int | None = None
    ) -> Encoded:
        """`[caption][RET]`, the retrieval sequence. Caption and `[RET]` are labels; a longer caption is cut."""
        prefix = self._ids(input_prefix, add_bos=False) if input_prefix else ()
        words = self._ids(caption, add_bos=True)
        words = words if max_tokens is None else words[: max_tokens - 1]
        ids = [*prefix, *words, self._language.ret_token_id]
        return _encoded(ids, [False] * len(prefix) + [True] * (len(words) + 1), (), (row,))

    def _encode(self, segments: Sequence[ExampleSegment], add_bos: bool) -> Encoded:
        ids: list[int] = []
        is_label: list[bool] = []
        pieces: Iterator[list[Text] | Image | Ret]
        pieces = interleave(segments, self._config.image_prefix, self._config.text_after_image)
        for piece in pieces:
            if isinstance(piece, Image):
                ids += [IMAGE_SLOT] * self._config.n_visual_tokens
                is_label += [False] * self._config.n_visual_tokens
            elif isinstance(piece, Ret):
                ids.append(self._language.ret_token_id)
                is_label.append(True)
            else:
                piece_ids, piece_labels = self._tokenize(piece, add_bos)
                ids += piece_ids
                is_label += piece_labels
                add_bos = False
        image_rows = tuple(segment.row for segment in segments if isinstance(segment, Image))
        ret_rows = tuple(segment.row for segment in segments if isinstance(segment, Ret))
        return _encoded(ids, is_label, image_rows, ret_rows)

    def _tokenize(self, stretch: Sequence[Text], add_bos: bool) -> tuple[list[int], list[bool]]:
        """The ids of a stretch, and which of them are labels. A token across two parts belongs to the second, and the
        beginning-of-text token to the first."""
        ids = list(self._ids(joined(stretch), add_bos))
        is_label: list[bool] = []
        so_far = ""
        for number, part in enumerate(stretch):
            so_far += part.text
            is_last = number == len(stretch) - 1
            end = len(ids) if is_last else _common_start(ids, self._ids(so_far, add_bos))
            is_label += [part.label] * (end - len(is_label))
        return ids, is_label

    def _ids(self, text: str, add_bos: bool) -> tuple[int, ...]:
        key = (text, add_bos)
        if key not in self._memory:
            if len(self._memory) >= MOST_REMEMBERED:
                self._memory.clear()
            self._memory[key] = tuple(self._language.tokenize(text, add_bos=add_bos))
        return self._memory[key]


def _encoded(ids: list[int], is_label: list[bool], image_rows: tuple[int, ...], ret_rows: tuple[int, ...]) -> Encoded:
    array = np.array(ids, dtype=np.int64)
    return Encoded(array, np.where(is_label, array, IGNORED), image_rows, ret_rows)


def _common_start(first: list[int], second: tuple[int, ...]) -> int:
    """How many leading ids two sequences share."""
    return next(
        (i for i, (a, b) in enumerate(zip(first, second, strict=False)) if a != b), min(len(first), len(second))
    )
