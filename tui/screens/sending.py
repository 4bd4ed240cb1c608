"""From a draft to a reply on the screen: loading the model, reading the message, streaming what comes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine, Iterable, Sequence
from contextlib import aclosing
from functools import partial
from pathlib import Path
from typing import Any

from fromage_lite.chat.events import Done, Failed, Notice, Statistics
from fromage_lite.chat.search import is_meant_as_path
from fromage_lite.errors import FromageError, ImageError, unexpected
from fromage_lite.text.message import ImageSegment, Segment, parse_message
from index.pictures.images import sanitize
from tui.conversation import ReplyItem
from tui.input.attachments import extract_pictures, refuse_folder, refuse_missing, to_path
from tui.pictures.thumbnails import Picture, load_file
from tui.screens.busy import LOADING, REPLYING, Occupied
from tui.screens.following import Following
from tui.screens.interface import INDEX, LOADING_FIRST, MEMORY, MODEL, NOTHING, WAITING, Chat, Outgoing
from tui.widgets.composer import Draft
from tui.widgets.turn import TurnView

NO_INDEX = "There is no index, so replies come without pictures."
MAKES_ONE = "/index FOLDER makes one of a folder of pictures."
ONE_WAITS = "A message is waiting already · Esc takes it back"
WAITS = "It waits its turn · Esc takes it back"


class Sending:
    """What the commands that lead to a reply have in common."""

    def __init__(self, chat: Chat) -> None:
        self._chat = chat
        self.following = Following(chat)
        self._preparing = False  # a message is being read
        self._after_loading: list[Callable[[], Awaitable[None]]] = []

    def check_free(self) -> None:
        """Raises `Occupied` if no message can be sent now; while the model loads, one can."""
        self._chat.check_free(beside=LOADING)
        if self._preparing or self._chat.waiting is not None:
            raise Occupied(ONE_WAITS)

    def _check_next(self) -> None:
        """Raises `Occupied` if no message can be taken, not even one that waits for the end of a reply."""
        if self._preparing or self._chat.waiting is not None:
            raise Occupied(ONE_WAITS)
        if self._chat.busy != REPLYING:
            self.check_free()

    # Loading ----------------------------------------------------------------------------------------------------

    def start_loading(self) -> None:
        """Loads the model in the background."""
        self._chat.begin(LOADING, self._load)

    async def _load(self) -> None:
        chat = self._chat
        chat.forget(MODEL)
        chat.forget(MEMORY)
        try:
            async with aclosing(chat.conversation.load()) as progress:
                async for text in progress:
                    if isinstance(text, Notice):
                        await chat.note(sanitize(text.message), about=MEMORY)
                        continue
                    chat.status.state = sanitize(text)
                    if chat.waiting is not None:
                        chat.waiting.view.reply.wait_for(sanitize(text))
        except FromageError as error:
            await self.take_back_waiting(by_user=False)
            await chat.note_error(error, "/retry tries again.", MODEL)
        else:
            chat.start(self._loaded(), "loaded")  # runs when this has ended, and loading with it

    async def _loaded(self) -> None:
        chat = self._chat
        chat.show_agent()
        chat.forget(LOADING_FIRST)
        while self._after_loading:
            try:
                await self._after_loading.pop(0)()
            except Exception as error:  # whatever else waits for the model goes on
                await chat.tell(error)
        self._start_waiting()
        if note := chat.conversation.taken_over_note:
            await chat.note(note, about=INDEX)
        elif chat.conversation.agent is not None and not chat.conversation.agent.index_size:
            await chat.note(NO_INDEX if chat.conversation.fixed else f"{NO_INDEX} {MAKES_ONE}", about=INDEX)

    def after_loading(self, work: Callable[[], Awaitable[None]]) -> None:
        """Does something as soon as the model is there."""
        self._after_loading.append(work)

    def _start_waiting(self) -> None:
        chat = self._chat
        if chat.waiting is not None:
            outgoing, chat.waiting = chat.waiting, None
            chat.forget(WAITING)
            self.start_reply(outgoing)

    async def take_back_waiting(self, *, by_user: bool = True) -> None:
        """Hands the message that waits for the model, or for its turn, back to the composer. Unless the user says so,
        it stays kept until something else is said: leaving must not lose it."""
        chat = self._chat
        if chat.waiting is not None:
            outgoing, chat.waiting = chat.waiting, None
            chat.forget(WAITING)
            if outgoing.is_kept and by_user:
                chat.conversation.forget_unfinished()
            elif outgoing.is_kept:
                chat.conversation.hand_back()
            await outgoing.view.remove()
            chat.composer.restore(outgoing.draft)
            await chat.transcript.settle()

    # Sending ----------------------------------------------------------------------------------------------------

    async def submit(self, draft: Draft) -> None:
        """Sends a message; one that can't be sent now stays in the composer.

        Raises:
            Occupied: it can't be sent now.
        """
        self._check_next()
        if not draft.text.strip() and not draft.pictures:
            self._chat.hint("Write something first · F1 help", NOTHING)
        else:
            self._chat.composer.take(draft)
            self.prepare(self._submit(draft))

    def prepare(self, message: Coroutine[Any, Any, None]) -> None:
        """Does in the background what ends with `send`. Until then there can be no other message."""
        self._preparing = True
        self._chat.start(self._prepared(message), "submit")

    async def _prepared(self, message: Coroutine[Any, Any, None]) -> None:
        try:
            await message
        finally:
            self._preparing = False

    async def _submit(self, draft: Draft) -> None:
        try:
            found, text = extract_pictures(draft.text)
            if is_meant_as_path(text):
                await asyncio.to_thread(refuse_folder, path := to_path(text))
                found, text = [*found, path], ""  # a path that leads nowhere: reading it says so
            refuse_missing(text)
            attached = [*draft.pictures, *await read_pictures(found)]
            if found and not text:  # nothing but pictures: they wait for a question
                self._chat.composer.pictures = tuple(attached)
                return
            segments = tuple(_resolved(parse_message(text, (picture.path for picture in attached))))
            paths = [Path(s.path) for s in segments[len(attached) :] if isinstance(s, ImageSegment)]
            inline = iter(await read_pictures(paths))
            pictures = iter(attached)
            parts = [s if isinstance(s, str) else next(pictures, None) or next(inline) for s in segments]
            await self.send(draft, segments, parts)
        except (ImageError, Occupied):
            self._chat.composer.restore(draft)
            raise

    async def send(
        self, draft: Draft, segments: tuple[Segment, ...], parts: Sequence[str | Picture], true_answer: str = ""
    ) -> None:
        """Shows a message, and its reply as soon as the model is there.

        Args:
            draft: what is handed back if the reply fails.
            segments: the message for the model.
            parts: the same for the screen.
            true_answer: the right answer, where it is known; it is shown after the reply.

        Raises:
            Occupied: something else has begun meanwhile.
        """
        chat = self._chat
        if chat.busy == REPLYING:
            view = TurnView(parts, chat.mode, "waiting its turn", true_answer)
            await self._send_next(Outgoing(draft, segments, view))
            return
        if chat.conversation.agent is not None:
            view = TurnView(parts, chat.mode, "thinking", true_answer)
            chat.begin(REPLYING, partial(self._show_and_reply, Outgoing(draft, segments, view)))
            return
        chat.check_free(beside=LOADING)
        outgoing = Outgoing(draft, segments, TurnView(parts, chat.mode, "waiting for the model", true_answer))
        await self._show_message(outgoing)
        if chat.conversation.agent is not None:  # it has come just now
            self.start_reply(outgoing)
            return
        chat.waiting = outgoing
        outgoing.is_kept = True
        chat.conversation.expect(segments)  # it is kept, though the model may take a while
        if chat.busy != LOADING:  # that has failed: another attempt, with this message waiting for it
            self.start_loading()

    async def _send_next(self, outgoing: Outgoing) -> None:
        """Shows a message whose turn comes when the reply before has ended."""
        chat = self._chat
        chat.waiting = outgoing
        await chat.transcript.add(outgoing.view)
        chat.hint(WAITS, WAITING)
        if not chat.busy:  # it has ended just now
            self._start_waiting()

    async def _show_message(self, outgoing: Outgoing) -> None:
        failed, self._chat.failed = self._chat.failed, None
        if failed is not None and failed.segments == outgoing.segments:
            await failed.view.remove()  # the same once more
        elif failed is not None and failed.is_handed_back:
            self._chat.conversation.hand_back()
            await failed.view.remove()
        elif failed is not None:
            failed.view.give_up()
            if self._chat.conversation.kept is not None:
                self._chat.left[failed.view] = self._chat.conversation.kept
        await self._chat.transcript.add(outgoing.view)

    async def start_anew(self) -> None:
        """Forgets the conversation, in the model and on the screen.

        Raises:
            Occupied: something else than loading is going on.
            FromageError: the model can't forget it.
        """
        chat = self._chat
        chat.check_free(beside=LOADING)
        if chat.turns:
            await chat.conversation.reset()
        chat.turns.clear()
        chat.left.clear()
        chat.waiting = chat.failed = None
        self._after_loading.clear()
        chat.conversation.start_anew()
        chat.status.statistics = None
        await chat.transcript.clear()

    # Replying ---------------------------------------------------------------------------------------------------

    async def _show_and_reply(self, outgoing: Outgoing) -> None:
        await self._show_message(outgoing)
        await self._reply_to(outgoing)

    def start_reply(self, outgoing: Outgoing) -> None:
        """Streams the reply to a message that is on the screen."""
        self._chat.begin(REPLYING, partial(self._reply_to, outgoing))

    def retry(self, outgoing: Outgoing) -> None:
        """Streams a reply to a message whose first one failed."""
        self._chat.begin(REPLYING, partial(self._retry, outgoing))

    def regenerate(self, view: TurnView) -> None:
        """Streams another reply to the last message."""
        self._chat.begin(REPLYING, partial(self._regenerate, view))

    async def _retry(self, outgoing: Outgoing) -> None:
        await outgoing.view.begin_again()
        await self._reply_to(outgoing)

    async def _regenerate(self, view: TurnView) -> None:
        await view.begin_again()
        await self._stream(self._chat.conversation.regenerate(), view, None)
        self._go_on()

    async def _reply_to(self, outgoing: Outgoing) -> None:
        self._chat.conversation.get_ready()
        await self.following.follow(outgoing.view)
        outgoing.view.reply.wait_for("thinking")
        await self._stream(self._chat.conversation.reply(outgoing.segments), outgoing.view, outgoing)
        if self._chat.failed is outgoing:
            await self._hand_back(outgoing)
        self._go_on()

    async def _hand_back(self, failed: Outgoing) -> None:
        """The words of a failed message go to the composer, or of one that waited for its reply: what was said on the
        strength of a reply may make no sense without it."""
        chat = self._chat
        if chat.waiting is not None:
            await self.take_back_waiting()
        else:
            failed.is_handed_back = chat.composer.restore(failed.draft)

    def _go_on(self) -> None:
        if self._chat.waiting is not None:
            self._chat.start(self._next(), "next")  # runs when this has ended, and replying with it

    async def _next(self) -> None:
        self._start_waiting()

    async def _stream(self, items: AsyncGenerator[ReplyItem, None], view: TurnView, outgoing: Outgoing | None) -> None:
        try:
            async with aclosing(items) as events:
                async for item in events:
                    await self._show(item, view, outgoing)
        except Exception as error:  # drawing failed: the model must not go on unheard
            self._chat.conversation.stop()
            await self._show(Failed(unexpected("The reply can't be shown", error)), view, outgoing)

    async def _show(self, item: ReplyItem, view: TurnView, outgoing: Outgoing | None) -> None:
        chat = self._chat
        await view.apply(item)
        if isinstance(item, Statistics):
            chat.status.statistics = item
            chat.show_pictures()  # a search may have met more of them
        elif isinstance(item, Done) and outgoing is not None:
            chat.turns.append(view)
        elif isinstance(item, Failed) and outgoing is not None:
            chat.failed = outgoing


async def read_pictures(paths: Iterable[Path]) -> list[Picture]:
    """The pictures of these files, read off the UI thread.

    Raises:
        ImageError: one of them can't be read.
    """
    return [await asyncio.to_thread(load_file, path) for path in paths]


def _resolved(segments: Iterable[Segment]) -> Iterable[Segment]:
    for segment in segments:
        yield segment if isinstance(segment, str) else ImageSegment(str(to_path(segment.path)))
