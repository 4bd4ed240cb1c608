"""What `fromage-lite search` asks: a model, an image encoder alone, or a model in the context of a dialogue."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from fromage_lite.config import AskBy, GenerationSettings, LoadOptions, SpellingMode
from fromage_lite.errors import ConfigError
from index.pictures.images import sanitize
from index.search.hits import Hit
from tui.cli.options import load_agent, load_searcher

if TYPE_CHECKING:
    from fromage_lite.chat.agent import Agent
    from fromage_lite.chat.dialogue import Dialogue
    from fromage_lite.chat.protocol import Searcher
    from fromage_lite.chat.request import SearchRequest
    from fromage_lite.chat.search import Term
    from index.pictures.facts import Facts


def open_searcher(options: LoadOptions, by: AskBy | None, dialogue: Path | None) -> Searcher:
    """Loads what searches.

    Args:
        options: what to load.
        by: the way to ask; None is the model's own, or `dialogue` where one is named.
        dialogue: file of the conversation to ask in; it stays as it is.

    Raises:
        FromageError: something can't be loaded, or can't be asked so.
    """
    if dialogue is None and by != "dialogue":
        return load_searcher(options, by)
    if by not in (None, "dialogue"):
        raise ConfigError(f"--dialogue is for --by dialogue, not for --by {by}.", "Omit one of them.")
    if dialogue is not None and not dialogue.expanduser().is_file():
        raise ConfigError(
            f"There is no dialogue {sanitize(str(dialogue))}.", "fromage-lite ask --dialogue FILE makes one."
        )
    agent = load_agent(options)
    held = agent.dialogue(GenerationSettings())
    if dialogue is not None:
        from tui.sessions.dialogue_file import DialogueFile

        with DialogueFile.open(dialogue) as file:
            file.resume(agent, held)
    return _InDialogue(agent, held)


class _InDialogue:
    """A `Searcher` in the context of a dialogue."""

    way: AskBy | None = "dialogue"

    def __init__(self, agent: Agent, dialogue: Dialogue) -> None:
        self._agent, self._dialogue = agent, dialogue
        self.match_score = agent.match_score

    @property
    def index_size(self) -> int:
        """As `Searcher.index_size`."""
        return self._agent.index_size

    def terms_as_read(self, terms: Sequence[Term], by: AskBy | None = None) -> list[Term]:
        """As `Searcher.terms_as_read`."""
        return self._agent.terms_as_read(terms, "dialogue")

    def find(
        self,
        terms: Sequence[Term],
        k: int,
        exclude: Collection[int] = (),
        spelling: SpellingMode = "auto",
        by: AskBy | None = None,
    ) -> list[Hit]:
        """As `Searcher.find`, always by dialogue."""
        return self._dialogue.find(terms, k, exclude, spelling)

    def look_up(
        self, request: SearchRequest, k: int = 5, exclude: Collection[int] = (), spelling: SpellingMode = "auto"
    ) -> list[Hit]:
        """As `Searcher.look_up`, always by dialogue."""
        return self._dialogue.look_up(request, k, exclude, spelling)

    def facts(self, hits: Sequence[Hit]) -> list[Facts]:
        """As `Searcher.facts`."""
        return self._agent.facts(hits)

    def thumbnail(self, hit: Hit) -> bytes:
        """As `Searcher.thumbnail`."""
        return self._agent.thumbnail(hit)

    def is_at_hand(self, hit: Hit) -> bool:
        """As `Searcher.is_at_hand`."""
        return self._agent.is_at_hand(hit)
