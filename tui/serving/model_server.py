"""The shared model, and a dialogue for each visitor: answers the requests of `remote.py` over a Unix socket."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping
from contextlib import aclosing, asynccontextmanager, suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

from fromage_lite.chat.event_data import error_to_dict, event_to_dict
from fromage_lite.chat.events import Done, Event, Failed, ImagesFound
from fromage_lite.chat.protocol import ChatAgent, ChatDialogue
from fromage_lite.chat.request import SearchRequest
from fromage_lite.chat.turns import message_from_data, message_to_data, turn_from_dict, turn_to_dict
from fromage_lite.config import GenerationSettings
from fromage_lite.errors import DataError, FromageError, unexpected
from index.search.hits import Hit
from tui.agent_thread import AgentThread
from tui.conversation import foreseen
from tui.serving.wire import MAX_LINE, Pictures, decode, encode, patches_to_data, pictures_to_data

GOODBYE_SECONDS = 5.0  # for visitors' processes to end on their own

log = logging.getLogger(__name__)


class ModelServer:
    """Serves one agent to any number of visitors; replies are made one at a time, in the order of the messages.

    Args:
        agent: what answers.
        thread: the thread to call it on.
        options: plain data to send to every visitor first.
    """

    def __init__(self, agent: ChatAgent, thread: AgentThread, options: Mapping[str, Any] | None = None) -> None:
        self.agent, self.thread = agent, thread
        self.hello = {
            "model_name": agent.model_name,
            "device": agent.device,
            "index_size": agent.index_size,
            "index_path": str(agent.index_path) if agent.index_path is not None else None,
            "options": dict(options or {}),
        }
        self._visits: dict[asyncio.Task[None], asyncio.StreamWriter] = {}

    @asynccontextmanager
    async def listening(self, path: Path) -> AsyncIterator[None]:
        """Serves on a Unix socket; access to its folder is access to the server. At the end, visitors are dismissed."""
        server = await asyncio.start_unix_server(self._visit, path, limit=MAX_LINE)
        try:
            yield
        finally:
            server.close()
            await self._dismiss()

    async def _dismiss(self) -> None:
        """Closes all connections, which tells the visitors' processes to end."""
        for writer in self._visits.values():
            with suppress(OSError, RuntimeError):
                writer.write_eof()
        if self._visits:
            _, late = await asyncio.wait(self._visits, timeout=GOODBYE_SECONDS)
            for task in late:
                task.cancel()

    async def _visit(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._visits[task] = writer
        visitor, answer = _Visitor(self, writer), None
        try:
            await visitor.send(self.hello)
            while line := await reader.readline():
                request = decode(line)
                if request.get("call") == "cancel":
                    visitor.cancel.set()
                    continue
                if answer is not None:
                    await answer  # one request at a time per visitor
                visitor.cancel.clear()
                answer = asyncio.create_task(visitor.answer(request))
        except (OSError, ValueError, DataError):  # gone, or not one of our processes
            log.debug("a visitor's connection ended", exc_info=True)
        finally:
            visitor.cancel.set()
            if answer is not None:
                with suppress(Exception, asyncio.CancelledError):
                    await answer
            writer.close()
            del self._visits[task]


class _Visitor:
    """One connection and its dialogue."""

    def __init__(self, server: ModelServer, writer: asyncio.StreamWriter) -> None:
        self._agent, self._thread, self._writer = server.agent, server.thread, writer
        self.cancel = threading.Event()
        self._dialogue: ChatDialogue | None = None
        self._calls: dict[str, Callable[[Mapping[str, Any]], Any]] = {
            "dialogue": self._new_dialogue,
            "set_turns": self._set_turns,
            "undo": self._undo,
            "reset": lambda request: self._own.reset(),
            "exclude": lambda request: self._own.exclude(request["ids"]),
            "include": lambda request: self._own.include(request["ids"]),
            "pictures_left": self._pictures_left,
            "read_as": self._read_as,
            "search": self._search,
            "look_up": self._look_up,
            "look_up_in_dialogue": self._look_up_in_dialogue,
            "thumbnail": lambda request: pictures_to_data([self._picture(Hit.from_dict(request["hit"]))]),
            "is_at_hand": lambda request: self._agent.is_at_hand(Hit.from_dict(request["hit"])),
            "tokens_near": self._tokens_near,
            "patch_grid": lambda request: patches_to_data(self._agent.patch_grid(str(request["path"]))),
            "row": lambda request: self._agent.row(int(request["id"])),
        }

    async def send(self, data: Mapping[str, Any]) -> None:
        """Sends one line.

        Raises:
            OSError: the visitor is gone, or has been dismissed.
        """
        try:
            self._writer.write(encode(data))
            await self._writer.drain()
        except RuntimeError as error:  # the stream has been closed for writing
            raise ConnectionError from error

    async def answer(self, request: Mapping[str, Any]) -> None:
        """Carries out a request on the agent's thread, and sends its lines; the last is a result or an error."""
        try:
            await self.send({"result": await self._result(request)})
        except OSError:
            log.debug("a visitor left", exc_info=True)
        except FromageError as error:
            await self.send({"error": error_to_dict(error)})
        except Exception as error:
            await self.send({"error": error_to_dict(unexpected("The model's process failed", error))})

    async def _result(self, request: Mapping[str, Any]) -> Any:
        if request.get("call") in ("reply", "regenerate"):
            await self._stream(request)
            return None
        call = self._calls.get(str(request.get("call")))
        if call is None:
            raise DataError(f"There is no call {request.get('call')!r}.")
        return await self._thread.run(lambda: call(request))

    # --- replies ---

    async def _stream(self, request: Mapping[str, Any]) -> None:
        def work(emit: Callable[[dict[str, Any]], None]) -> None:
            try:
                with foreseen("The reply failed"):
                    for event in self._events(request):
                        emit(self._line(event))
            except FromageError as error:
                emit({"event": event_to_dict(Failed(error))})

        async with aclosing(self._thread.stream(work)) as lines:
            async for line in lines:
                await self.send(line)

    def _events(self, request: Mapping[str, Any]) -> Iterator[Event]:
        dialogue = self._own
        dialogue.settings = GenerationSettings.from_dict(request["settings"])
        if request["call"] == "regenerate":
            return dialogue.regenerate(cancel=self.cancel)
        return dialogue.reply(message_from_data(request["message"]), cancel=self.cancel)

    def _line(self, event: Event) -> dict[str, Any]:
        line: dict[str, Any] = {"event": event_to_dict(event)}
        if isinstance(event, ImagesFound):
            # Send the pictures along: a visitor could only request them after the reply. Of the next best, only those
            # at hand: the reply must not wait for the web.
            more = [hit for hit in event.more if self._agent.is_at_hand(hit)]
            line["pictures"] = pictures_to_data(self._pictures([*event.hits, *more]))
        elif isinstance(event, Done):
            turns = self._own.turns
            line["turn"], line["turns"] = turn_to_dict(turns[-1]), len(turns)
        return line

    # --- everything else ---

    @property
    def _own(self) -> ChatDialogue:
        if self._dialogue is None:
            raise DataError("There is no dialogue yet.")
        return self._dialogue

    def _new_dialogue(self, request: Mapping[str, Any]) -> None:
        self._dialogue = self._agent.dialogue(GenerationSettings.from_dict(request["settings"]))

    def _set_turns(self, request: Mapping[str, Any]) -> None:
        self._own.turns = [turn_from_dict(turn) for turn in request["turns"]]

    def _undo(self, request: Mapping[str, Any]) -> dict[str, Any] | None:
        turn = self._own.undo()
        return None if turn is None else turn_to_dict(turn)

    def _pictures_left(self, request: Mapping[str, Any]) -> int:
        self._own.settings = GenerationSettings.from_dict(request["settings"])
        return self._own.pictures_left(message_from_data(request["message"]))

    def _search(self, request: Mapping[str, Any]) -> list[dict[str, Any]]:
        message, spelling = message_from_data(request["message"]), request["spelling"]
        hits = self._agent.search(message, int(request["k"]), set(request["exclude"]), spelling, request["by"])
        return pictures_to_data(self._pictures(hits))

    def _look_up(self, request: Mapping[str, Any]) -> list[dict[str, Any]]:
        asked, spelling = SearchRequest.from_dict(request["request"]), request["spelling"]
        hits = self._agent.look_up(asked, int(request["k"]), set(request["exclude"]), spelling)
        return pictures_to_data(self._pictures(hits))

    def _look_up_in_dialogue(self, request: Mapping[str, Any]) -> list[dict[str, Any]]:
        dialogue = self._own
        dialogue.settings = GenerationSettings.from_dict(request["settings"])
        asked, spelling = SearchRequest.from_dict(request["request"]), request["spelling"]
        hits = dialogue.look_up(asked, int(request["k"]), set(request["exclude"]), spelling)
        return pictures_to_data(self._pictures(hits))

    def _read_as(self, request: Mapping[str, Any]) -> list[dict[str, Any]]:
        return message_to_data(self._agent.read_as(message_from_data(request["message"]), request["by"]))

    def _tokens_near(self, request: Mapping[str, Any]) -> list[list[dict[str, Any]]]:
        rows = self._agent.tokens_near(str(request["path"]), int(request["k"]))
        return [[asdict(match) for match in row] for row in rows]

    def _pictures(self, hits: Iterable[Hit]) -> Pictures:
        return [self._picture(hit) for hit in hits]

    def _picture(self, hit: Hit) -> tuple[Hit, bytes | FromageError]:
        try:
            return hit, self._agent.thumbnail(hit)
        except FromageError as error:
            return hit, error
        except (OSError, LookupError) as error:
            return hit, FromageError(f"This picture can no longer be read ({type(error).__name__}).")
