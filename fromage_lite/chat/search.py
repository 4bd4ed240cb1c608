"""Search without a dialogue: words and pictures, each with a weight, added up in the retrieval space.

No torch at the top: the command line parses terms before it loads a model.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from fromage_lite.chat.limits import check_length
from fromage_lite.errors import ConfigError, MessageError
from fromage_lite.text.message import ImageSegment, Segment, clean, parse_message
from fromage_lite.text.queries import query_segments
from index.hits import Hit
from index.images import is_picture_name, open_image

if TYPE_CHECKING:
    from torch import Tensor

    from fromage_lite.chat.engine import Engine

SIGNS = {"+": 1.0, "-": -1.0}
LEAST_NORM = 1e-4  # a shorter sum has no direction worth following

# No digit after the colon: "12:30" is a time, not a weight.
_WEIGHTED = re.compile(r"(\d+(?:\.\d+)?|\.\d+):(?=[^\s\d])(.+)", re.DOTALL)


@dataclass(frozen=True)
class Term:
    """One thing to look for.

    Attributes:
        weight: how much it counts; below 0 the search goes away from it.
        segments: words and pictures that are read as one message.
    """

    weight: float
    segments: tuple[Segment, ...]

    @property
    def picture(self) -> str | None:
        """The path, if the term is a picture and nothing else."""
        (first, *others) = self.segments
        return first.path if isinstance(first, ImageSegment) and not others else None


def parse_terms(words: Sequence[str], pictures: Sequence[str] = ()) -> list[Term]:
    """The terms of a command line.

    Args:
        words: words and, standing alone, `+` and `-`, which add and subtract what follows; a term may begin with its
            weight (`2:at night`), may hold `<image:PATH>`, and may be a picture file's name.
        pictures: paths of pictures to add.

    Raises:
        MessageError: a sign has nothing to its right, or a term is empty.
    """
    groups: list[tuple[float, list[str]]] = [(1.0, [])]
    for number, word in enumerate(words):
        if word in SIGNS:
            groups.append((SIGNS[word], []))
            if number == len(words) - 1:
                raise MessageError(f"Nothing follows the '{word}'.", "Say what to add or to take away.")
        else:
            groups[-1][1].append(word)
    if not groups[0][1]:
        del groups[0]  # the words begin with a sign, or there are none
    terms = [_term(sign, " ".join(text)) for sign, text in groups]
    return [*terms, *(Term(1.0, (ImageSegment(path),)) for path in pictures)]


def _term(sign: float, text: str) -> Term:
    weight = 1.0
    if match := _WEIGHTED.fullmatch(text.strip()):
        weight, text = float(match[1]), match[2]
    if not (segments := parse_message(text)):
        raise MessageError("One of the things to look for is empty.", "Say what to look for.")
    (first, *others) = segments
    if isinstance(first, str) and not others and _is_picture(first):
        segments = (ImageSegment(first),)
    return Term(sign * weight, segments)


def _is_picture(name: str) -> bool:
    try:
        return is_picture_name(name) and Path(name).expanduser().is_file()
    except (OSError, ValueError, RuntimeError):  # far too long; a NUL in it; nobody's home
        return False


def find(engine: Engine, terms: Sequence[Term], k: int, exclude: Collection[int] = ()) -> list[Hit]:
    """At most `k` pictures for all terms together, best first; a score is the cosine with their sum.

    Raises:
        ConfigError: there is no index, or the model was not trained to find pictures.
        ImageError: a picture can't be read.
        MessageError: there is nothing to search for, it is too long, or the terms cancel each other out.
    """
    return engine.retrieve(mixed_query(engine, terms), k, exclude)


def mixed_query(engine: Engine, terms: Sequence[Term]) -> Tensor:
    """The weighted sum of the terms' unit vectors as a unit vector, (1, R) float32.

    Words are what the language model's `[RET]` makes of them. A picture alone is its own embedding, as the index has
    it: through the language model it would be only what words can say of it.

    Raises: as `find`.
    """
    if not terms:
        raise _nothing()
    _check_possible(engine)
    vectors = [term.weight * _embeds(engine, term) for term in terms]
    total = vectors[0].clone()
    for vector in vectors[1:]:
        total += vector
    norm = float(total.norm())
    if not norm > LEAST_NORM:
        raise MessageError("The things to look for cancel each other out.", "Leave one out, or weigh it otherwise.")
    return total / norm


def query(engine: Engine, segments: Sequence[Segment]) -> Tensor:
    """Where words and pictures, read as one message, point in the retrieval space: (1, R), unit norm.

    Raises:
        ImageError: a picture can't be read.
        MessageError: there is nothing to search for, or it is too long.
    """
    segments = clean(segments)
    if not segments:
        raise _nothing()
    # The beginning of the text and [RET] have a position each.
    rendered = query_segments(engine.model.config.query_form, segments)
    check_length(engine.model, segments, rendered, engine.model.language.max_positions - 2)
    return engine.model.query_embeds(engine.open_segments(rendered))


def _embeds(engine: Engine, term: Term) -> Tensor:
    """(1, R), float32, unit norm."""
    import torch

    if (path := term.picture) is None:
        return query(engine, term.segments).float()
    with torch.inference_mode():
        pooled = engine.model.image_features([open_image(Path(path).expanduser())]).pooled
        return engine.model.image_embeds(pooled).float()


def _check_possible(engine: Engine) -> None:
    if not engine.model.config.has_retrieval:
        raise ConfigError("This model was not trained to find pictures.")
    if engine.index is None:
        raise ConfigError("There is no index to search.", "Name one with --index, or build one of your pictures.")


def _nothing() -> MessageError:
    return MessageError("There is nothing to search for.", "Type something, or name a picture.")
