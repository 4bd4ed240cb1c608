"""What the terminal app and the commands ask of an agent and its dialogues, wherever the model computes.

`Agent` and `Dialogue` have the model in this process; `tui.serving.remote` has their twins for a model in another one.
No torch here.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from collections.abc import Set as AbstractSet
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from fromage_lite.chat.events import Event
    from fromage_lite.chat.turns import Turn
    from fromage_lite.config import GenerationSettings
    from fromage_lite.model.inspection import PatchGrid, TokenMatch
    from fromage_lite.text.message import Segment
    from index.hits import Hit

Progress = Callable[[str], None]  # gets what takes time, in words


class ChatDialogue(Protocol):
    """Turns of one conversation. Not for several threads at once.

    Attributes:
        settings: how replies are made; an assignment takes effect at the next reply.
        turns: what was said; an assignment takes up another conversation, which the model reads at the next reply.
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
        """Answers a message; see `Dialogue.reply` for the order of the events.

        Args:
            message: text, in which `<image:PATH>` stands for a picture, or segments.
            attachments: paths of pictures that come before the message.
            cancel: when set, the reply ends within one token and what was said stays.
        """
        ...

    def regenerate(self, cancel: threading.Event | None = None) -> Iterator[Event]:
        """Answers the last message anew. The old reply stays until the new one has ended."""
        ...

    def undo(self) -> Turn | None:
        """Takes the last turn back and returns it; None if there is none.

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
        """Never finds these pictures again in this dialogue."""
        ...

    def include(self, ids: Iterable[int]) -> None:
        """Takes `exclude` back."""
        ...


class ChatAgent(Protocol):
    """A model and the index of its pictures. Its methods block, and are for one thread at a time."""

    @property
    def model_name(self) -> str:
        """The model's name in messages."""
        ...

    @property
    def device(self) -> str:
        """Where the model computes, as torch names it."""
        ...

    @property
    def index_size(self) -> int:
        """Pictures that can be found; 0 without an index."""
        ...

    @property
    def index_path(self) -> Path | None:
        """The index's folder; None without an index."""
        ...

    def use_index(self, index: str | Path | None, progress: Progress | None = None) -> None:
        """Opens another index; if it can't be opened, the one before stays.

        Args:
            index: an index folder; "none" is no index; None is the model's own, where it has one, else none.
            progress: gets what takes time, in words.

        Raises:
            FromageError: it can't be opened, or not be changed here.
        """
        ...

    def dialogue(self, settings: GenerationSettings) -> ChatDialogue:
        """A new dialogue."""
        ...

    def search(self, segments: Sequence[Segment], k: int, exclude: Collection[int] = ()) -> list[Hit]:
        """At most `k` pictures for words and pictures, best first, without generation; none of `exclude`.

        Raises:
            FromageError: there is nothing to search for or in, or a picture can't be read.
        """
        ...

    def row(self, id: int) -> tuple[str, str] | None:
        """Source and caption of the picture with this number; None if the index has none."""
        ...

    def thumbnail(self, hit: Hit) -> bytes:
        """The encoded small picture of a hit.

        Raises:
            FromageError: it can't be had.
        """
        ...

    def is_at_hand(self, hit: Hit) -> bool:
        """Whether a hit's picture can be had without asking the web."""
        ...

    def tokens_near(self, path: str, k: int) -> list[list[TokenMatch]]:
        """For each visual token of a picture file the `k` words of the language model that are nearest to it.

        Raises:
            ImageError: the file is missing, or no picture that can be read.
        """
        ...

    def patch_grid(self, path: str) -> PatchGrid | None:
        """A picture file as its visual tokens see it, for a model whose visual tokens are patches; None for others.

        Raises:
            ImageError: the file is missing, or no picture that can be read.
        """
        ...
