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
    from fromage_lite.chat.turns import Turn
    from fromage_lite.config import GenerationSettings, SpellingMode
    from fromage_lite.model.inspection import PatchGrid, TokenMatch
    from fromage_lite.progress import Report
    from fromage_lite.text.message import Segment
    from index.hits import Hit


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

    def pictures_left(self, message: Sequence[Segment]) -> int:
        """How many more pictures the language model can read in one message with this draft; -n if the draft has n too
        many, or as much too many words. Its pictures are not opened."""
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

    def read_as(self, segments: Sequence[Segment]) -> tuple[Segment, ...]:
        """Words and pictures with misspelt words as they were meant; as they are for a model whose words are not
        known."""
        ...

    def search(
        self, segments: Sequence[Segment], k: int, exclude: Collection[int] = (), spelling: SpellingMode = "auto"
    ) -> list[Hit]:
        """At most `k` pictures for words and pictures, best first, without generation; none of `exclude`. Misspelt
        words are looked for as they were meant, unless `spelling` is off.

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
