"""Pretraining of the language model for photographs: Llama architecture, text alone, from nothing.

A picture stands in its text as a span of visual tokens, each the sum of a token for its place and of the embeddings of
one tag, weighted by the probabilities of the classes. Linear heads, thrown away after training, help it on. Half-way
up, one reads the whole mixture at the end of a span, and one the classes that a word means at the thing that a question
asks for; a layer further, one tells there how much of it the pictures have. At the top, one foretells at a `[` given in
answer the classes that were asked for.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from fromage_lite.photos.pretraining import corpus
from fromage_lite.photos.pretraining.corpus import EncodedDocument, Encoder
from fromage_lite.photos.pretraining.measuring import scores
from fromage_lite.photos.pretraining.tags import TagTable, slot_ids
from fromage_lite.photos.pretraining.tokenizer import make_tokenizer
from fromage_lite.photos.text.words import N_TAGS, PICTURE_START
from fromage_lite.photos.world.classes import CLASSES
from fromage_lite.pretraining.lm import make_model, save
from fromage_lite.pretraining.loop import State, optimizer_for, run
from fromage_lite.pretraining.tokenizer import PAD_ID

PEAK_RATES = (1e-3, 8e-4, 6e-4)
"""Highest learning rate of the first, the second, and the later rounds of training."""
_WARMUPS = (200, 60)
TOKENS = 4096
"""Positions of a step."""
_READ_LAYER, _SHARE_LAYER = 2, 3
_WEIGHTS = {"loss": 1.0, "read": 0.3, "asked": 0.5, "meant": 0.15, "share": 1.0}
_SHARES = 3  # of the picture that is meant; of the first and of the second of two


def collate(documents: list[EncodedDocument]) -> dict[str, Tensor]:
    """Right-padded `input_ids` (batch, length) and `weights`; `span_at`, `asked_at` (n, 2) with their mixtures;
    `thing_at` (n, 2) with `thing_meant` (n, classes) and `thing_shares` (n, 3), NaN where there is none."""
    length = max(len(d.ids) for d in documents)
    pad = [length - len(d.ids) for d in documents]
    batch = {
        "input_ids": torch.tensor([d.ids + [PAD_ID] * n for d, n in zip(documents, pad, strict=True)]),
        "weights": torch.tensor([d.weights + [0.0] * n for d, n in zip(documents, pad, strict=True)]),
    }
    for name, pictures in (("span", [d.spans for d in documents]), ("asked", [d.asked for d in documents])):
        rows = [(row, at, mixture) for row, found in enumerate(pictures) for at, mixture in found]
        batch[f"{name}_at"] = torch.tensor([row[:2] for row in rows], dtype=torch.long).reshape(-1, 2)
        mixtures = np.stack([row[2] for row in rows]) if rows else np.zeros((0, len(CLASSES)), np.float32)
        batch[f"{name}_mixtures"] = torch.from_numpy(mixtures)
    things = [(row, at, asked) for row, d in enumerate(documents) for at, asked in d.things]
    batch["thing_at"] = torch.tensor([thing[:2] for thing in things], dtype=torch.long).reshape(-1, 2)
    meant = torch.zeros(len(things), len(CLASSES))
    shares = torch.full((len(things), _SHARES), float("nan"))
    for number, (_, _, asked) in enumerate(things):
        meant[number, list(asked.classes)] = 1 / len(asked.classes)
        places = slice(1, None) if len(asked.shares) == 2 else slice(0, 1)
        shares[number, places] = torch.tensor(asked.shares)
    return batch | {"thing_meant": meant, "thing_shares": shares}


class Pretrainer:
    """Next-token cross-entropy, and the cross-entropies of the two heads."""

    def __init__(self, model: Any, tokenizer: Any, device: str) -> None:
        self.model = model.to(device).train()
        if device == "cpu":
            # On short texts the CPU's fused attention takes a third of the whole step in its backward pass.
            self.model.set_attn_implementation("eager")
        width = model.config.hidden_size
        sizes = {"read": len(CLASSES), "asked": len(CLASSES), "meant": len(CLASSES), "share": _SHARES}
        self.heads = nn.ModuleDict({name: nn.Linear(width, size) for name, size in sizes.items()}).to(device)
        self.tags = TagTable(tokenizer).to(device)
        self.device = device

    def __call__(self, documents: list[EncodedDocument]) -> dict[str, float]:
        batch = {key: value.to(self.device) for key, value in collate(documents).items()}
        with torch.autocast(self.device, torch.bfloat16):
            losses = self._losses(batch)
        torch.stack([_WEIGHTS[name] * loss for name, loss in losses.items()]).sum().backward()
        return {name: loss.item() for name, loss in losses.items()}

    def _losses(self, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        ids = batch["input_ids"]
        table = self.model.get_input_embeddings()
        inputs_embeds = self.tags.fill(table(ids), table.weight, batch["span_at"], batch["span_mixtures"])
        output = self.model.model(inputs_embeds=inputs_embeds, output_hidden_states=True)
        hidden = output.last_hidden_state
        keep = batch["weights"][:, 1:] > 0
        logits = self.model.lm_head(hidden[:, :-1][keep]).float()
        weights = batch["weights"][:, 1:][keep]
        next_token = (F.cross_entropy(logits, ids[:, 1:][keep], reduction="none") * weights).sum() / weights.sum()
        rows, columns = batch["span_at"].unbind(1)
        ends = output.hidden_states[_READ_LAYER][rows, columns + N_TAGS]  # at the `]`
        read = _divergence(self.heads["read"](ends), batch["span_mixtures"])
        rows, columns = batch["asked_at"].unbind(1)
        asked = _divergence(self.heads["asked"](hidden[rows, columns]), batch["asked_mixtures"])
        rows, columns = batch["thing_at"].unbind(1)
        meant = _divergence(self.heads["meant"](output.hidden_states[_READ_LAYER][rows, columns]), batch["thing_meant"])
        told = self.heads["share"](output.hidden_states[_SHARE_LAYER][rows, columns])
        share = _share_loss(told, batch["thing_shares"])
        return {"loss": next_token, "read": read, "asked": asked, "meant": meant, "share": share}


def _divergence(logits: Tensor, wanted: Tensor) -> Tensor:
    """Kullback-Leibler divergence from the wanted probabilities, mean over rows; 0 where there are none."""
    if len(wanted) == 0:
        return logits.new_zeros(())
    entropy = torch.special.entr(wanted).sum(1)
    return (F.cross_entropy(logits.float(), wanted, reduction="none") - entropy).mean()


def _share_loss(logits: Tensor, shares: Tensor) -> Tensor:
    """Binary cross-entropy of shares, where there are any, above the least that it can be."""
    is_there = ~shares.isnan()
    if not is_there.any():
        return logits.new_zeros(())
    wanted = shares[is_there].clamp(0, 1)
    least = torch.special.entr(wanted) + torch.special.entr(1 - wanted)
    return (F.binary_cross_entropy_with_logits(logits[is_there].float(), wanted, reduction="none") - least).mean()


def pretrain(
    work: Path, out: Path, *, steps: Sequence[int], tokens: int = TOKENS, seed: int = 0, device: str = "cpu"
) -> None:
    """Train tokenizer and LM and write them to `out`; `work` holds the states that an interrupted run resumes from.

    Each number of steps is a round with a warm-up, a peak rate and a decay of its own.
    """
    from transformers import AutoTokenizer

    if not (out / "tokenizer.json").exists():
        make_tokenizer(out, seed)
    tokenizer = AutoTokenizer.from_pretrained(out)
    torch.manual_seed(seed)
    trainer = Pretrainer(make_model(len(tokenizer)), tokenizer, device)
    for number, count in enumerate(steps):
        state = work / ("lm.pt" if number == 0 else f"lm-{number + 1}.pt")
        train_round(
            trainer,
            tokenizer,
            state,
            steps=count,
            peak_lr=PEAK_RATES[min(number, len(PEAK_RATES) - 1)],
            warmup=_WARMUPS[min(number, len(_WARMUPS) - 1)],
            batches=partial(_batches, tokenizer, seed, sum(steps[:number]), tokens),
        )
        save(trainer.model, tokenizer, out, suppressed=(PICTURE_START,))


def _batches(tokenizer: Any, seed: int, before: int, tokens: int, step: int) -> Iterator[list[EncodedDocument]]:
    return corpus.batches(Encoder(tokenizer, slot_ids(tokenizer)), seed, before + step, tokens)


def train_round(
    trainer: Pretrainer,
    tokenizer: Any,
    file: Path,
    *,
    steps: int,
    peak_lr: float,
    warmup: int,
    batches: Callable[[int], Iterator[list[EncodedDocument]]],
) -> None:
    """Train on from the trainer's weights, or from the state in `file` if the round was begun."""
    model = trainer.model
    optimizer = optimizer_for([model, trainer.heads], 0.05, (0.9, 0.95))
    state = State(file, {"model": model, "heads": trainer.heads}, optimizer)

    def evaluate() -> dict[str, float]:
        model.eval()
        with torch.autocast(trainer.device, torch.bfloat16):
            measured = scores(model, tokenizer, trainer.tags, 60)
        model.train()
        return measured

    run(
        "lm",
        state,
        batches,
        trainer,
        steps=steps,
        peak_lr=peak_lr,
        warmup=warmup,
        evaluate=evaluate,
        evaluate_every=250,
    )
