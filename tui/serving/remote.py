"""The agent in a visitor's process: the same methods, answered by the model's process. They block, so call them on the
agent's thread."""

from __future__ import annotations

import os
import select
import signal
import socket
import threading
from collections import OrderedDict
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from fromage_lite.chat.event_data import error_from_dict, event_from_dict
from fromage_lite.chat.events import Done, Event
from fromage_lite.chat.request import SearchRequest
from fromage_lite.chat.turns import (
    Turn,
    message_from_data,
    message_segments,
    message_to_data,
    turn_from_dict,
    turn_to_dict,
)
from fromage_lite.config import AskBy, GenerationSettings, SpellingMode
from fromage_lite.errors import DataError, FromageError
from fromage_lite.model.inspection import PatchGrid, TokenMatch
from fromage_lite.progress import Report
from fromage_lite.text.message import Segment
from index.search.hits import Hit
from tui.serving.wire import Pictures, decode, encode, patches_from_data, pictures_from_data

CANCEL_SECONDS = 0.03  # between two checks whether to stop a reply
PICTURES_KEPT = 300
GRACE_SECONDS = 3.0  # for the app to end on its own after the model's process has

SHARED = "All visitors share the model and its pictures."
GONE = ("The model's process has ended.", "Start fromage-lite serve again and reload the page.")


class Connection:
    """A connection to the model's process; one request at a time, each followed by its answer."""

    def __init__(self, path: str | Path) -> None:
        self._socket = socket.socket(socket.AF_UNIX)
        self._data = bytearray()
        self._lock = threading.Lock()
        try:
            self._socket.connect(str(path))
            self.hello = self._read()
        except OSError as error:
            raise FromageError(*GONE) from error

    def call(self, name: str, **arguments: Any) -> Any:
        """The result of a call.

        Raises:
            FromageError: it failed, or the model's process is gone.
        """
        with self._talking():
            self._send({"call": name, **arguments})
            return _result(self._read())

    def stream(self, name: str, cancel: threading.Event | None, **arguments: Any) -> Iterator[dict[str, Any]]:
        """The lines that answer a call. Read them to the end, or close the iterator."""
        with self._talking():
            self._send({"call": name, **arguments})
            told, ended = False, False
            try:
                while True:
                    while not told and not self._is_readable():
                        if cancel is not None and cancel.is_set():
                            self._send({"call": "cancel"})
                            told = True
                    line = self._read()
                    if "event" not in line:
                        ended = True
                        _result(line)
                        return
                    yield line
            finally:
                if not ended:
                    self._abandon()

    @contextmanager
    def _talking(self) -> Iterator[None]:
        # Waiting could be a deadlock: the caller may be the reader of the reply.
        if not self._lock.acquire(blocking=False):
            raise FromageError("The model is in the middle of a reply.", "Try again when it has finished.")
        try:
            yield
        finally:
            self._lock.release()

    def _abandon(self) -> None:
        """Ends a reply that nobody reads any further, so that the next line answers the next request."""
        with suppress(FromageError):
            self._send({"call": "cancel"})
            while "event" in self._read():
                pass

    def _is_readable(self) -> bool:
        if b"\n" in self._data:
            return True
        return bool(select.select([self._socket], [], [], CANCEL_SECONDS)[0])

    def _send(self, data: dict[str, Any]) -> None:
        try:
            self._socket.sendall(encode(data))
        except OSError as error:
            raise FromageError(*GONE) from error

    def _read(self) -> dict[str, Any]:
        start = 0
        while (end := self._data.find(b"\n", start)) < 0:
            start = len(self._data)
            try:
                received = self._socket.recv(1 << 16)
            except OSError as error:
                raise FromageError(*GONE) from error
            if not received:
                raise FromageError(*GONE)
            self._data += received
        line = bytes(self._data[:end])
        del self._data[: end + 1]
        return decode(line)

    def close(self) -> None:
        """Closes the connection; the model's process forgets the dialogue."""
        with suppress(OSError):
            self._socket.close()


def _result(line: dict[str, Any]) -> Any:
    if "error" in line:
        raise error_from_dict(line["error"])
    if "result" not in line:
        raise DataError("The model's process sent no answer.")
    return line["result"]


class RemoteAgent:
    """A `ChatAgent` in the model's process."""

    def __init__(self, connection: Connection) -> None:
        hello = connection.hello
        self._connection = connection
        self.model_name, self.device = str(hello["model_name"]), str(hello["device"])
        self.index_size, path = int(hello["index_size"]), hello["index_path"]
        self.index_path = Path(path) if path else None
        self._pictures: OrderedDict[Hit, bytes | FromageError] = OrderedDict()

    def use_index(self, index: str | Path | None, progress: Report | None = None) -> None:
        """Always refuses: one visitor must not change what the others see.

        Raises:
            FromageError: always.
        """
        raise FromageError(SHARED, "Name an index at the start: --index.")

    def dialogue(self, settings: GenerationSettings) -> RemoteDialogue:
        """A new dialogue; it replaces this visitor's old one."""
        return RemoteDialogue(self, self._connection, settings)

    def read_as(self, segments: Sequence[Segment], by: AskBy | None = None) -> tuple[Segment, ...]:
        """As `ChatAgent.read_as`."""
        return message_from_data(self._connection.call("read_as", message=message_to_data(segments), by=by))

    def search(
        self,
        segments: Sequence[Segment],
        k: int,
        exclude: Collection[int] = (),
        spelling: SpellingMode = "auto",
        by: AskBy | None = None,
    ) -> list[Hit]:
        """As `ChatAgent.search`."""
        options = {"k": k, "exclude": sorted(exclude), "spelling": spelling, "by": by}
        return self.keep(self._connection.call("search", message=message_to_data(segments), **options))

    def look_up(
        self, request: SearchRequest, k: int = 5, exclude: Collection[int] = (), spelling: SpellingMode = "auto"
    ) -> list[Hit]:
        """As `ChatAgent.look_up`."""
        asked, unwanted = request.to_dict(), sorted(exclude)
        return self.keep(self._connection.call("look_up", request=asked, k=k, exclude=unwanted, spelling=spelling))

    def row(self, id: int) -> tuple[str, str] | None:
        """As `ChatAgent.row`."""
        found = self._connection.call("row", id=id)
        return (str(found[0]), str(found[1])) if found is not None else None

    def tokens_near(self, path: str, k: int) -> list[list[TokenMatch]]:
        """As `ChatAgent.tokens_near`."""
        rows = self._connection.call("tokens_near", path=str(Path(path).absolute()), k=k)
        return [[TokenMatch(**match) for match in row] for row in rows]

    def patch_grid(self, path: str) -> PatchGrid | None:
        """As `ChatAgent.patch_grid`."""
        return patches_from_data(self._connection.call("patch_grid", path=str(Path(path).absolute())))

    def is_at_hand(self, hit: Hit) -> bool:
        """As `ChatAgent.is_at_hand`. During a reply, only the pictures that came with it are."""
        if hit in self._pictures:
            return True
        try:
            return bool(self._connection.call("is_at_hand", hit=hit.to_dict()))
        except FromageError:
            return False

    def thumbnail(self, hit: Hit) -> bytes:
        """As `ChatAgent.thumbnail`."""
        if hit not in self._pictures:
            self.keep(self._connection.call("thumbnail", hit=hit.to_dict()))
        found = self._pictures[hit]
        if isinstance(found, FromageError):
            raise found
        return found

    def keep(self, data: Iterable[Any]) -> list[Hit]:
        """Keeps pictures that came with their hits, so that no request is needed; returns the hits."""
        pictures: Pictures = pictures_from_data(data)
        self._pictures.update(pictures)
        while len(self._pictures) > PICTURES_KEPT:
            self._pictures.popitem(last=False)
        return [hit for hit, _ in pictures]


class RemoteDialogue:
    """A `ChatDialogue` with its turns in this process, and its model in another."""

    def __init__(self, agent: RemoteAgent, connection: Connection, settings: GenerationSettings) -> None:
        self.agent, self.settings = agent, settings
        self._connection = connection
        self._turns: list[Turn] = []
        self.excluded: set[int] = set()
        connection.call("dialogue", settings=settings.to_dict())

    @property
    def turns(self) -> list[Turn]:
        """As `ChatDialogue.turns`."""
        return self._turns

    @turns.setter
    def turns(self, turns: list[Turn]) -> None:
        self._connection.call("set_turns", turns=[turn_to_dict(turn) for turn in turns])
        self._turns = list(turns)

    def reply(
        self,
        message: str | Sequence[Segment],
        attachments: Sequence[str] = (),
        cancel: threading.Event | None = None,
    ) -> Iterator[Event]:
        """As `ChatDialogue.reply`."""
        return self._events("reply", cancel, message=message_to_data(message_segments(message, attachments)))

    def regenerate(self, cancel: threading.Event | None = None) -> Iterator[Event]:
        """As `ChatDialogue.regenerate`."""
        return self._events("regenerate", cancel)

    def _events(self, call: str, cancel: threading.Event | None, **arguments: Any) -> Iterator[Event]:
        for line in self._connection.stream(call, cancel, settings=self.settings.to_dict(), **arguments):
            if "pictures" in line:
                self.agent.keep(line["pictures"])
            event = event_from_dict(line["event"])
            if isinstance(event, Done):  # as in `Dialogue`, the turn is added before the event is yielded
                self._turns = [*self._turns[: int(line["turns"]) - 1], turn_from_dict(line["turn"])]
            yield event

    def undo(self) -> Turn | None:
        """As `ChatDialogue.undo`."""
        self._connection.call("undo")
        return self._turns.pop() if self._turns else None

    def reset(self) -> None:
        """As `ChatDialogue.reset`."""
        self._connection.call("reset")
        self._turns, self.excluded = [], set()

    def exclude(self, ids: Iterable[int]) -> None:
        """As `ChatDialogue.exclude`."""
        ids = sorted(ids)
        self._connection.call("exclude", ids=ids)
        self.excluded |= set(ids)

    def include(self, ids: Iterable[int]) -> None:
        """As `ChatDialogue.include`."""
        ids = sorted(ids)
        self._connection.call("include", ids=ids)
        self.excluded -= set(ids)

    def look_up(
        self, request: SearchRequest, k: int = 5, exclude: Collection[int] = (), spelling: SpellingMode = "auto"
    ) -> list[Hit]:
        """As `ChatDialogue.look_up`."""
        options = {"k": k, "exclude": sorted(exclude), "spelling": spelling, "settings": self.settings.to_dict()}
        return self.agent.keep(self._connection.call("look_up_in_dialogue", request=request.to_dict(), **options))

    def pictures_left(self, message: Sequence[Segment]) -> int:
        """As `ChatDialogue.pictures_left`."""
        data = message_to_data(message)
        return int(self._connection.call("pictures_left", message=data, settings=self.settings.to_dict()))


def end_with(path: str | Path) -> None:
    """Ends this process when the model's process ends, for whatever reason, so that none is left behind."""
    line = Connection(path)

    def watch() -> None:
        with suppress(FromageError):
            while True:
                line._read()
        os.kill(os.getpid(), signal.SIGTERM)  # makes the app quit
        threading.Event().wait(GRACE_SECONDS)
        os._exit(1)

    threading.Thread(target=watch, name="lifeline", daemon=True).start()
