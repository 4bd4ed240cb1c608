"""Pretraining of the playground's language model: Llama architecture, text alone, from nothing."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from fromage_lite.playground.pretraining import corpus
from fromage_lite.playground.pretraining.corpus import EncodedDocument
from fromage_lite.playground.pretraining.tokenizer import train_tokenizer
from fromage_lite.playground.text.documents import described
from fromage_lite.playground.text.grammar import EMPTY_TAG, N_TAGS, PICTURE_START
from fromage_lite.playground.text.questions import questions
from fromage_lite.playground.world.scene import Split, sample_scene
from fromage_lite.playground.world.things import COLOURS, NUMBERS, SETTINGS, SIZES, THINGS
from fromage_lite.pretraining.lm import greedy_answers, make_model, save
from fromage_lite.pretraining.loop import State, optimizer_for, run
from fromage_lite.pretraining.tokenizer import PAD_ID

TAGS = (EMPTY_TAG, *SETTINGS, *NUMBERS[1:], *SIZES, *COLOURS, *THINGS)
_TAG_INDEX = {tag: i for i, tag in enumerate(TAGS)}
PEAK_RATES = (7e-4, 4e-4)
"""Highest learning rate of the first round of training, and of the later ones."""
_MAX_NOISE = 0.6
"""Largest standard deviation of the noise on shown tags, as a share of the embeddings' own."""


def make_tokenizer(out: Path, seed: int = 0, documents: int = 30_000) -> None:
    """Train the tokenizer on a sample of the corpus."""
    rng = random.Random(seed)
    texts = [corpus.as_text(corpus.random_document(rng)) for _ in range(documents)]
    # Each tag once more by itself, so that all of them are single tokens.
    train_tokenizer(texts + [f" {tag}" for tag in TAGS] * 200, out)


def collate(documents: list[EncodedDocument]) -> dict[str, Tensor]:
    """Right-padded `input_ids` (batch, length), `weights`, `noisy`; `span_at` (n, 2) and `span_tags` (n, N_TAGS)."""
    length = max(len(d.ids) for d in documents)
    pad = [length - len(d.ids) for d in documents]
    spans = [(row, at, words) for row, d in enumerate(documents) for at, words in d.spans]
    return {
        "input_ids": torch.tensor([d.ids + [PAD_ID] * n for d, n in zip(documents, pad, strict=True)]),
        "weights": torch.tensor([d.weights + [0.0] * n for d, n in zip(documents, pad, strict=True)]),
        "noisy": torch.tensor([d.noisy + [False] * n for d, n in zip(documents, pad, strict=True)]),
        "span_at": torch.tensor([(row, at) for row, at, _ in spans], dtype=torch.long).reshape(-1, 2),
        "span_tags": torch.tensor([[_TAG_INDEX[w] for w in words] for _, _, words in spans]).reshape(-1, N_TAGS),
    }


class Pretrainer:
    """Next-token cross-entropy, and at each told `[` the prediction of all tags to come (multi-token prediction).

    The extra heads are thrown away after training; they make the hidden state at the start of a picture span hold the
    whole picture, not only its first tag.
    """

    def __init__(self, model: Any, device: str) -> None:
        self.model = model.to(device).train()
        if device == "cpu":
            # On short texts the CPU's fused attention takes a third of the whole step in its backward pass.
            self.model.set_attn_implementation("eager")
        self.tag_heads = nn.Linear(model.config.hidden_size, N_TAGS * len(TAGS)).to(device)
        self.device = device

    def __call__(self, documents: list[EncodedDocument]) -> dict[str, float]:
        batch = {key: value.to(self.device) for key, value in collate(documents).items()}
        with torch.autocast(self.device, torch.bfloat16):
            next_token, tag = self._losses(batch)
        (next_token + 0.5 * tag).backward()
        return {"loss": next_token.item(), "tags": tag.item()}

    def _losses(self, batch: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
        ids = batch["input_ids"]
        table = self.model.get_input_embeddings()
        inputs_embeds = table(ids)
        level = _MAX_NOISE * torch.rand(len(ids), 1, 1, device=ids.device) * table.weight.detach().std()
        inputs_embeds = inputs_embeds + batch["noisy"].unsqueeze(-1) * level * torch.randn_like(inputs_embeds)
        hidden = self.model.model(inputs_embeds=inputs_embeds).last_hidden_state
        keep = batch["weights"][:, 1:] > 0
        logits = self.model.lm_head(hidden[:, :-1][keep]).float()
        weights = batch["weights"][:, 1:][keep]
        next_token = (F.cross_entropy(logits, ids[:, 1:][keep], reduction="none") * weights).sum() / weights.sum()
        rows, columns = batch["span_at"].unbind(1)
        if len(rows) == 0:
            return next_token, next_token.new_zeros(())
        tag_logits = self.tag_heads(hidden[rows, columns]).float().view(-1, len(TAGS))
        return next_token, F.cross_entropy(tag_logits, batch["span_tags"].flatten())


def text_questions(n: int, seed: int, split: Split = "val", spans: bool = False) -> list[tuple[str, str, str]]:
    """`(prompt, right answer, kind)` about scenes described in words (or, with `spans`, in tags), one question each."""
    from fromage_lite.playground.text.grammar import span

    rng = random.Random(f"text questions {seed}")
    rows: list[tuple[str, str, str]] = []
    while len(rows) < n:
        scene = sample_scene(rng, split)
        question = questions(scene, rng, 1)[0]
        head = f"Q:{span(scene)} {question.text}\nA:" if spans else f"{described(scene, rng)}\nQ: {question.text}\nA:"
        rows.append((head, question.answer, question.kind))
    return rows


def text_accuracy(
    model: Any, tokenizer: Any, n: int = 500, seed: int = 1, split: Split = "val", spans: bool = False
) -> float:
    """Share of right answers about described scenes, text alone."""
    rows = text_questions(n, seed, split, spans)
    answers = greedy_answers(model, tokenizer, [prompt for prompt, _, _ in rows])
    return sum(answer == right for answer, (_, right, _) in zip(answers, rows, strict=True)) / n


def pretrain(
    work: Path,
    out: Path,
    *,
    steps: Sequence[int],
    tokens: int = 4096,
    seed: int = 0,
    device: str = "cpu",
) -> None:
    """Train tokenizer and LM and write them to `out`; `work` holds the states that an interrupted run resumes from.

    Each number of steps is a round with a warm-up, a peak rate and a decay of its own.
    """
    from transformers import AutoTokenizer

    if not (out / "tokenizer.json").exists():
        make_tokenizer(out, seed)
    tokenizer = AutoTokenizer.from_pretrained(out)
    torch.manual_seed(seed)
    trainer = Pretrainer(make_model(len(tokenizer)), device)
    for number, count in enumerate(steps):
        before = sum(steps[:number])
        state = work / ("lm.pt" if number == 0 else f"lm-{number + 1}.pt")
        train_round(
            trainer,
            tokenizer,
            state,
            steps=count,
            peak_lr=PEAK_RATES[min(number, 1)],
            batches=partial(_batches, tokenizer, seed, before, tokens),
        )
    save(trainer.model, tokenizer, out, suppressed=(PICTURE_START,))


def train_on(
    folder: Path,
    work: Path,
    out: Path,
    *,
    round_number: int,
    steps: int,
    before: int,
    tokens: int = 4096,
    seed: int = 0,
    device: str = "cpu",
) -> None:
    """One more round from finished weights in `folder`, into `out`.

    The heads that foretell tags begin anew: they are not kept with the weights.

    Args:
        folder: an LM that `pretrain` or this wrote.
        work: holds the state that an interrupted round resumes from.
        out: the folder to write.
        round_number: of this round, counted from 1.
        steps: of this round.
        before: steps of all rounds so far; the text goes on from there.
        tokens: positions a step.
        seed: of the text and of the heads.
        device: where to train.
    """
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder)
    torch.manual_seed(seed)
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    trainer = Pretrainer(model, device)
    train_round(trainer, tokenizer, work / f"lm-{round_number}.pt", steps=steps, peak_lr=PEAK_RATES[1],
                batches=partial(_batches, tokenizer, seed, before, tokens))  # fmt: skip
    save(trainer.model, tokenizer, out, suppressed=(PICTURE_START,))


def _batches(tokenizer: Any, seed: int, before: int, tokens: int, step: int) -> Iterator[list[EncodedDocument]]:
    return corpus.batches(tokenizer, seed, before + step, tokens)


def train_round(
    trainer: Pretrainer,
    tokenizer: Any,
    file: Path,
    *,
    steps: int,
    peak_lr: float,
    batches: Callable[[int], Iterator[list[EncodedDocument]]],
) -> None:
    """Train on from the trainer's weights, or from the state in `file` if the round was begun."""
    model = trainer.model
    optimizer = optimizer_for([model, trainer.tag_heads], 0.05, (0.9, 0.95))
    state = State(file, {"model": model, "tag_heads": trainer.tag_heads}, optimizer)

    def evaluate() -> dict[str, float]:
        model.eval()
        with torch.autocast(trainer.device, torch.bfloat16):
            scores = {
                "text_qa": text_accuracy(model, tokenizer, 200),
                "span_qa": text_accuracy(model, tokenizer, 200, spans=True),
            }
        model.train()
        return scores

    run("lm", state, batches, trainer, steps=steps, peak_lr=peak_lr, evaluate=evaluate, evaluate_every=500)
