"""What the terminal app and the commands need of an agent and its dialogues, wherever the model runs.

`Agent` and `Dialogue` have the model in this process; `tui.serving.remote` has their twins for a model in another.
No torch here.
"""

from __future__ import annotations

import threading
from collections.abc import Collection, Iterable, Iterator, Sequence
from collections.abc import Set as AbstractSet
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from fromage_lite.chat.events import Event
    from fromage_lite.chat.request import SearchRequest
    from fromage_lite.chat.search import Term
    from fromage_lite.chat.turns import Turn
    from fromage_lite.config import AskBy, GenerationSettings, SpellingMode
    from fromage_lite.model.inspection import PatchGrid, TokenMatch
    from fromage_lite.progress import Report
    from fromage_lite.text.message import Segment
    from index.pictures.facts import Facts
    from index.search.hits import Hit


class ChatDialogue(Protocol):
    """Turns of one conversation. Not for several threads at once.

    Attributes:
        settings: how replies are made; an assignment takes effect at the next reply.
        turns: what was said; an assignment switches to another conversation, which the model reads at the next reply.
    """

    settings: GenerationSettings
    turns: list[Turn]

    @property
    def excluded(self) -> AbstractSet[int]:
        """Numbers of the pictures that the user does not want to see in this dialogue."""
        ...

    def reply(
        self,
        message: str | Sequence[Segment],
        attachments: Sequence[str] = (),
        cancel: threading.Event | None = None,
    ) -> Iterator[Event]:
        """Answers a message.

        Args:
            message: text, in which `<image:PATH>` stands for a picture, or segments.
            attachments: paths of pictures to put before the message.
            cancel: when set, the reply ends within one token and what was said stays.

        Yields:
            `TextDelta`, `ImagesFound` and `Notice` as they happen, then `RetTrace`, `Statistics` and `Done`. After
            `Failed`, which can come at any point, the dialogue is as it was before.
        """
        ...

    def regenerate(self, cancel: threading.Event | None = None) -> Iterator[Event]:
        """Answers the last message again. The old reply stays until the new one has ended."""
        ...

    def undo(self) -> Turn | None:
        """Removes the last turn and returns it; None if there is none.

        Raises:
            MessageError: a reply is being made.
        """
        ...

    def reset(self) -> None:
        """Forgets every turn, and what was excluded.

        Raises:
            MessageError: a reply is being made.
        """
        ...

    def exclude(self, ids: Iterable[int]) -> None:
        """Hides these pictures from every later search of this dialogue."""
        ...

    def include(self, ids: Iterable[int]) -> None:
        """Undoes `exclude`."""
        ...

    def look_up(
        self, request: SearchRequest, k: int = 5, exclude: Collection[int] = (), spelling: SpellingMode = "auto"
    ) -> list[Hit]:
        """As `ChatAgent.look_up`, with each term read as the next message of this dialogue, which stays as it is: by
        the `[RET]` of a reply that must have one. None of `excluded`.

        Raises:
            FromageError: as `ChatAgent.look_up`, and where a reply is being made.
        """
        ...

    def pictures_left(self, message: Sequence[Segment]) -> int:
        """How many more pictures the language model can read in one message with this draft; -n if the draft has n too
        many, or as much too many words. Its pictures are not opened."""
        ...


class Searcher(Protocol):
    """What finds pictures without a dialogue, in one way of asking or several."""

    @property
    def index_size(self) -> int:
        """Pictures that can be found."""
        ...

    @property
    def match_score(self) -> float | None:
        """The score from which on a picture counts as what was asked for in words; None if that isn't known."""
        ...

    @property
    def way(self) -> AskBy | None:
        """How it is asked where `by` is None; None if it can't find pictures."""
        ...

    def terms_as_read(self, terms: Sequence[Term], by: AskBy | None = None) -> list[Term]:
        """Terms as `find` looks for them: with misspelt words as they were meant; by text tower, as far as it reads
        them."""
        ...

    def find(
        self,
        terms: Sequence[Term],
        k: int,
        exclude: Collection[int] = (),
        spelling: SpellingMode = "auto",
        by: AskBy | None = None,
    ) -> list[Hit]:
        """At most `k` pictures for a weighted sum of terms, best first; a score is the cosine with that sum.

        Args:
            terms: what to look for.
            k: how many.
            exclude: ids of pictures that must not be found.
            spelling: whether misspelt words are looked for as they were meant.
            by: the way to ask; None is the searcher's own.

        Raises:
            FromageError: it can't be asked so, there is nothing to search for or in, or a picture can't be read.
        """
        ...

    def look_up(
        self, request: SearchRequest, k: int = 5, exclude: Collection[int] = (), spelling: SpellingMode = "auto"
    ) -> list[Hit]:
        """As `ChatAgent.look_up`."""
        ...

    def facts(self, hits: Sequence[Hit]) -> list[Facts]:
        """Size, date and the like of found pictures; nothing of those that the index knows nothing of.

        Raises:
            StoreError: the index can't be read.
        """
        ...

    def thumbnail(self, hit: Hit) -> bytes:
        """As `ChatAgent.thumbnail`."""
        ...

    def is_at_hand(self, hit: Hit) -> bool:
        """As `ChatAgent.is_at_hand`."""
        ...


class ChatAgent(Protocol):
    """A model and the index of its pictures. Its methods block; only one thread may call them at a time."""

    @property
    def model_name(self) -> str:
        """The model's name in messages."""
        ...

    @property
    def device(self) -> str:
        """Where the model runs, as torch names it."""
        ...

    @property
    def index_size(self) -> int:
        """Pictures that can be found; 0 without an index."""
        ...

    @property
    def index_path(self) -> Path | None:
        """The index's folder; None without an index."""
        ...

    def use_index(self, index: str | Path | None, progress: Report | None = None) -> None:
        """Opens another index; if that fails, the old one stays.

        Args:
            index: an index folder; "none" for no index; None for the model's own, if it has one.
            progress: gets a sentence about each step that takes time.

        Raises:
            FromageError: it can't be opened, or the index can't be changed here.
        """
        ...

    def dialogue(self, settings: GenerationSettings) -> ChatDialogue:
        """Starts a dialogue with these settings."""
        ...

    def read_as(self, segments: Sequence[Segment], by: AskBy | None = None) -> tuple[Segment, ...]:
        """Words and pictures as `search` looks for them: with misspelt words as they were meant; as they are for a
        model whose words are not known. By text tower, as far as it reads them."""
        ...

    def search(
        self,
        segments: Sequence[Segment],
        k: int,
        exclude: Collection[int] = (),
        spelling: SpellingMode = "auto",
        by: AskBy | None = None,
    ) -> list[Hit]:
        """At most `k` pictures for words and pictures, best first, without generation; none of `exclude`. Misspelt
        words are looked for as they were meant, unless `spelling` is off.

        Args:
            segments: words and pictures.
            k: how many.
            exclude: ids of pictures that must not be found.
            spelling: whether misspelt words are read as what was meant.
            by: the way to ask, `ret` or `text-tower`; None is the model's own. By dialogue, a `ChatDialogue` asks.

        Raises:
            FromageError: there is nothing to search for or in, or a picture can't be read.
        """
        ...

    def look_up(
        self, request: SearchRequest, k: int = 5, exclude: Collection[int] = (), spelling: SpellingMode = "auto"
    ) -> list[Hit]:
        """The pictures that a request asks for (at most its `top`, else `k`), none of `exclude`. As `search`, misspelt
        words are looked for as they were meant.

        Raises:
            FromageError: there is nothing to search for or in, a picture can't be read, or the index can't be filtered.
        """
        ...

    def row(self, id: int) -> tuple[str, str] | None:
        """Source and caption of the picture with this number; None if the index has no such picture."""
        ...

    def thumbnail(self, hit: Hit) -> bytes:
        """The thumbnail of a hit, encoded as JPEG or WebP.

        Raises:
            FromageError: its picture is missing or can't be read.
        """
        ...

    def is_at_hand(self, hit: Hit) -> bool:
        """Whether a hit's picture can be shown without a request to the web."""
        ...

    def tokens_near(self, path: str, k: int) -> list[list[TokenMatch]]:
        """For each visual token of a picture file, the `k` nearest words of the language model.

        Raises:
            ImageError: the file is missing or can't be read.
        """
        ...

    def patch_grid(self, path: str) -> PatchGrid | None:
        """A picture file as its visual tokens see it if they are patches; None for a model that pools.

        Raises:
            ImageError: the file is missing or can't be read.
        """
        ...
