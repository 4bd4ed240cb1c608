"""Incremental decoding: one KV cache for the life of a dialogue, and the query at every `[RET]`."""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Generator, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from fromage_lite.config import GenerationSettings
from fromage_lite.errors import MessageError
from fromage_lite.language.model import LMOutput
from fromage_lite.model import sampling
from fromage_lite.model.fromage import Fromage
from fromage_lite.model.sampling import Chooser, apply_ret_policy, must_say_ret, probability
from fromage_lite.text.streaming import FinishReason, TextStream


@dataclass(frozen=True)
class Token:
    """One step of a reply.

    Attributes:
        id: the generated token; None if this only releases text that was held back.
        text: what may be shown now; whole characters, never part of a stop string.
        query_embeds: at `[RET]` where it points in the retrieval space, (1, R) float32 on the CPU; else None.
        ret_probability: how likely `[RET]` was at this step for the model itself, before bias, temperature and policy;
            None where nobody asked.
    """

    id: int | None
    text: str = ""
    query_embeds: Tensor | None = None
    ret_probability: float | None = None


class DecodingState:
    """What the language model remembers of a dialogue.

    Positions are counted as the LM sees them (an image takes `n_visual_tokens`). The last generated token waits in
    `pending` and is fed with whatever comes next: a forward pass of its own would be wasted.

    Attributes:
        pending: ids that belong to the dialogue and are not in the cache yet.
        finish_reason: why the last reply ended; None while it runs or after it was abandoned.
    """

    def __init__(self, model: Fromage) -> None:
        self._model = model
        self._cache = model.language.new_cache()
        self._cached = 0
        # Where the cache can't be cropped, what was read is kept, and read again after a crop.
        self._history: list[Tensor] | None = None if model.language.can_crop else []
        self._unread: Tensor | None = None  # (1, T, D), to be read again before anything else
        self.pending: list[int] = []
        self.finish_reason: FinishReason | None = None

    @property
    def length(self) -> int:
        """Positions of the dialogue so far."""
        return self._cached + self._waiting + len(self.pending)

    @property
    def cached(self) -> int:
        """Positions that the KV cache holds."""
        return self._cached

    def crop(self, length: int) -> None:
        """Forgets everything after the first `length` positions.

        Raises:
            ValueError: if there are fewer.
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
            self._cache.crop(-surplus)  # negative: how many positions to remove
        self._cached -= surplus

    @torch.inference_mode()
    def feed(self, inputs_embeds: Tensor | None = None) -> LMOutput:
        """Runs the LM over `pending` and then `inputs_embeds` (1, T, D); both are in the cache afterwards. The output's
        last positions are theirs.

        Raises:
            MessageError: if they do not fit into the LM's positions; nothing has changed then.
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
        """After an interrupted pass some layers have grown and others have not: cut each to its old length."""
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
        """Begins a new cache, with the first `length` positions to be read before anything else."""
        assert self._history is not None
        parts = [*self._history, *([] if self._unread is None else [self._unread])]
        self._cache, self._cached, self._history = self._model.language.new_cache(), 0, []
        self._unread = torch.cat(parts, dim=1)[:, :length] if length else None


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

    Everything said, `[RET]` too, belongs to the state afterwards; end-of-text tokens and stop strings do not. The
    reason of the end is in `state.finish_reason`.

    Args:
        model: the model.
        state: the dialogue so far; grown in place, also if the caller stops reading early.
        inputs_embeds: the new part of the prompt, (1, T, D); what came before is in the state.
        settings: how to choose tokens.
        choose: chooses a token; the policy on `[RET]` is in its logits already.
        stop_strings: the reply ends before the first of these.
        stop_ids: further tokens that end it, as end of text does.
        trace: whether to note how likely `[RET]` was at each step.
        cancel: when set, the reply ends within one token.
        generator: source of chance on the CPU; None makes one from `settings.seed`.

    Raises:
        MessageError: the prompt does not fit into the LM's positions; the state is as before.
    """
    if generator is None and settings.seed is not None:
        generator = torch.Generator().manual_seed(settings.seed)
    state.finish_reason = None
    hidden = state.feed(inputs_embeds).hidden[:, -1]
    text = TextStream(model.language.decode, stop_strings)
    reply = _Reply(model, state, settings, choose, trace, text, start=state.length)
    reason = yield from reply.tokens(hidden, stop_ids, cancel, generator)
    if rest := text.flush():
        yield Token(None, rest)
    has_room = state.length < model.language.max_positions
    if reason == "stop" and must_say_ret(settings, reply.rets_said) and has_room:
        reply.ret_probability = None  # it was forced, not chosen
        yield reply.say_ret()[0]
    state.finish_reason = reason


@dataclass
class _Reply:
    """One reply being made."""

    model: Fromage
    state: DecodingState
    settings: GenerationSettings
    choose: Chooser
    trace: bool
    text: TextStream
    start: int  # length of the dialogue where the reply begins
    ids: list[int] = field(default_factory=list)
    rets_said: int = 0
    ret_probability: float | None = None  # at the last choice

    def tokens(
        self,
        hidden: Tensor,
        stop_ids: Collection[int],
        cancel: threading.Event | None,
        generator: torch.Generator | None,
    ) -> Generator[Token, None, FinishReason]:
        """The tokens up to the reply's end, and why it ended; `hidden` is what the head sees after the prompt."""
        language, state = self.model.language, self.state
        while not self.is_full:
            if cancel is not None and cancel.is_set():
                return "cancelled"
            if state.pending:
                hidden = state.feed().hidden[:, -1]
            token_id = self.next_id(hidden, generator)
            if token_id == language.ret_token_id:
                token, hidden = self.say_ret()
                yield token
                if self.model.config.ret_ends_reply:
                    return "stop"
                continue
            if token_id in language.eos_ids or token_id in stop_ids:
                yield Token(token_id, ret_probability=self.ret_probability)
                return "stop"
            self.ids.append(token_id)
            state.pending.append(token_id)
            yield Token(token_id, self.text.push(token_id), ret_probability=self.ret_probability)
            if self.text.is_stopped:
                self.cut_stop_string()
                return "stop"
        return "length"

    def next_id(self, hidden: Tensor, generator: torch.Generator | None) -> int:
        """The next token, given what the head sees (1, head_dim)."""
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
            return self.choose(logits, self.settings.temperature, self.settings.top_p, generator)

    @property
    def _max_positions(self) -> int:
        return self.model.language.max_positions

    @property
    def is_full(self) -> bool:
        """Whether the reply has no room for another token."""
        return len(self.ids) >= self.settings.max_new_tokens or self.state.length >= self._max_positions

    def say_ret(self) -> tuple[Token, Tensor]:
        """Feeds `[RET]`, even at the very last position, and reads where it points; also what the head sees there."""
        self.state.pending.append(self.model.language.ret_token_id)
        self.ids.append(self.model.language.ret_token_id)
        self.rets_said += 1
        output = self.state.feed()
        with torch.inference_mode():
            query = self.model.bridge.query_embeds([state[:, -1] for state in output.layers]).float().cpu()
        token = Token(self.model.language.ret_token_id, self.text.flush(), query.clone(), self.ret_probability)
        return token, output.hidden[:, -1]

    def cut_stop_string(self) -> None:
        """Takes a stop string out of the dialogue again: positions after the visible text are forgotten.

        A token that holds visible text and the beginning of the stop string is replaced by the tokens of that text.
        """
        kept, visible = len(self.ids), self.text.visible
        while kept and len(self.model.language.decode(self.ids[:kept])) > len(visible):
            kept -= 1
        self.state.crop(self.start + kept)
        rest = visible[len(self.model.language.decode(self.ids[:kept])) :]
        self.state.pending += self.model.language.tokenize(rest)
