"""The conversation on a screen: loading, sending, streaming, failing. Commands and keys are added in `chat`."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Coroutine, Iterable
from contextlib import aclosing
from dataclasses import dataclass
from pathlib import Path

from textual.app import ComposeResult
from textual.containers import Vertical
from textual.reactive import reactive
from textual.screen import Screen

from fromage_lite.chat.events import Done, Failed, Notice, Statistics
from fromage_lite.errors import FromageError, ImageError
from fromage_lite.text.message import ImageSegment, Segment, parse_message
from index.images import sanitize
from tui.conversation import Conversation, ReplyItem, unexpected
from tui.input.attachments import extract_pictures, is_picture_path, to_path
from tui.pictures.image_mode import ImageMode
from tui.pictures.thumbnails import Picture, load_file
from tui.widgets.composer import Composer, Draft
from tui.widgets.status import StatusBar
from tui.widgets.transcript import Transcript
from tui.widgets.turn import Note, NoteKind, TurnView, error_note

NO_INDEX = "There is no index, so replies come without pictures."
STOP_FIRST = "Esc stops the reply first"


@dataclass
class Outgoing:
    """A message on its way: waiting for the model, or failed and ready to be tried again."""

    draft: Draft
    segments: tuple[Segment, ...]
    view: TurnView


class DialogueScreen(Screen[None]):
    """Transcript, composer, status line, and the one dialogue between them."""

    busy = reactive("", init=False)
    """What the agent is doing: loading, replying, searching; empty when it is free."""

    def __init__(self, conversation: Conversation, mode: ImageMode) -> None:
        super().__init__()
        self.conversation = conversation
        self.mode = mode
        self.turns: list[TurnView] = []  # as many as the dialogue has
        self.waiting: Outgoing | None = None
        self.failed: Outgoing | None = None
        self._submitting = False

    def compose(self) -> ComposeResult:
        with Vertical(id="column"):
            yield Transcript(id="transcript")
            yield Composer(id="composer")
            yield StatusBar(id="status")

    @property
    def transcript(self) -> Transcript:
        return self.query_one(Transcript)

    @property
    def composer(self) -> Composer:
        return self.query_one(Composer)

    @property
    def status(self) -> StatusBar:
        return self.query_one(StatusBar)

    def on_mount(self) -> None:
        self.composer.prompt.focus()
        self.run_worker(self._tell_problems(), group="notes")
        self.start_loading()

    def on_unmount(self) -> None:
        self.conversation.close()

    async def _tell_problems(self) -> None:
        for problem in getattr(self.app, "problems", ()):  # of the config file
            await self.note(problem, "warning")

    # What the app says ------------------------------------------------------------------------------------------

    async def note(self, text: str, kind: NoteKind = "info") -> None:
        """A line in the transcript."""
        await self.transcript.add(Note(text, kind))

    async def note_error(self, error: FromageError, advice: str = "") -> None:
        """An error in the transcript, with what to do about it."""
        await self.transcript.add(error_note(error, advice))

    def hint(self, text: str) -> None:
        """A passing remark."""
        self.status.flash(text)

    def watch_busy(self, busy: str) -> None:
        status, composer = self.status, self.composer
        status.kind = "busy" if busy else "ready"
        if self.conversation.agent is None and not busy:
            status.kind = "error"
        texts = {"loading": "starting", "replying": "replying", "searching": "searching"}
        status.state = texts.get(busy, "ready" if status.kind == "ready" else "no model")
        composer.border_subtitle = {
            "loading": "you can type already",
            "replying": "Esc stops the reply",
        }.get(busy, "Enter sends · ^J new line")

    # Loading ----------------------------------------------------------------------------------------------------

    def start_loading(self) -> None:
        """Loads the model in the background."""
        self.busy = "loading"
        self.run_worker(self._load(), group="agent")

    async def _load(self) -> None:
        try:
            async with aclosing(self.conversation.load()) as progress:
                async for text in progress:
                    if isinstance(text, Notice):
                        await self.note(sanitize(text.message))
                        continue
                    self.status.state = sanitize(text)
                    if self.waiting is not None:
                        self.waiting.view.reply.wait_for(sanitize(text))
        except FromageError as error:
            await self.take_back_waiting()
            await self.note_error(error, "/retry tries again.")
            return
        finally:
            self.busy = ""
        self.show_agent()
        if self.conversation.agent is not None and not self.conversation.agent.index_size:
            await self.note(NO_INDEX if self.conversation.fixed else f"{NO_INDEX} /index FOLDER opens one.")
        if self.waiting is not None:
            outgoing, self.waiting = self.waiting, None
            self.start_reply(outgoing)

    def show_agent(self) -> None:
        """Says in the status line what is loaded."""
        if (agent := self.conversation.agent) is not None:
            self.status.model, self.status.device = sanitize(agent.model_name), str(agent.device)
            self.status.pictures = f"{agent.index_size:,} pictures" if agent.index_size else "no pictures"

    async def take_back_waiting(self) -> None:
        """Hands the message that waits for the model back to the composer."""
        if self.waiting is not None:
            outgoing, self.waiting = self.waiting, None
            await outgoing.view.remove()
            self.composer.restore(outgoing.draft)
            await self.transcript.settle()

    # Sending ----------------------------------------------------------------------------------------------------

    def submit(self, draft: Draft) -> None:
        """Sends a message, or says why it can't be sent now; then it stays in the composer."""
        if self.busy in ("replying", "searching"):
            self.hint(STOP_FIRST if self.busy == "replying" else "One moment, please")
        elif self._submitting or self.waiting is not None:
            self.hint("A message is waiting already · Esc takes it back")
        elif not draft.text.strip() and not draft.pictures:
            self.hint("Write something first · F1 help")
        else:
            self._submitting = True
            self.composer.take(draft)
            self.run_worker(self._submit(draft), group="submit")

    async def _submit(self, draft: Draft) -> None:
        try:
            found, text = extract_pictures(draft.text)
            if is_picture_path(text) and " " not in text and "<" not in text:
                found, text = [*found, to_path(text)], ""  # a path that leads nowhere: reading it says so
            attached = [*draft.pictures, *await self.read(found)]
            if found and not text:  # nothing but pictures: they wait for a question
                self.composer.pictures = tuple(attached)
                return
            segments = tuple(_resolved(parse_message(text, (picture.path for picture in attached))))
            paths = [Path(s.path) for s in segments[len(attached) :] if isinstance(s, ImageSegment)]
            inline = iter(await self.read(paths))
        except ImageError as error:
            self.composer.restore(draft)
            await self.note_error(error)
            return
        finally:
            self._submitting = False
        pictures = iter(attached)
        parts = [s if isinstance(s, str) else next(pictures, None) or next(inline) for s in segments]
        await self._send(draft, segments, parts)

    async def read(self, paths: Iterable[Path]) -> list[Picture]:
        """The pictures of these files, read off the UI thread.

        Raises:
            ImageError: one of them can't be read.
        """
        return [await asyncio.to_thread(load_file, path) for path in paths]

    async def _send(self, draft: Draft, segments: tuple[Segment, ...], parts: list[str | Picture]) -> None:
        failed, self.failed = self.failed, None
        if failed is not None and failed.segments == segments:
            await failed.view.remove()  # the same once more
        loading = self.conversation.agent is None
        view = TurnView(parts, self.mode, "waiting for the model" if loading else "thinking")
        outgoing = Outgoing(draft, segments, view)
        await self.transcript.add(view)
        if not loading:
            self.start_reply(outgoing)
        elif self.busy == "loading":
            self.waiting = outgoing
        else:  # loading has failed: another attempt, with this message waiting for it
            self.waiting = outgoing
            self.start_loading()

    # Replying ---------------------------------------------------------------------------------------------------

    def start_reply(self, outgoing: Outgoing) -> None:
        """Streams the reply to a message."""
        outgoing.view.reply.wait_for("thinking")
        self._begin(self._reply(self.conversation.reply(outgoing.segments), outgoing.view, outgoing))

    def start_regenerating(self, view: TurnView) -> None:
        """Streams another reply to the last message."""
        self._begin(self._reply(self.conversation.regenerate(), view, None))

    def _begin(self, work: Coroutine[None, None, None]) -> None:
        self.busy = "replying"
        self.run_worker(work, group="agent")

    async def _reply(self, items: AsyncGenerator[ReplyItem, None], view: TurnView, outgoing: Outgoing | None) -> None:
        try:
            async with aclosing(items) as events:
                async for item in events:
                    await self._show(item, view, outgoing)
        except Exception as error:  # drawing failed: the model must not go on unheard
            self.conversation.stop()
            await self._show(Failed(unexpected("The reply can't be shown", error)), view, outgoing)
        finally:
            self.busy = ""

    async def _show(self, item: ReplyItem, view: TurnView, outgoing: Outgoing | None) -> None:
        await view.apply(item)
        if isinstance(item, Statistics):
            self.status.statistics = item
        elif isinstance(item, Done) and outgoing is not None:
            self.turns.append(view)
        elif isinstance(item, Failed) and outgoing is not None:
            self.failed = outgoing
            self.composer.restore(outgoing.draft)


def _resolved(segments: Iterable[Segment]) -> Iterable[Segment]:
    for segment in segments:
        yield segment if isinstance(segment, str) else ImageSegment(str(to_path(segment.path)))
