"""A dialogue: messages in, typed events out. Its turns are plain data, and the model's memory follows from them."""

from __future__ import annotations

import dataclasses
import logging
import threading
import time
from collections.abc import Collection, Generator, Iterable, Iterator, Sequence
from contextlib import closing
from textwrap import shorten
from typing import Any, Self

from torch import Tensor

from fromage_lite.chat.album import Album
from fromage_lite.chat.asking import DialogueQuery, asks_tower, wanted_words
from fromage_lite.chat.choosing import choose
from fromage_lite.chat.context import Context, Prompt
from fromage_lite.chat.engine import Engine
from fromage_lite.chat.events import ContextPart, Done, Event, Failed, ImagesFound, Notice, Statistics, TextDelta
from fromage_lite.chat.lookup import look_up
from fromage_lite.chat.reply import ReplyDraft, pictures_of, tidy
from fromage_lite.chat.request import SearchRequest
from fromage_lite.chat.search import Term, as_read, mixed_query, way
from fromage_lite.chat.turns import Turn, message_segments, turn_from_dict, turn_to_dict
from fromage_lite.config import GenerationSettings, SpellingMode
from fromage_lite.errors import ConfigError, DataError, FromageError, MessageError, StoreError, unexpected
from fromage_lite.text.message import Segment, clean
from fromage_lite.text.spelling import told
from index.pictures.images import is_gone
from index.search.hits import Hit

VERSION = 1
GONE_SKIPPED = 4  # missing pictures to skip before giving up: each may cost a request to the web
NEXT_BEST = 8  # pictures that a search returns beyond those shown


class Dialogue:
    """A `ChatDialogue` whose model is in this process. Not for several threads at once.

    Attributes:
        settings: how replies are made; an assignment takes effect at the next reply.
        turns: what was said. A turn is added when its reply has ended, even if it was cancelled.
        excluded: ids of pictures that the user does not want to see in this dialogue.
    """

    def __init__(self, engine: Engine, settings: GenerationSettings | None = None) -> None:
        self.engine = engine
        self.settings = settings or GenerationSettings()
        self.turns: list[Turn] = []
        self.excluded: set[int] = set()
        self._context = Context(engine)
        self._replaced: set[int] = set()  # pictures of regenerated replies: the user wants another one
        self._attempt = 0
        self._busy = False
        self._told_no_index = False

    @property
    def shown(self) -> set[int]:
        """Ids of the pictures in the replies so far; none is shown twice."""
        return {hit.id for turn in self.turns for hit in turn.hits}

    def reply(
        self,
        message: str | Sequence[Segment],
        attachments: Sequence[str] = (),
        cancel: threading.Event | None = None,
    ) -> Iterator[Event]:
        """As `ChatDialogue.reply`. If the caller stops reading before the end, the dialogue is as before."""
        self._attempt = 0
        yield from self._answer(self.turns, clean(message_segments(message, attachments)), cancel, ())

    def regenerate(self, cancel: threading.Event | None = None) -> Iterator[Event]:
        """As `ChatDialogue.regenerate`: with another picture and, at a temperature above 0, other words."""
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
        """As `ChatDialogue.undo`; the turn's pictures may be shown again."""
        self._check_idle()
        self._replaced, self._attempt = set(), 0
        return self.turns.pop() if self.turns else None

    def reset(self) -> None:
        """As `ChatDialogue.reset`."""
        self._check_idle()
        self.turns, self._replaced, self._attempt = [], set(), 0
        self.excluded = set()
        self._context.clear()

    def exclude(self, ids: Iterable[int]) -> None:
        """As `ChatDialogue.exclude`."""
        self.excluded |= set(ids)

    def include(self, ids: Iterable[int]) -> None:
        """As `ChatDialogue.include`."""
        self.excluded -= set(ids)

    def find(
        self, terms: Sequence[Term], k: int, exclude: Collection[int] = (), spelling: SpellingMode = "auto"
    ) -> list[Hit]:
        """As `Agent.find`, by dialogue: each term is read as the next message of this dialogue. None of `excluded`.

        Raises: as `Agent.find`, and MessageError while a reply is being made.
        """
        return self.engine.retrieve(self._query(terms, spelling), k, self.excluded.union(exclude))

    def look_up(
        self, request: SearchRequest, k: int = 5, exclude: Collection[int] = (), spelling: SpellingMode = "auto"
    ) -> list[Hit]:
        """As `ChatDialogue.look_up`."""
        query, unwanted = self._query(request.terms, spelling), self.excluded.union(exclude)
        return look_up(
            request,
            request.top or k,
            lambda: self.engine.index,
            lambda wanted, among: self.engine.retrieve(query, wanted, unwanted, among),
            self.engine.model.config.match_score,
        )

    def _query(self, terms: Sequence[Term], spelling: SpellingMode) -> Tensor:
        self._check_idle()
        way(self.engine, "dialogue")
        if self.engine.index is None:
            raise ConfigError("There is no index to search.", "Name one with --index.")
        query = DialogueQuery(self._context, self.turns, self.settings)
        return mixed_query(query, as_read(self.engine, terms, spelling, "dialogue"))

    def pictures_left(self, message: Sequence[Segment]) -> int:
        """As `ChatDialogue.pictures_left`."""
        return self._context.pictures_left(self.turns, clean(message), self.settings.max_new_tokens)

    def to_dict(self) -> dict[str, Any]:
        """The dialogue as plain JSON data, with pictures as paths."""
        return {
            "version": VERSION,
            "settings": self.settings.to_dict(),
            "turns": [turn_to_dict(turn) for turn in self.turns],
            "excluded": sorted(self.excluded),
        }

    @classmethod
    def from_dict(cls, engine: Engine, data: Any) -> Self:
        """The inverse of `to_dict`. The model reads the dialogue at the next reply.

        Raises:
            DataError: the data has another form or version.
        """
        if not isinstance(data, dict) or not isinstance(data.get("turns"), list):
            raise DataError("The saved dialogue can't be read: it has no list of turns.")
        if data.get("version") != VERSION:
            raise DataError(
                f"The saved dialogue is of version {data.get('version')!r}; this program reads version {VERSION}.",
                "Use the version of the program that saved it.",
            )
        try:
            settings = GenerationSettings.from_dict(data.get("settings", {}))
        except (ConfigError, TypeError, AttributeError) as error:
            raise DataError(f"The settings of the saved dialogue can't be read: {error}") from error
        dialogue = cls(engine, settings)
        dialogue.turns = [turn_from_dict(turn) for turn in data["turns"]]
        excluded = data.get("excluded", [])
        if not isinstance(excluded, list) or not all(isinstance(id, int) for id in excluded):
            raise DataError("The saved dialogue can't be read: its excluded pictures are not a list of numbers.")
        dialogue.exclude(excluded)
        return dialogue

    # --- one reply ---

    def _answer(
        self,
        before: Sequence[Turn],
        message: tuple[Segment, ...],
        cancel: threading.Event | None,
        replaced: Collection[int],
    ) -> Generator[Event]:
        """The reply to `message` after the turns `before`; at its end, the dialogue is these and the new turn."""
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
            failure = _trouble(error)
        finally:  # also on GeneratorExit and Ctrl-C
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
        reply = ReplyDraft()
        if not message:
            raise MessageError("The message is empty.", "Type something, or attach a picture.")
        settings, notice = self._effective_settings()
        if notice:
            yield Notice(notice)
        read = self._read_as(message)
        if read != message:
            yield Notice(told(read))
        prompt = self._context.prepare(before, message, settings.max_new_tokens)
        yield from map(Notice, prompt.notices)
        context = _context_parts(before, message, self._context.spans(), prompt)
        shown = {hit.id for turn in before for hit in turn.hits}
        unwanted = set(replaced) | self.excluded
        tokens = self._context.stream(prompt, settings, cancel, len(before) + 1000 * self._attempt)
        with closing(tokens):
            for token in tokens:
                reply.count(token)
                if token.text:
                    reply.say(token.text)
                    yield TextDelta(token.text)
                if token.query_embeds is not None:
                    yield from self._find(self.engine, token.query_embeds, reply, settings, shown, unwanted)
                reply.resumed = time.perf_counter()
        yield from self._find_by_tower(read, reply, shown, unwanted)
        yield reply.trace(context)
        turn = Turn(message, tidy(reply.parts), self._context.state.finish_reason or "stop")
        self._context.commit(turn)
        self.turns, self._replaced = [*before, turn], set()
        yield reply.statistics(prompt)
        yield Done(turn.text, turn.reason)

    def _read_as(self, message: tuple[Segment, ...]) -> tuple[Segment, ...]:
        """The message as the model reads it by the settings; after a change of these it reads all turns anew."""
        if self._context.spelling != self.settings.spelling:
            self._context.clear()
            self._context.spelling = self.settings.spelling
        return self.engine.read_as(message, self.settings.spelling)

    def _find_by_tower(
        self, message: Sequence[Segment], reply: ReplyDraft, shown: set[int], unwanted: set[int]
    ) -> Iterator[Event]:
        """The pictures that a message asks for, where the bridge has no `[RET]` to ask by."""
        tower = asks_tower(self.engine, self.settings)
        words = wanted_words(message, self.settings) if tower is not None else ""
        if tower is not None and words:
            yield Notice(f"Found by the image encoder's own text tower: {shorten(words, 100, placeholder=' …')}")
            query = tower.embeds(tower.read_as([words]))
            yield from self._find(tower, query, reply, self.settings, shown, unwanted)

    def _find(
        self,
        album: Album,
        query_embeds: Tensor,
        reply: ReplyDraft,
        settings: GenerationSettings,
        shown: set[int],
        unwanted: set[int],
    ) -> Iterator[Event]:
        if self.engine.index is None:
            reply.parts.append(())
            yield Notice("There is no index to find a picture in.")
            return
        started = time.perf_counter()
        room = min(settings.images_per_ret, settings.max_images - len(reply.hits))
        unwanted = unwanted | {hit.id for hit in reply.hits}
        k = room + NEXT_BEST + len(shown) if room > 0 else 0
        try:
            found = album.retrieve(query_embeds, k, unwanted)
        except StoreError as error:  # a server that is lost, a file that is gone: the words of the reply are not
            reply.parts.append(())
            yield Notice(str(error))
            return
        finally:
            reply.retrieval_seconds += time.perf_counter() - started
        least = settings.score_threshold
        choice = choose(
            [hit for hit in found if least is None or hit.score >= least], shown, self.engine.model.config.match_score
        )
        hits, more = self._split(choice.hits[: room + NEXT_BEST], room)
        reply.parts.append(hits)
        if hits:
            yield ImagesFound(hits, more)
            if choice.remark:
                yield Notice(choice.remark)
        elif {hit.id for hit in found} - shown:
            yield Notice("No picture fits well enough.")
        else:
            yield Notice("Every picture that fits has been shown already.")

    def _split(self, found: Sequence[Hit], room: int) -> tuple[tuple[Hit, ...], tuple[Hit, ...]]:
        """The pictures to show, and the next best. A missing one makes room for the next; where all are missing, they
        are shown as gone."""
        hits: list[Hit] = []
        looked_at = 0
        for hit in found[: room + GONE_SKIPPED]:
            if len(hits) == room:
                break
            looked_at += 1
            if self.engine.has_picture(hit):
                hits.append(hit)
        if hits:
            return tuple(hits), tuple(found[looked_at:])
        gone = (dataclasses.replace(hit, gone=is_gone(hit.source)) for hit in found[:room])
        return tuple(gone), tuple(found[room:])

    def _effective_settings(self) -> tuple[GenerationSettings, str | None]:
        """The settings that this agent can follow, and what to tell the user, once, about the difference."""
        trained = self.engine.model.config.has_retrieval
        # Even without an index the model may say [RET] on its own: forbidding it would derail the words that follow.
        if trained and (self.engine.index is not None or self.settings.ret_mode == "auto"):
            return self.settings, None
        notice = None
        by_tower = asks_tower(self.engine, self.settings) is not None
        if self.settings.ret_mode == "always" and not by_tower and not self._told_no_index:
            self._told_no_index = True
            why = "There is no index" if trained else "This model was not trained to find pictures"
            notice = f"{why}, so replies come without pictures."
        return dataclasses.replace(self.settings, ret_mode="off"), notice

    def _check_idle(self) -> None:
        if self._busy:
            raise MessageError("A reply is still being made.", "Wait until it ends, or stop it.")


def _context_parts(
    before: Sequence[Turn], message: tuple[Segment, ...], spans: Sequence[tuple[Turn, int]], prompt: Prompt
) -> tuple[ContextPart, ...]:
    """What the model reads before a reply: the turns in view, and the message."""
    first = len(before) - len(spans)
    parts = [ContextPart(first + n, size, pictures_of(turn.message)) for n, (turn, size) in enumerate(spans, 1)]
    size = prompt.cached + prompt.fed - sum(size for _, size in spans)
    return (*parts, ContextPart(len(before) + 1, size, pictures_of(message)))


def _trouble(error: Exception) -> FromageError:
    if "out of memory" in str(error).lower():
        return FromageError(
            "There is not enough memory for this reply.", "Start a new dialogue or use a smaller model."
        )
    return unexpected("The model failed", error, logging.DEBUG)  # the front end decides what its log wants
