"""One exchange in the transcript: what the user said, and the reply as it comes."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from typing import Literal

from textual.app import ComposeResult
from textual.containers import HorizontalGroup, VerticalGroup
from textual.timer import Timer
from textual.widget import Widget
from textual.widgets import Static

from fromage_lite.chat.events import Done, Failed, FinishReason, Notice, RetTrace, Statistics, TextDelta
from fromage_lite.errors import FromageError
from fromage_lite.evaluate.vqa import exact_match
from index.pictures.images import sanitize
from tui.conversation import PicturesFound, ReplyItem
from tui.pictures.image_mode import ImageMode
from tui.pictures.thumbnails import Picture
from tui.widgets.formatted import Formatted, looks_formatted
from tui.widgets.next_best import picture_view
from tui.widgets.picture import PictureCard, PictureGrid

MESSAGE_LIMIT = 4000  # characters of the user's message that are drawn
FLUSH_SECONDS = 0.05
LONG_TEXT = 4000  # characters that double the time between two drawings
SPINNER = "○◔◑◕●◕◑◔"
AT_REST = "◕"

NoteKind = Literal["info", "warning", "error"]
SIGNS: dict[NoteKind, str] = {"info": "·", "warning": "!", "error": "✗"}


class Note(HorizontalGroup):
    """A line from the app itself. The sign in front says what kind it is, not the colour alone.

    Args:
        text: what it says.
        kind: how it is drawn.
        about: its matter, with which it goes; empty if it stays.
        advice: what can be done about it as long as nothing else happens; one more line.
    """

    def __init__(self, text: str, kind: NoteKind = "info", about: str = "", advice: str = "") -> None:
        super().__init__(classes=f"note -{kind}")
        self._lasting = sanitize(text)
        self.text = "\n".join(filter(None, (self._lasting, sanitize(advice))))
        self.kind, self.about = kind, about

    def compose(self) -> ComposeResult:
        yield Static(SIGNS[self.kind], markup=False, classes="sign")
        yield Static(self.text, markup=False, classes="note-text")

    def drop_advice(self) -> None:
        """The advice holds no longer."""
        if self.text != self._lasting:
            self.text = self._lasting
            self.query_one(".note-text", Static).update(self.text)


def error_note(error: FromageError, advice: str = "/retry tries again.", about: str = "") -> Note:
    """An error with what to do about it."""
    return Note("\n".join(line for line in (error.message, error.hint) if line), "error", about, advice)


class Prose(Static):
    """Text that grows; drawn at most 20 times a second, since each drawing wraps the whole of it again."""

    def __init__(self) -> None:
        super().__init__("", markup=False, classes="prose")
        self.text = ""
        self._timer: Timer | None = None

    def append(self, text: str) -> None:
        first = not self.text.strip()
        self.text += sanitize(text)
        if first:
            self.flush()
        elif self._timer is None:
            # Wrapping a long text takes longer, so it is done less often: the model needs the processor too.
            self._timer = self.set_timer(FLUSH_SECONDS * (1 + len(self.text) / LONG_TEXT), self.flush)

    def flush(self) -> None:
        """Draws what has not been drawn yet."""
        if self._timer is not None:
            self._timer.stop()
            self._timer = None
        self.update(self.text.strip())


class Wheel(Static):
    """The mark beside a reply: a cheese that is eaten and grows again while the model works."""

    def __init__(self) -> None:
        super().__init__(SPINNER[0], markup=False, classes="wheel")
        self._step = 0
        self._timer: Timer | None = None

    def on_mount(self) -> None:
        self._timer = self.set_interval(0.15, self._turn)

    def _turn(self) -> None:
        self._step += 1
        self.update(SPINNER[self._step % len(SPINNER)])

    def rest(self) -> None:
        """Stops the wheel: the reply is complete."""
        if self._timer is not None:
            self._timer.stop()
        self.update(AT_REST)


class UserMessage(VerticalGroup):
    """What the user said: texts and pictures in their order."""

    def __init__(self, parts: Sequence[str | Picture], mode: ImageMode) -> None:
        super().__init__(classes="message")
        self.parts = tuple(parts)
        self._mode = mode

    def compose(self) -> ComposeResult:
        series = [part for part in self.parts if isinstance(part, Picture)]
        number = 1
        for _, group in groupby(self.parts, lambda part: isinstance(part, Picture)):
            run = list(group)
            yield from (_words(part) for part in run if isinstance(part, str))
            pictures = [part for part in run if isinstance(part, Picture)]
            if pictures and len(series) == 1:
                yield PictureCard(pictures[0], self._mode)
            elif pictures:  # several: small, and side by side
                yield PictureGrid(pictures, self._mode, series, first=number)
            number += len(pictures)


def _words(text: str) -> Static:
    text = sanitize(text)
    if len(text) > MESSAGE_LIMIT:
        text = f"{text[:MESSAGE_LIMIT]} … ({len(text) - MESSAGE_LIMIT:,} more characters)"
    return Static(text, markup=False, classes="words")


class ReplyView(HorizontalGroup):
    """What the model says: prose, pictures and notices in the order they come."""

    def __init__(self, mode: ImageMode, waiting_for: str) -> None:
        super().__init__(classes="reply")
        self.statistics: Statistics | None = None
        self.trace: RetTrace | None = None
        self._mode = mode
        self._prose: Prose | None = None
        self._wheel = Wheel()
        self._waiting: Static | None = Static(waiting_for, markup=False, classes="waiting")

    def compose(self) -> ComposeResult:
        yield self._wheel
        with VerticalGroup(classes="said"):
            if self._waiting is not None:
                yield self._waiting

    @property
    def text(self) -> str:
        """The words so far, drawn or not."""
        said = (widget for widget in self.query(".prose") if isinstance(widget, Prose | Formatted))
        return " ".join(prose.text.strip() for prose in said).strip()

    def wait_for(self, text: str) -> None:
        """Says what is being waited for, as long as nothing has come."""
        if self._waiting is not None:
            self._waiting.update(text)

    async def apply(self, item: ReplyItem) -> None:
        """Shows one event."""
        match item:
            case TextDelta(text):
                await self._say(text)
            case PicturesFound(pictures, more):
                await self._end_prose()
                if pictures:
                    await self._add(picture_view(pictures, self._mode, more))
                else:
                    await self._add(Note("No picture is left to show."))
            case Notice(message):
                await self._add(Note(message, "warning"))
            case RetTrace():
                self.trace = item
            case Statistics():
                self.statistics = item
            case Done(_, reason):
                await self._end(reason)
            case Failed(error):
                await self.fail(error)

    async def fail(self, error: FromageError) -> None:
        """Shows an error; what was said before it stays."""
        await self._end_prose()
        self._wheel.rest()
        await self._add(error_note(error))

    async def _end(self, reason: FinishReason) -> None:
        await self._end_prose()
        self._wheel.rest()
        if reason == "cancelled":
            await self._add(Note("stopped"))
        elif reason == "length":
            await self._add(Note("cut at the longest reply allowed; /set max_new_tokens N changes it"))
        elif self._waiting is not None:
            await self._add(Note("The model had nothing to say."))
        if self.statistics is not None:
            await self._add(Static(in_words(self.statistics), markup=False, classes="statistics"))

    async def add_answer(self, answer: str) -> None:
        """Shows what would have been the right answer."""
        sign = "✓" if exact_match(self.text, answer) else "≠"
        await self._add(Static(f"{sign} true answer: {sanitize(answer)}", markup=False, classes="true-answer"))

    async def _say(self, text: str) -> None:
        if self._prose is None:
            if not text.strip():
                return  # the blank after "A:" is no reply yet
            self._prose = Prose()
            await self._add(self._prose)
        self._prose.append(text)

    async def _add(self, widget: Widget) -> None:
        if self._waiting is not None:
            waiting, self._waiting = self._waiting, None
            await waiting.remove()
        await self.query_one(".said").mount(widget)

    async def _end_prose(self) -> None:
        """The text is complete: formatted now, if it has anything to format."""
        if self._prose is None:
            return
        prose, self._prose = self._prose, None
        prose.flush()
        if looks_formatted(prose.text):
            await self.query_one(".said").mount(Formatted(prose.text), after=prose)
            await prose.remove()


def in_words(statistics: Statistics) -> str:
    """What a reply cost, on one line."""
    s = statistics
    read = f"{s.prompt_tokens} tokens read" + (f" ({s.cached_tokens} known)" if s.cached_tokens else "")
    speed = f"first {s.time_to_first_token:.2f} s, then {s.tokens_per_second:.0f} tok/s"
    search = f" · search {s.retrieval_ms:.1f} ms" if s.retrieval_ms else ""
    return f"{read} · {s.new_tokens} said · {speed}{search}"


class TurnView(VerticalGroup):
    """A message and its reply."""

    def __init__(
        self, parts: Sequence[str | Picture], mode: ImageMode, waiting_for: str = "thinking", true_answer: str = ""
    ) -> None:
        """
        Args:
            parts: what the user said.
            mode: how pictures are drawn.
            waiting_for: shown until the reply begins.
            true_answer: of a question whose answer is known; shown after the reply.
        """
        super().__init__(classes="turn")
        self._mode = mode
        self.message = UserMessage(parts, mode)
        self.reply = ReplyView(mode, waiting_for)
        self._earlier: ReplyView | None = None
        self.failed = False
        self._true_answer = true_answer

    def compose(self) -> ComposeResult:
        yield self.message
        yield self.reply

    def give_up(self) -> None:
        """The reply that failed can't be asked for again."""
        for note in self.reply.query(Note):
            note.drop_advice()

    async def begin_again(self) -> None:
        """Makes room for another reply; the one before is hidden until the new one is there."""
        if self.failed:
            await self.reply.remove()
        else:
            self._earlier = self.reply
            self._earlier.display = False
        self.failed = False
        self.reply = ReplyView(self._mode, "thinking again")
        await self.mount(self.reply)

    async def apply(self, item: ReplyItem) -> None:
        """Shows one event of the reply."""
        await self.reply.apply(item)
        if isinstance(item, Failed) and self._earlier is not None:
            # The dialogue still has the earlier reply, so the screen has it too, with the error under it.
            failed, self.reply, self._earlier = self.reply, self._earlier, None
            self.reply.display = True
            await failed.remove()
            await self.reply.fail(item.error)
        elif isinstance(item, Failed):
            self.failed = True
            self.add_class("-failed")
        elif isinstance(item, Done):
            self.remove_class("-failed")
            if self._true_answer:
                await self.reply.add_answer(self._true_answer)
            if self._earlier is not None:
                earlier, self._earlier = self._earlier, None
                await earlier.remove()
