"""What the language model has read of a dialogue: the KV cache, kept in step with the turns."""

from __future__ import annotations

import threading
from collections.abc import Generator, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from fromage_lite.chat.engine import Engine
from fromage_lite.chat.limits import check_length, pictures_left
from fromage_lite.chat.turns import Turn
from fromage_lite.config import GenerationSettings, SpellingMode
from fromage_lite.errors import ImageError
from fromage_lite.model.decoding import DecodingState, Token, stream
from fromage_lite.text.marks import MARKED_RET, without_marks
from fromage_lite.text.message import Segment
from fromage_lite.text.template import Template
from fromage_lite.text.templates import get_template

# A full context is cut to this share of the positions, not just below the limit: each cut re-reads what remains.
KEPT_SHARE = 3 / 4


@dataclass(frozen=True)
class Prompt:
    """What the model must still read before it replies.

    Attributes:
        inputs_embeds: (1, T, D).
        cached: positions already in the KV cache.
        fed: positions still to be fed.
        notices: what the user should know.
    """

    inputs_embeds: Tensor
    cached: int
    fed: int
    notices: tuple[str, ...]


class Context:
    """The LM's view of one dialogue. Turns are plain data; what the cache lacks is read when needed: after undo, after
    a failure, or for a dialogue from a file.

    Attributes:
        spelling: whether messages are read with their misspelt words as they were meant.
    """

    def __init__(self, engine: Engine) -> None:
        self.engine, self.model = engine, engine.model
        language = self.model.language
        self.template = get_template(self.model.config.prompt_template, language.tokenizer)
        self.spelling: SpellingMode = "auto"
        self._stop_ids = language.token_ids(self.template.stop_tokens)
        self.clear()

    def clear(self) -> None:
        """Forgets all turns and empties the cache."""
        self.state = DecodingState(self.model)
        self._read: list[tuple[Turn, int]] = []  # turns in the cache, and where each ends
        self._first = 0  # the first turn in view; earlier ones were dropped

    @torch.no_grad()
    def prepare(self, turns: Sequence[Turn], message: Sequence[Segment], max_new_tokens: int) -> Prompt:
        """Brings the view in line with `turns` and returns the prompt for the next reply.

        Raises:
            ImageError: a picture of the message can't be read.
            MessageError: the message alone is too long.
        """
        self._align(turns)
        room = self._room(max_new_tokens)
        prompt = self._message_embeds(message, turns[self._first :], room)
        notices: list[str] = []
        view = self._unread(turns, room - self.state.length - prompt.shape[1], notices)
        if view is None:
            notices = [self._thin(turns, message, room)]
            view = self._unread(turns, room, notices) or []
            prompt = self._message_embeds(message, [turn for turn, _ in view], room)
        cached, end = self.state.cached, self.state.length
        for turn, embeds in view:
            end += embeds.shape[1]
            self._read.append((turn, end))
        embeds = torch.cat([*(e for _, e in view), prompt], dim=1)
        return Prompt(embeds, cached, len(self.state.pending) + embeds.shape[1], tuple(notices))

    def pictures_left(self, turns: Sequence[Turn], message: Sequence[Segment], max_new_tokens: int) -> int:
        """How many more pictures `prepare` would accept in a message after these turns; see `limits.pictures_left`.
        Nothing is read or opened."""
        view = turns[self._first :] or turns
        room = self._room(max_new_tokens)
        if view and self.model.config.sees_found:
            room -= len(view[-1].hits) * self._picture_size()

        def render(segments: Sequence[Segment]) -> Sequence[Segment]:
            return self._render(segments, is_first=not view)

        return pictures_left(self.model, render, message, room, add_bos=not view)

    def spans(self) -> list[tuple[Turn, int]]:
        """The turns in view that have been read, oldest first, with the positions of each; after `prepare`, all."""
        starts = [0, *(end for _, end in self._read)]
        return [(turn, end - start) for (turn, end), start in zip(self._read, starts, strict=False)]

    def stream(
        self, prompt: Prompt, settings: GenerationSettings, cancel: threading.Event | None, attempt: int
    ) -> Generator[Token]:
        """The tokens of the reply; `state.finish_reason` then says why it ended.

        Args:
            prompt: from `prepare`.
            settings: how to choose tokens.
            cancel: when set, the reply ends within one token.
            attempt: number of this reply in the dialogue; it is added to the seed, so that replies differ.
        """
        generator = None
        if settings.seed is not None:
            generator = torch.Generator().manual_seed((settings.seed + attempt) % 2**63)
        yield from (self.engine.stream or stream)(
            self.model,
            self.state,
            prompt.inputs_embeds,
            settings,
            stop_strings=self.template.stop_strings,
            stop_ids=self._stop_ids,
            trace=True,
            cancel=cancel,
            generator=generator,
        )

    def commit(self, turn: Turn) -> None:
        """Makes the reply just streamed part of the dialogue."""
        self._read.append((turn, self.state.length))

    def rollback(self) -> None:
        """Forgets everything since the last complete turn, wherever a reply was interrupted."""
        while self._read and self._read[-1][1] > self.state.length:
            self._read.pop()  # the interruption came before it was read
        try:
            self.state.crop(self._read[-1][1] if self._read else 0)
        except Exception:  # the cache itself is broken: re-read everything next time
            self.state, self._read = DecodingState(self.model), []

    # --- the view ---

    def _room(self, max_new_tokens: int) -> int:
        """Positions left to read into once some are set aside for the reply: at most a quarter, however long it may
        get."""
        positions = self.model.language.max_positions
        return positions - min(max_new_tokens, positions // 4)

    def _align(self, turns: Sequence[Turn]) -> None:
        if self._first >= len(turns):
            self._first = 0
        view = turns[self._first :]
        same = 0
        while same < min(len(view), len(self._read)) and self._read[same][0] is view[same]:
            same += 1
        del self._read[same:]
        self.rollback()

    def _unread(self, turns: Sequence[Turn], room: int, notices: list[str]) -> list[tuple[Turn, Tensor]] | None:
        """The turns in view that the cache does not hold; None if they don't fit. A file may hold many, so the newest
        come first, and the rest are not even opened once the room is used up."""
        view: list[tuple[Turn, Tensor]] = []
        for number in range(len(turns) - 1, self._first + len(self._read) - 1, -1):
            before = turns[number - 1] if number > self._first else None
            embeds = self._turn_embeds(turns[number], before, notices)
            room -= embeds.shape[1]
            view.insert(0, (turns[number], embeds))
            if room < 0:
                return None
        return view if room >= 0 else None

    def _thin(self, turns: Sequence[Turn], message: Sequence[Segment], room: int) -> str:
        """Drops the oldest turns and starts the view over with the rest; returns what to tell the user."""
        before, kept = self._first, len(turns)
        # The first turn in view begins the text, be it the message or an earlier turn.
        sizes = [self._message_embeds(message, others, room).shape[1] for others in ((), turns[-1:])]
        size = max(sizes[0], sizes[1] + 1)
        while kept:
            size += self._turn_embeds(turns[kept - 1], turns[max(kept - 2, 0)], []).shape[1]
            if size > KEPT_SHARE * room:
                break
            kept -= 1
        self.state.crop(0)
        self._read, self._first = [], kept
        count = kept - before
        gone = f"its {count} oldest turns are" if count != 1 else "its oldest turn is"
        return f"The dialogue is longer than the language model can read; {gone} now out of view."

    # --- embeddings ---

    def _render(self, message: Sequence[Segment], is_first: bool) -> Sequence[Segment]:
        return self.template.render_turn(self.engine.read_as(message, self.spelling), is_first)

    def _turn_embeds(self, turn: Turn, before: Turn | None, notices: list[str]) -> Tensor:
        is_first = before is None
        segments: list[str | Tensor] = [*self._found(before)]
        if not self.model.config.has_retrieval:  # what the text tower found is no `[RET]` that the LM has said
            turn = replace(turn, reply=tuple(part for part in turn.reply if isinstance(part, str)))
        for segment in [*self._render(turn.message, is_first), reply_prompt(self.template, turn)]:
            try:
                segments += self.engine.open_segments([segment])
            except ImageError as error:
                # The reply to it is known; a missing picture must not end an old dialogue for good.
                notices.append(f"{error.message} The model reads this dialogue without it.")
        return self.model.prompt_embeds(segments, add_bos=is_first)

    def _message_embeds(self, message: Sequence[Segment], before: Sequence[Turn], room: int) -> Tensor:
        is_first = not before
        rendered = self._render(message, is_first)
        found = self._found(before[-1] if before else None)
        check_length(self.model, message, rendered, room - len(found) * self._picture_size(), add_bos=is_first)
        return self.model.prompt_embeds([*found, *self.engine.open_segments(rendered)], add_bos=is_first)

    def _found(self, turn: Turn | None) -> list[Tensor]:
        """Features of the pictures that a turn's reply found, which are read when the next turn begins."""
        if turn is None or not self.model.config.sees_found:
            return []
        return self.engine.found_features(turn.hits)

    def _picture_size(self) -> int:
        config, language = self.model.config, self.model.language
        around = language.tokenize(config.image_prefix) + language.tokenize(config.image_suffix)
        return config.n_visual_tokens + len(around)


def reply_prompt(template: Template, turn: Turn) -> str:
    """A reply as the LM said it, with the token `[RET]` where pictures came. One in its words is words."""
    said = [part for part in turn.reply if part != ""]
    words = [template.render_reply if not position else without_marks for position in range(len(said))]
    return "".join(
        render(part) if isinstance(part, str) else MARKED_RET for part, render in zip(said, words, strict=True)
    )
