"""Training data of the bridge for photographs: texts, and simulated class probabilities in place of pictures."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from functools import partial

import numpy as np
from torch import Tensor

from fromage_lite.errors import ConfigError
from fromage_lite.model.fromage import Fromage
from fromage_lite.photos.pretraining.tags import TagTable, slot_ids
from fromage_lite.photos.text import asking, documents, pictures
from fromage_lite.photos.text.document import Document, Mixture, Picture, as_typed, length
from fromage_lite.photos.text.searches import search
from fromage_lite.photos.text.words import NAMES
from fromage_lite.photos.world.classes import CLASSES
from fromage_lite.photos.world.nouns import with_article
from fromage_lite.text.forms.document import as_turns
from fromage_lite.text.templates import get_template
from fromage_lite.training.data.interleaved import (
    Example,
    Image,
    Ret,
    Text,
    TrainingData,
    TrainingTurn,
    dialogue_example,
)
from fromage_lite.training.recipe import Recipe

_DIALOGUES: dict[Callable[[random.Random], Document], float] = {
    search: 5.0,
    asking.requests: 3.0,
    documents.shown_then_asked_for: 2.5,
    documents.picture_questions: 0.8,
    documents.conversation: 0.5,
    documents.mixed_dialogue: 0.8,
}
ToExample = Callable[[Sequence[TrainingTurn]], Example]
SIZES = {"captions", "dialogues", "validation"}  # what a recipe's [data] says
_LONGEST = 380  # tokens of a dialogue, about: with those that misspelt words take, it fits the recipe's max_tokens
_ALIKE = 0.5  # of one class, from which on pictures are alike
_VERSION = 1  # of the grammar and the simulator: raise it when texts or mixtures change


def photos_data(model: Fromage, recipe: Recipe, seed: int) -> tuple[TrainingData, str]:
    """A run's data, and a sentence on it. `recipe.data` says how much.

    Raises:
        ConfigError: the recipe does not say how much, or the model's parts are not those for photographs.
    """
    if set(recipe.data) != SIZES:
        raise ConfigError(
            f"The recipe {recipe.name} must give {', '.join(sorted(SIZES))} under [data].",
            "It may also be trained on a table of captions: --data.",
        )
    if model.vision.dim != len(CLASSES):
        raise ConfigError(
            f"The recipe {recipe.name} needs an image encoder that tells {len(CLASSES)} classes.",
            "Leave out --vision-encoder.",
        )
    template = get_template(model.config.prompt_template, model.language.tokenizer)
    to_example = partial(dialogue_example, template, ret_ends_reply=model.config.ret_ends_reply)
    tokenizer = model.language.tokenizer
    table = model.language.model.get_input_embeddings().weight.detach()
    visual_map = TagTable(tokenizer).to(table.device).visual_map(table, slot_ids(tokenizer))
    captions, dialogues, held_out = (recipe.data[name] for name in ("captions", "dialogues", "validation"))
    validation = _part(to_example, "val", min(captions, held_out), min(dialogues, held_out), seed)
    data = _part(to_example, "train", captions, dialogues, seed, visual_map, validation)
    count = f"{len(data.captions)} captions and {len(data.dialogues)} dialogues"
    return data, f"{count} over {len(data.features)} simulated photographs."


def _part(
    to_example: ToExample,
    split: str,
    n_captions: int,
    n_dialogues: int,
    seed: int,
    visual_map: tuple[Tensor, Tensor] | None = None,
    validation: TrainingData | None = None,
) -> TrainingData:
    rng = random.Random(f"photo bridge {split} {seed}")
    book = _Book()
    captions: list[tuple[str, int]] = []
    for _ in range(n_captions):
        number = rng.randrange(len(NAMES))
        captions.append((f"{with_article(NAMES[number])}.", book.row(pictures.of_class(number, rng))))
    dialogues = [_dialogue(rng, to_example, book) for _ in range(n_dialogues)]
    return TrainingData(
        features=np.stack(book.mixtures).astype(np.float16),
        captions=captions,
        dialogues=dialogues,
        groups=np.array([_group(mixture, row) for row, mixture in enumerate(book.mixtures)]),
        validation=validation,
        visual_map=visual_map,
        fingerprint=f"photos-{_VERSION}-{split}-{n_captions}-{n_dialogues}-{seed}",
    )


class _Book:
    """Gives every picture of the data its feature row."""

    def __init__(self) -> None:
        self.mixtures: list[Mixture] = []

    def row(self, mixture: Mixture) -> int:
        self.mixtures.append(mixture)
        return len(self.mixtures) - 1


def _group(mixture: Mixture, row: int) -> int:
    """Pictures that certainly show one class are alike; all others are like none."""
    return int(mixture.argmax()) if mixture.max() >= _ALIKE else len(NAMES) + row


def _dialogue(rng: random.Random, to_example: ToExample, book: _Book) -> Example:
    maker = rng.choices(list(_DIALOGUES), list(_DIALOGUES.values()))[0]
    if maker is search:
        return _search(search(rng), rng, book)
    document = as_typed(maker(rng), rng)
    while length(document) > _LONGEST:
        document = as_typed(maker(rng), rng)
    turns: list[TrainingTurn] = []
    for turn in as_turns(document):
        message = [Image(book.row(p.mixture)) if isinstance(p, Picture) else p for p in turn.message]
        turns.append((message, _reply(turn.reply, rng, book)))
    return to_example(turns)


def _reply(parts: Sequence[str | Picture], rng: random.Random, book: _Book) -> list[str | Ret | Image]:
    """A reply whose `[RET]` is taught to find what was found, if that is what was asked for, else what would be."""
    reply: list[str | Ret | Image] = []
    found: Picture | None = None
    for part, after in zip(parts, [*parts[1:], ""], strict=True):
        if isinstance(part, str):
            reply.append(part)
        elif part.answer:
            found = after if isinstance(after, Picture) and after.found and _fits(after.mixture, part) else None
            reply.append(Ret(book.row(found.mixture if found else _fitting(part, rng))))
        else:
            before = reply[-1]
            reply.append(Image(before.row if part is found and isinstance(before, Ret) else book.row(part.mixture)))
    return reply


def _search(document: Document, rng: random.Random, book: _Book) -> Example:
    """The words of a search and `[RET]`."""
    segments: list[Text | Image | Ret] = []
    for piece in document:
        if isinstance(piece, Picture):
            segments.append(Ret(book.row(_fitting(piece, rng))) if piece.answer else Image(book.row(piece.mixture)))
        else:
            segments.append(Text(piece.text))
    return Example(tuple(segments))


def _wanted(answer: Picture) -> Sequence[int]:
    """The classes that were asked for; of what is to be like a picture, its likeliest."""
    return [int(n) for n in np.flatnonzero(answer.mixture >= 0.5 * answer.mixture.max())]


def _fits(found: Mixture, answer: Picture) -> bool:
    return int(found.argmax()) in _wanted(answer)


def _fitting(answer: Picture, rng: random.Random) -> Mixture:
    return pictures.of_class(rng.choice(_wanted(answer)), rng)
