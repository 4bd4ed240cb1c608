"""Beam search over a KV cache, for one prompt or for many at once; one beam is greedy decoding in batches.

Shapes: B prompts, K beams, T positions, D width of the LM's embeddings, N = vocab_size + 1.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import torch
from torch import Tensor

from fromage_lite.errors import MessageError
from fromage_lite.model.fromage import Fromage
from fromage_lite.model.sampling import FORBIDDEN

_FAR_BELOW = -1e9  # the score of a beam that does not exist yet; finite, so that it can be added to


class Beam(NamedTuple):
    """A text, and the log-probability of its tokens (with the one that ended it) over their number to the power of the
    length penalty."""

    text: str
    score: float


def beam_search(
    model: Fromage,
    inputs_embeds: Tensor,
    n_beams: int = 3,
    max_new_tokens: int = 40,
    length_penalty: float = 1.0,
    *,
    stop_strings: Sequence[str] = (),
    stop_ids: Collection[int] = (),
) -> list[Beam]:
    """The `n_beams` best continuations of a prompt (1, T, D), the best first; see `beam_search_batch`."""
    return beam_search_batch(
        model,
        inputs_embeds,
        n_beams,
        max_new_tokens,
        length_penalty,
        stop_strings=stop_strings,
        stop_ids=stop_ids,
    )[0]


@torch.inference_mode()
def beam_search_batch(
    model: Fromage,
    inputs_embeds: Tensor,
    n_beams: int = 3,
    max_new_tokens: int = 40,
    length_penalty: float = 1.0,
    *,
    mask: Tensor | None = None,
    stop_strings: Sequence[str] = (),
    stop_ids: Collection[int] = (),
) -> list[list[Beam]]:
    """The best continuations of each prompt, the best first, as `generate` of transformers searches for them.

    A prompt is read once, whatever the number of beams. `[RET]` and what the model never says (`suppressed_ids`) are
    left out; the probabilities are those of the other tokens.

    Args:
        model: the model.
        inputs_embeds: (B, T, D), the prompts, padded on the left.
        n_beams: K; 1 is greedy.
        max_new_tokens: a longer text is cut there, and competes as it is.
        length_penalty: a score is divided by the number of tokens to this power; 0 leaves the plain log-probability.
        mask: (B, T) bool, false at padding; None is no padding.
        stop_strings: a text ends before the first of these.
        stop_ids: tokens that end it, besides end of text.

    Returns:
        For each prompt K texts, or fewer where the model has no more.

    Raises:
        MessageError: prompts and texts do not fit into the LM's positions.
        ValueError: a number is out of range.
    """
    if n_beams < 1 or max_new_tokens < 1:
        raise ValueError("beam search needs at least one beam and one token")
    language = model.language
    n_prompts, length, _ = inputs_embeds.shape
    if length + max_new_tokens > language.max_positions:
        room = f"{length} tokens and {max_new_tokens} new ones do not fit into {language.max_positions} positions"
        raise MessageError(f"{room} of the language model.", "Shorten the prompt, or ask for fewer new tokens.")
    end_ids = language.eos_ids.union(stop_ids)
    searches = [_Search(model, n_beams, length_penalty, end_ids, tuple(stop_strings)) for _ in range(n_prompts)]
    cache = language.new_cache(batched=True)
    embeds = inputs_embeds.to(device=language.device, dtype=language.dtype)
    hidden = language.forward(embeds, cache, mask=mask).hidden[:, -1]  # (B, head_dim)
    rows = torch.arange(n_prompts).repeat_interleave(n_beams)
    cache.reorder_cache(rows)
    hidden, mask = hidden[rows], None if mask is None else mask[rows]
    for step in range(max_new_tokens):
        rows = _advance(model, searches, hidden, n_beams, is_last=step + 1 == max_new_tokens)
        if all(search.is_done for search in searches) or step + 1 == max_new_tokens:
            break
        cache.reorder_cache(rows)
        if mask is not None:
            mask = torch.nn.functional.pad(mask[rows], (0, 1), value=True)
        last = torch.tensor([[beam[-1]] for search in searches for beam in search.running])  # (B * K, 1)
        hidden = language.forward(language.embed(last, model.bridge.ret_row), cache, mask=mask).hidden[:, -1]
    return [search.best() for search in searches]


def _advance(model: Fromage, searches: Sequence[_Search], hidden: Tensor, n_beams: int, is_last: bool) -> Tensor:
    """Every search takes its next tokens; returns the cache's rows (B * K,) that they continue.

    Args:
        hidden: what the head sees, (B * K, head_dim).
        is_last: whether no token comes after these.
    """
    logits = model.next_logits(hidden)  # (B * K, N)
    logits[:, model.language.ret_token_id] = FORBIDDEN
    told = logits.log_softmax(dim=-1).view(len(searches), n_beams, -1)
    so_far = torch.tensor([search.scores for search in searches], device=told.device)  # (B, K)
    totals = (so_far[..., None] + told).flatten(1)  # (B, K * N)
    scores, places = (part.tolist() for part in totals.topk(min(2 * n_beams, totals.shape[1])))
    rows: list[int] = []
    for number, search in enumerate(searches):
        came_from = search.take(scores[number], [divmod(place, told.shape[-1]) for place in places[number]], is_last)
        rows += [number * n_beams + beam for beam in came_from]
    return torch.tensor(rows)


@dataclass
class _Search:
    """The beams of one prompt.

    Attributes:
        running: the ids of each unfinished beam, K of them.
        scores: the log-probability of each.
        finished: (ids of the text, score) of those that ended, at most K.
        is_done: whether no unfinished beam can still become one of the best.
    """

    model: Fromage
    n_beams: int
    length_penalty: float
    end_ids: frozenset[int]
    stop_strings: tuple[str, ...]
    running: list[list[int]] = field(default_factory=list)
    scores: list[float] = field(default_factory=list)
    finished: list[tuple[str, float]] = field(default_factory=list)
    is_done: bool = False

    def __post_init__(self) -> None:
        self.running = [[] for _ in range(self.n_beams)]
        self.scores = [0.0] + [_FAR_BELOW] * (self.n_beams - 1)

    def take(self, scores: Sequence[float], steps: Sequence[tuple[int, int]], is_last: bool) -> list[int]:
        """Extends the beams by the best steps; returns which beam each new one continues.

        Args:
            scores: of the 2 K best, in order.
            steps: (beam, token) of each.
            is_last: whether the texts end here in any case.
        """
        if self.is_done:
            return list(range(self.n_beams))
        length = len(self.running[0]) + 1
        came_from: list[int] = []
        running: list[list[int]] = []
        kept: list[float] = []
        for rank, (score, (beam, token)) in enumerate(zip(scores, steps, strict=True)):
            if score <= _FAR_BELOW / 2:  # it continues a beam that does not exist, or by a forbidden token
                continue
            ids = [*self.running[beam], token]
            text = self._ended(ids)
            if text is not None:
                if rank < self.n_beams:
                    self._finish(text, score, length)
            elif len(running) < self.n_beams:
                came_from.append(beam)
                running.append(ids)
                kept.append(score)
        if is_last:
            for ids, score in zip(running, kept, strict=True):
                self._finish(self.model.language.decode(ids), score, length)
        best = kept[0] / length**self.length_penalty if kept else float("-inf")
        self.is_done = not kept or (len(self.finished) == self.n_beams and self.finished[-1][1] >= best)
        missing = self.n_beams - len(running)
        self.running = running + [[0] * length] * missing
        self.scores = kept + [_FAR_BELOW] * missing
        return came_from + [0] * missing

    def _ended(self, ids: list[int]) -> str | None:
        """The text if its last token ended it, else None."""
        decode = self.model.language.decode
        if ids[-1] in self.end_ids:
            return decode(ids[:-1])
        if not self.stop_strings or not (ends := {stop[-1] for stop in self.stop_strings} & set(decode(ids[-1:]))):
            return None
        text = decode(ids)
        places = [text.find(stop) for stop in self.stop_strings if stop[-1] in ends and stop in text]
        return text[: min(places)] if places else None

    def _finish(self, text: str, score: float, length: int) -> None:
        self.finished.append((text, score / length**self.length_penalty))
        self.finished.sort(key=lambda entry: -entry[1])
        del self.finished[self.n_beams :]

    def best(self) -> list[Beam]:
        """The finished texts, the best first."""
        return [Beam(text, score) for text, score in self.finished]
