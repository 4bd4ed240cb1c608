"""How well the LM answers while it is trained: one question on each of some pictures that no training text has."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from fromage_lite.photos.pretraining.corpus import EncodedDocument, Encoder
from fromage_lite.photos.pretraining.tags import TagTable, slot_ids
from fromage_lite.photos.text import pictures
from fromage_lite.photos.text.document import Document, Picture, Words, say_with
from fromage_lite.photos.text.pairs import pair_questions
from fromage_lite.photos.text.questions import ask
from fromage_lite.pretraining.tokenizer import EOS_ID


def _asked(kind: str, plain: bool = False) -> Callable[[random.Random], Document]:
    def make(rng: random.Random) -> Document:
        mixture = pictures.plain(rng.randrange(1000)) if plain else pictures.anything(rng)
        question = ask(mixture, rng, kind)
        return say_with([Picture(mixture)], question.text, question.answer)

    return make


CASES: dict[str, Callable[[random.Random], Document]] = {
    "plain_what": _asked("what", plain=True),
    "plain_yes_no": _asked("yes_no", plain=True),
    "what": _asked("what"),
    "kind": _asked("kind"),
    "yes_no": _asked("yes_no"),
    "guess": _asked("guess"),
    "use": _asked("use"),
    "which_one": lambda rng: pair_questions(*pictures.pair(rng), rng, 1, which=1.0),
    "pair": lambda rng: pair_questions(*pictures.pair(rng), rng, 1, which=0.0),
}


def scores(model: Any, tokenizer: Any, tags: TagTable, n: int, seed: int = 1) -> dict[str, float]:
    """Share of answers that are word for word right, by kind of question."""
    made: dict[str, float] = {}
    for name, make in CASES.items():
        rng = random.Random(f"measuring {name} {seed}")
        documents = [make(rng) for _ in range(n)]
        given = greedy_answers(model, tokenizer, tags, [document[:-1] for document in documents])
        right = [document[-1].text.strip() for document in documents if isinstance(document[-1], Words)]
        made[name] = float(np.mean([answer == wanted for answer, wanted in zip(given, right, strict=True)]))
    return made


@torch.no_grad()
def greedy_answers(
    model: Any, tokenizer: Any, tags: TagTable, prompts: Sequence[Document], max_new_tokens: int = 20
) -> list[str]:
    """The LM's greedy continuation of each prompt up to the end of the line."""
    encoder = Encoder(tokenizer, slot_ids(tokenizer))
    encoded = [encoder.encode(prompt) for prompt in prompts]
    answers = [""] * len(prompts)
    by_length: dict[int, list[int]] = {}
    for number, document in enumerate(encoded):
        by_length.setdefault(len(document.ids), []).append(number)
    for numbers in by_length.values():
        rows = _continued(model, tags, [encoded[number] for number in numbers], max_new_tokens)
        for number, ids in zip(numbers, rows.tolist(), strict=True):
            ids = ids[: ids.index(EOS_ID)] if EOS_ID in ids else ids
            answers[number] = tokenizer.decode(ids).split("\n")[0].strip()
    return answers


def _continued(model: Any, tags: TagTable, documents: list[EncodedDocument], max_new_tokens: int) -> Tensor:
    """Greedy tokens after documents of one length (without the `</s>` that ends them), (n, max_new_tokens)."""
    table = model.get_input_embeddings()
    ids = torch.tensor([document.ids[:-1] for document in documents], device=model.device)
    spans = [(row, *span) for row, document in enumerate(documents) for span in document.spans]
    at = torch.tensor([span[:2] for span in spans], dtype=torch.long, device=model.device).reshape(-1, 2)
    mixtures = torch.from_numpy(np.stack([span[2] for span in spans])).to(model.device) if spans else None
    embeds = table(ids) if mixtures is None else tags.fill(table(ids), table.weight, at, mixtures)
    output = model(inputs_embeds=embeds, use_cache=True)
    made = [output.logits[:, -1].argmax(-1)]
    for _ in range(max_new_tokens - 1):
        output = model(input_ids=made[-1][:, None], past_key_values=output.past_key_values, use_cache=True)
        made.append(output.logits[:, -1].argmax(-1))
    return torch.stack(made, dim=1)
