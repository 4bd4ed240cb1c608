"""A dialogue: messages in, typed events out. Its turns are plain data; what the model remembers follows from them."""

from __future__ import annotations

import dataclasses
import logging
import threading
import time
from collections.abc import Collection, Generator, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Self

from fromage_lite.agent import clean
from fromage_lite.config import GenerationSettings
from fromage_lite.context import Context, Prompt
from fromage_lite.decoding import Token
from fromage_lite.errors import ConfigError, DataError, FromageError, MessageError
from fromage_lite.events import Done, Event, Failed, ImagesFound, Notice, Statistics, TextDelta
from fromage_lite.prompt import Segment, parse_message
from fromage_lite.turns import ReplyPart, Turn, turn_from_dict, turn_to_dict
from index.hits import Hit

if TYPE_CHECKING:
    from fromage_lite.agent import Agent

VERSION = 1

log = logging.getLogger(__name__)


@dataclass
class _Reply:
    """A reply in the making: what was said, and what it cost."""

    parts: list[ReplyPart] = field(default_factory=list)
    started: float = field(default_factory=time.perf_counter)
    first: float | None = None  # when the first token came
    resumed: float = 0.0  # when the model was asked for the next token
    speaking_seconds: float = 0.0  # the model's own time after the first token
    new_tokens: int = 0
    retrieval_seconds: float = 0.0

    @property
    def hits(self) -> list[Hit]:
        return [hit for part in self.parts if not isinstance(part, str) for hit in part]

    def count(self, token: Token) -> None:
        if token.id is None:
            return
        now = time.perf_counter()
        if self.first is None:
            self.first = now
        else:
            self.speaking_seconds += now - self.resumed
        self.new_tokens += 1

    def say(self, text: str) -> None:
        if self.parts and isinstance(self.parts[-1], str):
            self.parts[-1] += text
        else:
            self.parts.append(text)

    def statistics(self, prompt: Prompt) -> Statistics:
        first = self.first or time.perf_counter()
        seconds = self.speaking_seconds
        return Statistics(
            prompt_tokens=prompt.fed,
            cached_tokens=prompt.cached,
            new_tokens=self.new_tokens,
            time_to_first_token=first - self.started,
            tokens_per_second=(self.new_tokens - 1) / seconds if seconds > 0 else 0.0,
            retrieval_ms=self.retrieval_seconds * 1000,
        )


class Dialogue:
    """Turns of one conversation. Not for several threads at once.

    Attributes:
        settings: how replies are made; an assignment takes effect at the next reply.
        turns: what was said. A turn is here once its reply has ended, cancelled ones included.
    """

    def __init__(self, agent: Agent, settings: GenerationSettings | None = None) -> None:
        self.agent = agent
        self.settings = settings or GenerationSettings()
        self.turns: list[Turn] = []
        self._context = Context(agent)
        self._replaced: set[int] = set()  # pictures of replies that were regenerated: another one is wanted
        self._attempt = 0
        self._busy = False
        self._told_no_index = False

    @property
    def shown(self) -> set[int]:
        """Ids of the pictures in the replies so far; they are not shown again."""
        return {hit.id for turn in self.turns for hit in turn.hits}

    def reply(
        self,
        message: str | Sequence[Segment],
        attachments: Sequence[str] = (),
        cancel: threading.Event | None = None,
    ) -> Iterator[Event]:
        """Answers a message.

        Args:
            message: text, in which `<image:PATH>` stands for a picture, or segments.
            attachments: paths of pictures that come before the message.
            cancel: when set, the reply ends within one token and what was said stays.

        Yields:
            `TextDelta`, `ImagesFound` and `Notice` as they happen, then `Statistics`, then `Done`; or `Failed` as the
            last event, after which the dialogue is as before. So it is if the caller stops reading before the end.
        """
        if isinstance(message, str):
            segments = parse_message(message, attachments)
        else:
            segments = (*parse_message("", attachments), *message)
        self._attempt = 0
        yield from self._answer(self.turns, clean(segments), cancel, ())

    def regenerate(self, cancel: threading.Event | None = None) -> Iterator[Event]:
        """Answers the last message anew, with another picture and, at a temperature above 0, other words.

        The old reply stays until the new one has ended.
        """
        if not self.turns:
            yield Failed(MessageError("There is no reply to regenerate.", "Say something first."))
            return
        old = self.turns[-1]
        self._attempt += 1
        replaced = self._replaced | {hit.id for hit in old.hits}
        for event in self._answer(self.turns[:-1], old.message, cancel, replaced):
            if isinstance(event, Statistics):  # the new reply has taken the old one's place
                self._replaced = replaced
            yield event

    def undo(self) -> Turn | None:
        """Takes the last turn back and returns it; its pictures may be shown again. None if there is none.

        Raises:
            MessageError: a reply is being made.
        """
        self._check_idle()
        self._replaced, self._attempt = set(), 0
        return self.turns.pop() if self.turns else None

    def reset(self) -> None:
        """Forgets every turn.

        Raises:
            MessageError: a reply is being made.
        """
        self._check_idle()
        self.turns, self._replaced, self._attempt = [], set(), 0
        self._context.clear()

    def to_dict(self) -> dict[str, Any]:
        """The dialogue as plain JSON data; pictures stand by their paths."""
        return {
            "version": VERSION,
            "settings": self.settings.to_dict(),
            "turns": [turn_to_dict(turn) for turn in self.turns],
        }

    @classmethod
    def from_dict(cls, agent: Agent, data: Any) -> Self:
        """The dialogue that `to_dict` wrote. The model reads it at the next reply.

        Raises:
            DataError: the data has another form or version.
        """
        if not isinstance(data, dict) or not isinstance(data.get("turns"), list):
            raise DataError("The saved dialogue can't be read: it has no list of turns.")
        if data.get("version") != VERSION:
            raise DataError(
                f"The saved dialogue is of version {data.get('version')!r}; this program reads version {VERSION}.",
                "Use the program that saved it.",
            )
        try:
            settings = GenerationSettings.from_dict(data.get("settings", {}))
        except (ConfigError, TypeError, AttributeError) as error:
            raise DataError(f"The settings of the saved dialogue can't be read: {error}") from error
        dialogue = cls(agent, settings)
        dialogue.turns = [turn_from_dict(turn) for turn in data["turns"]]
        return dialogue

    # --- one reply ---

    def _answer(
        self,
        before: Sequence[Turn],
        message: tuple[Segment, ...],
        cancel: threading.Event | None,
        replaced: Collection[int],
    ) -> Generator[Event]:
        """The reply to `message` after the turns `before`; at its end these and the new turn are the dialogue."""
        try:
            self._check_idle()
        except MessageError as error:
            yield Failed(error)
            return
        self._busy, is_complete, failure = True, False, None
        before = list(before)
        try:
            with closing(self._speak(before, message, cancel, replaced)) as events:
                for event in events:
                    is_complete = isinstance(event, Statistics | Done)
                    yield event
        except FromageError as error:
            failure = error
        except Exception as error:
            log.debug("the reply failed", exc_info=True)
            failure = _unexpected(error)
        finally:  # GeneratorExit and Ctrl-C come here too
            if not is_complete:
                self._context.rollback()
            self._busy = False
        if failure is not None:
            yield Failed(failure)

    def _speak(
        self,
        before: list[Turn],
        message: tuple[Segment, ...],
        cancel: threading.Event | None,
        replaced: Collection[int],
    ) -> Generator[Event]:
        reply = _Reply()
        if not message:
            raise MessageError("The message is empty.", "Type something, or attach a picture.")
        settings, notice = self._effective_settings()
        if notice:
            yield Notice(notice)
        prompt = self._context.prepare(before, message, settings.max_new_tokens)
        yield from map(Notice, prompt.notices)
        unwanted = {hit.id for turn in before for hit in turn.hits} | set(replaced)
        tokens = self._context.stream(prompt, settings, cancel, len(before) + 1000 * self._attempt)
        with closing(tokens):  # type: ignore[type-var]
            for token in tokens:
                reply.count(token)
                if token.text:
                    reply.say(token.text)
                    yield TextDelta(token.text)
                if token.query_embeds is not None:
                    yield self._find(token, reply, settings, unwanted)
                reply.resumed = time.perf_counter()
        turn = Turn(message, _tidy(reply.parts), self._context.state.finish_reason or "stop")
        self._context.commit(turn)
        self.turns, self._replaced = [*before, turn], set()
        yield reply.statistics(prompt)
        yield Done(turn.text, turn.reason)

    def _find(self, token: Token, reply: _Reply, settings: GenerationSettings, unwanted: set[int]) -> Event:
        started = time.perf_counter()
        room = min(settings.images_per_ret, settings.max_images - len(reply.hits))
        found = self.agent.retrieve(token.query_embeds, room, unwanted | {hit.id for hit in reply.hits})  # type: ignore[arg-type]
        reply.retrieval_seconds += time.perf_counter() - started
        least = settings.score_threshold
        hits = tuple(hit for hit in found if least is None or hit.score >= least)
        reply.parts.append(hits)
        if hits:
            return ImagesFound(hits)
        return Notice("No picture fits well enough." if found else "There is no picture left that was not shown yet.")

    def _effective_settings(self) -> tuple[GenerationSettings, str | None]:
        """The settings as this agent can follow them, and what to tell the user about the difference, once."""
        if self.agent.index is not None:
            return self.settings, None
        notice = None
        if self.settings.ret_mode == "always" and not self._told_no_index:
            self._told_no_index = True
            notice = "There is no index, so replies come without pictures."
        return dataclasses.replace(self.settings, ret_mode="off"), notice

    def _check_idle(self) -> None:
        if self._busy:
            raise MessageError("A reply is still being made.", "Wait for its end or stop it first.")


def _tidy(parts: Sequence[ReplyPart]) -> tuple[ReplyPart, ...]:
    """The parts without the blanks at the end of the reply."""
    parts = list(parts)
    if parts and isinstance(parts[-1], str):
        parts[-1] = parts[-1].rstrip()
    return tuple(part for part in parts if part != "")


def _unexpected(error: Exception) -> FromageError:
    if "out of memory" in str(error).lower():
        return FromageError(
            "There is not enough memory for this reply.", "Shorten the dialogue or use a smaller model."
        )
    detail = " ".join(str(error).split())[:300]
    return FromageError(f"The model failed: {type(error).__name__}{': ' if detail else ''}{detail}.")
