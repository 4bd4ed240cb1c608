"""Carries out a search request: who may be found, as many different pictures as are asked for, in what order."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

import numpy as np
import numpy.typing as npt

from fromage_lite.chat.request import AUTO, SearchRequest
from fromage_lite.errors import ConfigError
from index.pictures.facts import Facts
from index.search.alike import fold
from index.search.hits import Catalogue, Hit, Retriever

Ids = npt.NDArray[np.int64]
Find = Callable[[int, Ids | None], list[Hit]]
"""The best so many pictures for the request's terms, best first; none but those of the ids."""
Index = Callable[[], Retriever | None]
"""What `find` searched last: one that was replaced on disk is opened anew before a search. Ids stay what they are."""

_SPARE = 8  # found beyond what is asked for, at first


def look_up(request: SearchRequest, k: int, index: Index, find: Find, match_score: float | None) -> list[Hit]:
    """At most `k` pictures, fewer only where fewer are to be found: pictures that are folded are made up for.

    Args:
        request: what is asked for; its terms are for `find`.
        k: how many.
        index: see `Index`.
        find: see `Find`.
        match_score: the model's own threshold; None if it has none.

    Raises:
        ConfigError: the index can't be filtered, or the model has no threshold of its own.
        FromageError: as `find` does.
    """
    least = _least(request, match_score)
    among = None
    if request.filters:
        if not isinstance(known := index(), Catalogue):
            raise ConfigError("This index can't be filtered.", "Search it without filters.")
        among = known.select(request.filters)
    hits = _distinct(request, k, index, lambda wanted: find(wanted, among), least)
    return _newest_first(hits, index()) if request.sort == "date" else hits


def _distinct(
    request: SearchRequest, k: int, index: Index, find: Callable[[int], list[Hit]], least: float | None
) -> list[Hit]:
    wanted = 2 * k + _SPARE if request.fold else k
    while True:
        found = find(wanted)
        kept = [hit for hit in found if least is None or hit.score >= least]
        hits = _folded(kept, known) if request.fold and isinstance(known := index(), Catalogue) else kept
        is_all = len(found) < wanted or len(kept) < len(found)
        if is_all or len(hits) >= k:
            return hits[:k]
        wanted *= 2


def _folded(hits: list[Hit], index: Catalogue) -> list[Hit]:
    ids = [hit.id for hit in hits]
    return fold(hits, index.facts(ids), index.features(ids))


def _least(request: SearchRequest, match_score: float | None) -> float | None:
    if request.min_score == AUTO:
        if match_score is None:
            raise ConfigError("This model has no threshold of its own.", "Give the least score as a number, like 0.5.")
        return match_score
    return request.min_score


def _newest_first(hits: list[Hit], index: Retriever | None) -> list[Hit]:
    if not isinstance(index, Catalogue):
        raise ConfigError("This index knows no dates.", "Sort by score.")
    dates = dict(zip(hits, map(date_of, index.facts([hit.id for hit in hits])), strict=True))
    return sorted(hits, key=lambda hit: dates[hit] or "", reverse=True)


def date_of(facts: Facts) -> str | None:
    """When a picture was taken, else when its file was changed, in local time; ISO 8601 without an offset."""
    if facts.taken is not None:
        return facts.taken[:19]
    if facts.modified_ns is None:
        return None
    try:
        return datetime.fromtimestamp(facts.modified_ns // 10**9).isoformat()
    except (OverflowError, OSError, ValueError):  # no date of a calendar
        return None
