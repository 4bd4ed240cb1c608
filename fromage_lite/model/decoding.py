"""Incremental decoding: one KV cache for a whole dialogue, and a query at every `[RET]`."""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Generator, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from fromage_lite.config import GenerationSettings
from fromage_lite.errors import MessageError
from fromage_lite.language.decoder import LMOutput
from fromage_lite.model import sampling
from fromage_lite.model.fromage import Fromage
from fromage_lite.model.sampling import Chooser, apply_ret_policy, must_say_ret, probability
from fromage_lite.text.streaming import FinishReason, TextStream


@dataclass(frozen=True)
class Token:
    """One step of a reply.

    Attributes:
        id: the generated token; None if the step only releases text that was held back.
        text: what may be shown now; never part of a character or of a stop string.
        query_embeds: at `[RET]`, the query in the retrieval space, (1, R) float32 on the CPU; else None.
        ret_probability: the model's own probability of `[RET]` at this step, before bias, temperature and policy; None
            if the model did not choose, or nobody asked (`trace`).
    """

    id: int | None
    text: str = ""
    query_embeds: Tensor | None = None
    ret_probability: float | None = None


class DecodingState:
    """What the language model remembers of a dialogue.

    Positions are counted as the LM sees them (an image takes `n_visual_tokens`). The last generated token waits in
    `pending` and is fed with what comes next, which saves a forward pass.

    Attributes:
        pending: ids that belong to the dialogue and are not yet in the cache.
        finish_reason: why the last reply ended; None while it runs or if it was abandoned.
    """

    def __init__(self, model: Fromage) -> None:
        self._model = model
        self._cache = model.language.new_cache()
        self._cached = 0
        # For a cache that can't be cropped: all that was read, so that it can be re-read after a crop.
        self._history: list[Tensor] | None = None if model.language.can_crop else []
        self._unread: Tensor | None = None  # (1, T, D), to be re-read before anything else
        self.pending: list[int] = []
        self.finish_reason: FinishReason | None = None

    @property
    def length(self) -> int:
        """Positions of the dialogue so far."""
        return self._cached + self._waiting + len(self.pending)

    @property
    def cached(self) -> int:
        """Positions in the KV cache."""
        return self._cached

    def crop(self, length: int) -> None:
        """Forgets everything after the first `length` positions.

        Raises:
            ValueError: there are fewer.
        """
        if not 0 <= length <= self.length:
            raise ValueError(f"cannot crop {self.length} positions to {length}")
        surplus = self.length - length
        kept = max(len(self.pending) - surplus, 0)
        surplus -= len(self.pending) - kept
        self.pending = self.pending[:kept]
        if not surplus:
            return
        if self._history is not None:
            self._read_again(length - kept)
            return
        if surplus == self._cached:
            self._cache = self._model.language.new_cache()
        else:
            self._cache.crop(-surplus)  # a negative number is how many positions to remove
        self._cached -= surplus

    @torch.inference_mode()
    def feed(self, inputs_embeds: Tensor | None = None) -> LMOutput:
        """Runs the LM over `pending` and then `inputs_embeds` (1, T, D), which both go into the cache. The last
        positions of the output are theirs.

        Raises:
            MessageError: they do not fit into the LM's positions; nothing has changed then.
        """
        language = self._model.language
        parts = [self._unread] if self._unread is not None else []
        if self.pending:
            parts.append(self._model.token_embeds(self.pending))
        if inputs_embeds is not None and inputs_embeds.shape[1]:
            parts.append(inputs_embeds.detach().to(device=language.device, dtype=language.dtype))
        if not parts:
            raise ValueError("there is nothing to feed")
        embeds = torch.cat(parts, dim=1) if len(parts) > 1 else parts[0]
        if self._cached + embeds.shape[1] > language.max_positions:
            raise MessageError(
                f"The dialogue has {self._cached + embeds.shape[1]} tokens, "
                f"but the language model takes at most {language.max_positions}.",
                "Shorten the message or begin a new dialogue.",
            )
        before = self._cached
        try:
            output = language.forward(embeds, self._cache, self._model.config.text_emb_layers)
        except BaseException:
            self._repair(before)
            raise
        self._cached += embeds.shape[1]
        self.pending, self._unread = [], None
        if self._history is not None:
            self._history.append(embeds)
        return output

    def _repair(self, length: int) -> None:
        """Cuts each layer to its old length: an interrupted pass has extended some and not others."""
        if self._history is not None:
            self._read_again(length + self._waiting)
            return
        if not length:
            self._cache = self._model.language.new_cache()
            return
        for layer in self._cache.layers:
            layer.crop(length - layer.get_seq_length())

    @property
    def _waiting(self) -> int:
        return 0 if self._unread is None else self._unread.shape[1]

    def _read_again(self, length: int) -> None:
        """Starts a new cache, with the first `length` positions to be re-read before anything else."""
        assert self._history is not None
        parts = [*self._history, *([] if self._unread is None else [self._unread])]
        self._cache, self._cached, self._history = self._model.language.new_cache(), 0, []
        self._unread = torch.cat(parts, dim=1)[:, :length] if length else None


@dataclass
class _Generation:
    """One reply being generated.

    Attributes:
        end_ids: tokens that end it.
        start: length of the dialogue where it begins.
        ret_probability: of `[RET]` at the last choice; None if it was forced.
        reason: why it ended.
    """

    model: Fromage
    state: DecodingState
    settings: GenerationSettings
    choose: Chooser
    generator: torch.Generator | None
    trace: bool
    text: TextStream
    end_ids: frozenset[int]
    start: int
    ids: list[int] = field(default_factory=list)
    rets_said: int = 0
    ret_probability: float | None = None
    reason: FinishReason = "length"

    def tokens(self, hidden: Tensor, cancel: threading.Event | None) -> Generator[Token]:
        """The tokens as they are chosen; `hidden` is what the head sees first, (1, head_dim)."""
        while not self.is_full:
            if cancel is not None and cancel.is_set():
                self.reason = "cancelled"
                return
            if self.state.pending:
                hidden = self.state.feed().hidden[:, -1]
            token_id = self._next_id(hidden)
            if token_id == self.model.language.ret_token_id:
                token, hidden = self.say_ret()
                yield token
                if self.model.config.ret_ends_reply:
                    self.reason = "stop"
                    return
            elif token_id in self.end_ids:
                self.reason = "stop"
                yield Token(token_id, ret_probability=self.ret_probability)
                return
            else:
                self.ids.append(token_id)
                self.state.pending.append(token_id)
                yield Token(token_id, self.text.push(token_id), ret_probability=self.ret_probability)
                if self.text.is_stopped:
                    self._cut_stop_string()
                    self.reason = "stop"
                    return

    def _next_id(self, hidden: Tensor) -> int:
        ret_id, step = self.model.language.ret_token_id, len(self.ids)
        self.ret_probability = None
        is_last = step + 1 >= self.settings.max_new_tokens or self.state.length + 1 >= self._max_positions
        if is_last and must_say_ret(self.settings, self.rets_said):
            return ret_id
        with torch.inference_mode():
            logits = self.model.next_logits(hidden)[0]
            if self.trace:
                self.ret_probability = probability(logits, ret_id)
            apply_ret_policy(logits, ret_id, self.settings, step, self.rets_said)
            return self.choose(logits, self.settings.temperature, self.settings.top_p, self.generator)

    @property
    def _max_positions(self) -> int:
        return self.model.language.max_positions

    @property
    def is_full(self) -> bool:
        """Whether there is no room for another token."""
        return len(self.ids) >= self.settings.max_new_tokens or self.state.length >= self._max_positions

    def say_ret(self) -> tuple[Token, Tensor]:
        """Feeds `[RET]`, even at the very last position; returns its token with the query, and what the head sees."""
        self.state.pending.append(self.model.language.ret_token_id)
        self.ids.append(self.model.language.ret_token_id)
        self.rets_said += 1
        output = self.state.feed()
        with torch.inference_mode():
            query = self.model.bridge.query_embeds([state[:, -1] for state in output.layers]).float().cpu()
        token = Token(self.model.language.ret_token_id, self.text.flush(), query.clone(), self.ret_probability)
        return token, output.hidden[:, -1]

    def _cut_stop_string(self) -> None:
        """Removes a stop string from the dialogue: positions after the visible text are forgotten.

        A token that spans visible text and the start of the stop string is replaced by the tokens of that text.
        """
        kept, visible = len(self.ids), self.text.visible
        while kept and len(self.model.language.decode(self.ids[:kept])) > len(visible):
            kept -= 1
        self.state.crop(self.start + kept)
        rest = visible[len(self.model.language.decode(self.ids[:kept])) :]
        self.state.pending += self.model.language.tokenize(rest)


Stream = Callable[..., Generator[Token, None, None]]
"""As `stream`."""


def stream(
    model: Fromage,
    state: DecodingState,
    inputs_embeds: Tensor,
    settings: GenerationSettings,
    *,
    choose: Chooser = sampling.choose,
    stop_strings: Sequence[str] = (),
    stop_ids: Collection[int] = (),
    trace: bool = False,
    cancel: threading.Event | None = None,
    generator: torch.Generator | None = None,
) -> Generator[Token]:
    """Generates one reply.

    Everything said, `[RET]` included, is then part of the state; end-of-text tokens and stop strings are not.
    `state.finish_reason` says why the reply ended.

    Args:
        model: the model.
        state: the dialogue so far; extended in place, even if the caller stops reading early.
        inputs_embeds: the new part of the prompt, (1, T, D); what came before is in the state.
        settings: how to choose tokens.
        choose: chooses a token from logits to which the policy on `[RET]` has been applied.
        stop_strings: the reply ends before the first of these.
        stop_ids: tokens that end it, besides end of text.
        trace: whether to note how likely `[RET]` was at each step.
        cancel: when set, the reply ends within one token.
        generator: random numbers, on the CPU; None makes one from `settings.seed`.

    Raises:
        MessageError: the prompt does not fit into the LM's positions; the state is as before.
    """
    if generator is None and settings.seed is not None:
        generator = torch.Generator().manual_seed(settings.seed)
    state.finish_reason = None
    hidden = state.feed(inputs_embeds).hidden[:, -1]
    text = TextStream(model.language.decode, stop_strings)
    end_ids = model.language.eos_ids.union(stop_ids)
    reply = _Generation(model, state, settings, choose, generator, trace, text, end_ids, state.length)
    yield from reply.tokens(hidden, cancel)
    if rest := text.flush():
        yield Token(None, rest)
    has_room = state.length < model.language.max_positions
    if reply.reason == "stop" and has_room and must_say_ret(settings, reply.rets_said):
        reply.ret_probability = None  # it was forced, not chosen
        yield reply.say_ret()[0]
    state.finish_reason = reply.reason
