"""A search by an image encoder alone: of an index that no bridge made, or of any other by the encoder's text tower. No
language model is loaded for it."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace

from fromage_lite.chat.lookup import look_up
from fromage_lite.chat.request import SearchRequest
from fromage_lite.chat.search import Term, mixed_query
from fromage_lite.chat.tower import Tower
from fromage_lite.config import AskBy, SpellingMode
from fromage_lite.errors import ConfigError
from index.pictures.facts import Facts
from index.search.hits import Hit


class TowerSearch:
    """A `Searcher` that can be asked by text tower only."""

    way: AskBy | None = "text-tower"
    match_score: float | None = None

    def __init__(self, tower: Tower) -> None:
        self.tower = tower

    @property
    def index_size(self) -> int:
        """As `Searcher.index_size`."""
        return len(self.tower.index) if self.tower.index is not None else 0

    def terms_as_read(self, terms: Sequence[Term], by: AskBy | None = None) -> list[Term]:
        """As `Searcher.terms_as_read`."""
        return [replace(term, segments=self.tower.read_as(term.segments)) for term in terms]

    def find(
        self,
        terms: Sequence[Term],
        k: int,
        exclude: Collection[int] = (),
        spelling: SpellingMode = "auto",
        by: AskBy | None = None,
    ) -> list[Hit]:
        """As `Searcher.find`. Words are looked for as they are typed, whatever `spelling` is: a text tower knows more
        words than any list here."""
        self._check(by)
        return self.tower.retrieve(mixed_query(self.tower, self.terms_as_read(terms)), k, exclude)

    def look_up(
        self, request: SearchRequest, k: int = 5, exclude: Collection[int] = (), spelling: SpellingMode = "auto"
    ) -> list[Hit]:
        """As `Searcher.look_up`; words as in `find`."""
        self._check(request.by)
        query = mixed_query(self.tower, self.terms_as_read(request.terms))
        return look_up(
            request,
            request.top or k,
            lambda: self.tower.index,
            lambda wanted, among: self.tower.retrieve(query, wanted, exclude, among),
            self.match_score,
        )

    def facts(self, hits: Sequence[Hit]) -> list[Facts]:
        """As `Searcher.facts`."""
        return self.tower.facts(hits)

    def thumbnail(self, hit: Hit) -> bytes:
        """As `Searcher.thumbnail`."""
        return self.tower.thumbnail(hit)

    def is_at_hand(self, hit: Hit) -> bool:
        """As `Searcher.is_at_hand`."""
        return self.tower.is_at_hand(hit)

    def _check(self, by: AskBy | None) -> None:
        if by not in (None, "text-tower"):
            raise ConfigError(f"There is no bridge to ask by {by}.", "Ask by text-tower, or name a bridge: --model.")
