"""Search without a dialogue: words and pictures, each with a weight, summed in the retrieval space.

No torch at the top: the command line parses terms before it loads a model.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from fromage_lite.chat.limits import check_length
from fromage_lite.config import SpellingMode
from fromage_lite.errors import ConfigError, MessageError
from fromage_lite.files import expand_user
from fromage_lite.text.message import ImageSegment, Segment, clean, parse_message
from fromage_lite.text.queries import query_segments
from index.hits import Hit
from index.images import is_picture_name, open_image

if TYPE_CHECKING:
    from torch import Tensor

    from fromage_lite.chat.engine import Engine

SIGNS = {"+": 1.0, "-": -1.0}
PATH_STARTS = ("/", "~/", "./", "../")
LEAST_NORM = 1e-4  # the direction of a shorter sum is noise

# No digit after the colon: "12:30" is a time, not a weight.
_WEIGHTED = re.compile(r"(\d+(?:\.\d+)?|\.\d+):(?=[^\s\d])(.+)", re.DOTALL)


@dataclass(frozen=True)
class Term:
    """One thing to look for.

    Attributes:
        weight: how much it counts; below 0, the search avoids it.
        segments: words and pictures, read as one message.
    """

    weight: float
    segments: tuple[Segment, ...]

    @property
    def picture(self) -> str | None:
        """The path if the term is a single picture."""
        (first, *others) = self.segments
        return first.path if isinstance(first, ImageSegment) and not others else None


def parse_terms(words: Sequence[str], pictures: Sequence[str] = ()) -> list[Term]:
    """The terms of a command line.

    Args:
        words: words and, on their own, `+` and `-`, which add and subtract what follows; a term may begin with its
            weight (`2:at night`), may hold `<image:PATH>`, and may be the name of a picture file.
        pictures: paths of pictures to add.

    Raises:
        MessageError: nothing follows the last sign, or a term is empty.
    """
    groups: list[tuple[float, list[str]]] = [(1.0, [])]
    for number, word in enumerate(words):
        if word in SIGNS:
            groups.append((SIGNS[word], []))
            if number == len(words) - 1:
                raise MessageError(f"Nothing follows the '{word}'.", "Say what to add or subtract.")
        else:
            groups[-1][1].append(word)
    if not groups[0][1]:
        del groups[0]  # there are no words, or they begin with a sign
    terms = [_term(sign, " ".join(text)) for sign, text in groups]
    return [*terms, *(Term(1.0, (ImageSegment(path),)) for path in pictures)]


def _term(sign: float, text: str) -> Term:
    weight = 1.0
    if match := _WEIGHTED.fullmatch(text.strip()):
        weight, text = float(match[1]), match[2]
    if not (segments := parse_message(text)):
        raise MessageError("One of the things to look for is empty.", "Say what to look for.")
    (first, *others) = segments
    if isinstance(first, str) and not others and is_meant_as_path(first):
        segments = (ImageSegment(first),)
    return Term(sign * weight, segments)


def is_meant_as_path(text: str) -> bool:
    """Whether a whole text is a path rather than words, so that one that leads nowhere is told, not looked for: a
    picture's name without blanks, there or not; with blanks, if there is such a file; and whatever is there and begins
    as only paths do."""
    text = text.strip()
    begins_so = text.startswith(PATH_STARTS)
    is_one_word = len(text.split()) == 1 and not set(text) & set("<>")
    try:
        path = Path(text).expanduser()
        if is_picture_name(text):
            return is_one_word or path.is_file()
        return begins_so and (is_one_word or path.exists())
    except (OSError, ValueError, RuntimeError):  # too long a name; a NUL in it; the home of an unknown user
        return False


def as_read(engine: Engine, terms: Sequence[Term], spelling: SpellingMode = "auto") -> list[Term]:
    """The terms with their misspelt words as they were meant; see `Engine.read_as`."""
    return [replace(term, segments=engine.read_as(term.segments, spelling)) for term in terms]


def find(
    engine: Engine,
    terms: Sequence[Term],
    k: int,
    exclude: Collection[int] = (),
    spelling: SpellingMode = "auto",
) -> list[Hit]:
    """At most `k` pictures for all terms together, best first; a score is the cosine with their sum.

    Raises:
        ConfigError: there is no index, or the model was not trained to find pictures.
        ImageError: a picture can't be read.
        MessageError: there is nothing to search for, it is too long, or the terms cancel each other out.
    """
    return engine.retrieve(mixed_query(engine, as_read(engine, terms, spelling)), k, exclude)


def mixed_query(engine: Engine, terms: Sequence[Term]) -> Tensor:
    """The weighted sum of the terms' unit vectors as a unit vector, (1, R) float32.

    The language model reads words; its state at `[RET]` is their vector (`query`). A picture alone is its own
    embedding, as in the index: the language model would reduce it to what words can say.

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
        raise MessageError("The things to look for cancel each other out.", "Omit one, or change its weight.")
    return total / norm


def query(engine: Engine, segments: Sequence[Segment]) -> Tensor:
    """Words and pictures, read as one message, as a unit vector in the retrieval space, (1, R).

    Raises:
        ImageError: a picture can't be read.
        MessageError: there is nothing to search for, or it is too long.
    """
    segments = clean(segments)
    if not segments:
        raise _nothing()
    rendered = query_segments(engine.model.config.query_form, segments)
    room = engine.model.language.max_positions - 1  # the last is for [RET]
    check_length(engine.model, segments, rendered, room, add_bos=True)
    return engine.model.query_embeds(engine.open_segments(rendered))


def _embeds(engine: Engine, term: Term) -> Tensor:
    """The unit vector of a term, (1, R) float32."""
    import torch

    if (path := term.picture) is None:
        return query(engine, term.segments).float()
    with torch.inference_mode():
        pooled = engine.model.image_features([open_image(expand_user(path))]).pooled
        return engine.model.image_embeds(pooled).float()


def _check_possible(engine: Engine) -> None:
    if not engine.model.config.has_retrieval:
        raise ConfigError("This model was not trained to find pictures.")
    if engine.index is None:
        raise ConfigError("There is no index to search.", "Name one with --index, or build one from your pictures.")


def _nothing() -> MessageError:
    return MessageError("There is nothing to search for.", "Type something, or name a picture.")
