"""What a search asks for, in one form wherever it is typed: words and pictures, which pictures may be found, in what
order. No torch here."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Final, Literal, get_args

from fromage_lite.chat.search import SIGNS, Term, is_meant_as_path, parse_terms
from fromage_lite.chat.turns import message_from_data, message_to_data
from fromage_lite.config import AskBy
from fromage_lite.errors import DataError, FromageError, MessageError
from fromage_lite.text.message import Segment
from index.errors import reason
from index.store.filters import Filters

Sort = Literal["score", "date"]
AUTO: Final = "auto"  # in place of a least score: the model's own
MOST = 1000  # pictures of one search

FILTER_KEYS = tuple(known.name.replace("_", "-") for known in fields(Filters))
KEYS = (*FILTER_KEYS, "sort", "min-score", "all", "top", "by")
"""What may be typed with a colon: `folder:holiday`, `after:"may 2024"`."""

_TOKEN = re.compile(r'(?:"[^"]*"|<image:[^<>\n]+>|\S)+')
_KEY = re.compile(rf"({'|'.join(KEYS)}):(.*)", re.IGNORECASE | re.DOTALL)
_QUOTED = re.compile(r'"([^"]*)"')
_YES = {"yes": False, "on": False, "true": False, "1": False, "no": True, "off": True, "false": True, "0": True}


@dataclass(frozen=True)
class SearchRequest:
    """A whole search.

    Attributes:
        terms: what to look for; pictures are ranked by the cosine with the sum of their vectors.
        filters: which pictures may be found at all.
        sort: `score`: best first; `date`: the best ones, newest first.
        min_score: leaves out pictures with a lower score; `auto` is the model's calibrated threshold
            (`match_score`), which is for words.
        fold: whether pictures that are nearly the same are shown as one, `Hit.alike`.
        top: how many pictures; None leaves it to whoever asks.
        by: how words ask; None is the model's own way.
    """

    terms: tuple[Term, ...]
    filters: Filters = field(default_factory=Filters)
    sort: Sort = "score"
    min_score: float | Literal["auto"] | None = None
    fold: bool = True
    top: int | None = None
    by: AskBy | None = None

    def words(self) -> str:
        """What is asked for, as a title: pictures by their names."""
        terms = [(term.weight, _words_of(term.segments)) for term in self.terms]
        signed = [("- " if weight < 0 else "+ " if place else "") + text for place, (weight, text) in enumerate(terms)]
        return " ".join([*signed, *(f"{name}: {value}" for name, value in self.filters.to_dict().items())])

    def to_dict(self) -> dict[str, Any]:
        """The request as plain JSON data."""
        terms = [{"weight": term.weight, "message": message_to_data(term.segments)} for term in self.terms]
        return {
            "terms": terms,
            "filters": self.filters.to_dict(),
            "sort": self.sort,
            "min_score": self.min_score,
            "fold": self.fold,
            "top": self.top,
            "by": self.by,
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> SearchRequest:
        """The inverse of `to_dict`.

        Raises:
            DataError: the data has another form.
        """
        try:
            terms = [Term(float(term["weight"]), message_from_data(term["message"])) for term in data["terms"]]
            filters = Filters.from_dict(data["filters"])
            sort, least, top, by = data["sort"], data["min_score"], data["top"], data["by"]
            if sort not in get_args(Sort):
                raise ValueError(f"unknown order {sort!r}")
            if by is not None and by not in get_args(AskBy):
                raise ValueError(f"unknown way to ask {by!r}")
            least = least if least in (None, AUTO) else float(least)
            return cls(tuple(terms), filters, sort, least, bool(data["fold"]), None if top is None else int(top), by)
        except (KeyError, TypeError, ValueError, AttributeError, FromageError) as error:
            raise DataError(f"The search can't be read: {reason(error)}.") from error


def parse_request(words: Sequence[str], pictures: Sequence[str] = (), **options: str | None) -> SearchRequest:
    """The search of a command line, or of a line that was typed (one word, with blanks).

    Args:
        words: things to look for, as for `parse_terms`. `+` and `-` may stand inside a word, between blanks; what is
            in double quotes, and the name of a file that is there, stays whole. `KEY:VALUE` with one of `KEYS` says
            what may be found; a value with blanks is put into quotes.
        pictures: paths of pictures to add.
        options: values by key, `min_size` for `min-size`; they count more than typed ones, None and "" for nothing.

    Raises:
        FilterError: a filter can't be understood.
        MessageError: nothing follows the last sign, a term is empty, or a value can't be understood.
    """
    things, typed = _split(words)
    given = {name.replace("_", "-"): value for name, value in options.items() if value}
    values = {**typed, **given}
    filters = Filters(**{key.replace("-", "_"): values[key] for key in FILTER_KEYS if key in values})
    return SearchRequest(
        tuple(parse_terms(things, pictures)),
        filters,
        _sort(values.get("sort", "score")),
        _least(values.get("min-score")),
        _fold(values.get("all", "no")),
        _top(values.get("top")),
        _by(values.get("by")),
    )


def _split(words: Sequence[str]) -> tuple[list[str], dict[str, str]]:
    """Things and signs, and the values of keys."""
    things: list[str] = []
    values: dict[str, str] = {}
    for word in words:
        if is_meant_as_path(word):
            things.append(word)
            continue
        for token in _TOKEN.findall(word):
            bare = _QUOTED.sub(r"\1", token)
            if match := _KEY.fullmatch(token):
                key, value = match[1].lower(), _QUOTED.sub(r"\1", match[2]).strip()
                if not value:
                    raise MessageError(
                        f"Nothing follows '{key}:'.", f"Write its value behind the colon: {_EXAMPLES[key]}"
                    )
                values[key] = f"{values[key]} {value}" if key == "caption" and key in values else value
            elif token in SIGNS or bare.strip():
                things.append(bare)
    return things, values


_EXAMPLES = {
    "folder": "folder:holiday",
    "date": "date:2024-05",
    "after": "after:2024-05",
    "before": "before:2024",
    "caption": "caption:beach",
    "min-size": "min-size:1000",
    "max-size": "max-size:2mb",
    "orientation": "orientation:portrait",
    "sort": "sort:date",
    "min-score": "min-score:0.5",
    "all": "all:yes",
    "top": "top:20",
    "by": "by:text-tower",
}


def _words_of(message: Sequence[Segment]) -> str:
    return " ".join(segment if isinstance(segment, str) else Path(segment.path).name for segment in message)


def _sort(text: str) -> Sort:
    for known in get_args(Sort):
        if text.lower() == known:
            return known
    raise MessageError(f"Pictures can't be sorted by {text!r:.40}.", f"There are {' and '.join(get_args(Sort))}.")


def _least(text: str | None) -> float | Literal["auto"] | None:
    if text is None:
        return None
    if text.lower() == AUTO:
        return AUTO
    try:
        least = float(text)
    except ValueError:
        least = 2.0
    if not abs(least) <= 1:
        raise MessageError(f"The least score must be between -1 and 1, or {AUTO}, not {text!r:.40}.")
    return least


def _fold(text: str) -> bool:
    if (fold := _YES.get(text.lower())) is None:
        raise MessageError(f"all can't be {text!r:.40}.", "Write all:yes to see pictures that are nearly the same.")
    return fold


def _top(text: str | None) -> int | None:
    if text is None:
        return None
    if not (text.isascii() and text.isdigit() and 1 <= int(text[:9]) <= MOST):
        raise MessageError(f"How many pictures must be a number from 1 to {MOST}, not {text!r:.40}.")
    return int(text)


def _by(text: str | None) -> AskBy | None:
    if text is None:
        return None
    ways: tuple[AskBy, ...] = get_args(AskBy)
    for way in ways:
        if text.lower() == way:
            return way
    raise MessageError(f"Pictures can't be searched by {text!r:.40}.", f"There are {', '.join(ways)}.")
