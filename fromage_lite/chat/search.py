"""Search without a dialogue: words and pictures, each with a weight, summed in the retrieval space.

No torch at the top: the command line parses terms before it loads a model.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from textwrap import shorten
from typing import TYPE_CHECKING, Protocol

from fromage_lite.chat.limits import check_length
from fromage_lite.config import AskBy, SpellingMode
from fromage_lite.errors import ConfigError, MessageError
from fromage_lite.files import expand_user
from fromage_lite.text.message import ImageSegment, Segment, clean, parse_message
from fromage_lite.text.queries import query_segments
from fromage_lite.text.spelling import told
from index.pictures.images import is_picture_name, open_image
from index.search.hits import Hit

if TYPE_CHECKING:
    from torch import Tensor

    from fromage_lite.chat.album import Album
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
        return lone_picture(self.segments)


def lone_picture(segments: Sequence[Segment]) -> str | None:
    """The path if a message is a single picture."""
    (first, *others) = segments
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


class Asking(Protocol):
    """A way to ask: it makes vectors of what is looked for, in the space that is searched."""

    def embeds(self, segments: Sequence[Segment]) -> Tensor:
        """Words and pictures, read as one message, as a unit vector, (1, R) float32.

        Raises:
            FromageError: a picture can't be read, or the words are too many.
        """
        ...


def way(engine: Engine, by: AskBy | None) -> AskBy:
    """The way to ask that is meant: the named one, else the first that the model has.

    Raises:
        ConfigError: the model can't be asked so.
    """
    if not engine.ways:
        raise ConfigError("This model was not trained to find pictures.")
    if by is not None and by not in engine.ways:
        what = "image encoder has no text tower" if by == "text-tower" else "bridge was not trained to find pictures"
        raise ConfigError(f"This model's {what}, so it can't be asked by {by}.", f"Ask by {' or '.join(engine.ways)}.")
    return by or engine.ways[0]


def as_read(
    engine: Engine, terms: Sequence[Term], spelling: SpellingMode = "auto", by: AskBy | None = None
) -> list[Term]:
    """The terms as they are looked for: with their misspelt words as they were meant (see `Engine.read_as`), or as far
    as a text tower reads them."""
    if way(engine, by) == "text-tower":
        return [replace(term, segments=engine.tower.read_as(term.segments)) for term in terms]
    return [replace(term, segments=engine.read_as(term.segments, spelling)) for term in terms]


def told_as_read(read: Sequence[Segment], by: AskBy | None = None) -> str:
    """What the user is told where something else is looked for than was typed."""
    if by != "text-tower":
        return told(read)
    text = " ".join(segment for segment in read if isinstance(segment, str))
    return f"Longer than the text tower reads; looked for: {shorten(text, 200, placeholder=' …')}"


def find(
    engine: Engine,
    terms: Sequence[Term],
    k: int,
    exclude: Collection[int] = (),
    spelling: SpellingMode = "auto",
    by: AskBy | None = None,
) -> list[Hit]:
    """At most `k` pictures for all terms together, best first; a score is the cosine with their sum.

    Raises:
        ConfigError: there is no index, or the model can't be asked so.
        ImageError: a picture can't be read.
        MessageError: there is nothing to search for, it is too long, or the terms cancel each other out.
    """
    album, embeds = prepared(engine, terms, spelling, by)
    return album.retrieve(embeds, k, exclude)


def prepared(
    engine: Engine, terms: Sequence[Term], spelling: SpellingMode = "auto", by: AskBy | None = None
) -> tuple[Album, Tensor]:
    """What is searched for terms, and its query, (1, R) float32 of unit norm.

    Raises: as `find`.
    """
    if not terms:
        raise _nothing()
    by = way(engine, by)
    if by == "dialogue":
        raise ConfigError("There is no dialogue to ask in.", "Ask by ret, or begin one.")
    if engine.index is None:
        raise ConfigError("There is no index to search.", "Name one with --index, or build one from your pictures.")
    read = as_read(engine, terms, spelling, by)
    if by == "text-tower":
        return engine.tower, mixed_query(engine.tower, read)
    return engine, mixed_query(RetQuery(engine), read)


def mixed_query(asking: Asking, terms: Sequence[Term]) -> Tensor:
    """The weighted sum of the terms' unit vectors as a unit vector, (1, R) float32.

    Raises: as `find`.
    """
    if not terms:
        raise _nothing()
    vectors = [term.weight * asking.embeds(term.segments) for term in terms]
    total = vectors[0].clone()
    for vector in vectors[1:]:
        total += vector
    norm = float(total.norm())
    if not norm > LEAST_NORM:
        raise MessageError("The things to look for cancel each other out.", "Omit one, or change its weight.")
    return total / norm


class RetQuery:
    """Asks by `[RET]`: the language model reads words, and its state at `[RET]` is their vector (`query`). A picture
    alone is its own embedding, as in the index: the language model would reduce it to what words can say."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def embeds(self, segments: Sequence[Segment]) -> Tensor:
        """As `Asking.embeds`."""
        if (path := lone_picture(segments)) is None:
            return query(self._engine, segments).float()
        return picture_embeds(self._engine, path)


def picture_embeds(engine: Engine, path: str) -> Tensor:
    """A picture file as the index of a bridge has it, (1, R) float32, unit norm.

    Raises:
        ImageError: it can't be read.
    """
    import torch

    with torch.inference_mode():
        pooled = engine.model.image_features([open_image(expand_user(path))]).pooled
        return engine.model.image_embeds(pooled).float()


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


def _nothing() -> MessageError:
    return MessageError("There is nothing to search for.", "Type something, or name a picture.")
