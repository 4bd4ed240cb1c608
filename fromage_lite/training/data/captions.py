"""Captions to learn from without pictures: out of a text file or a table, or written by the language model itself."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import chain, islice
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from fromage_lite.errors import ConfigError, DataError
from fromage_lite.files import expand_user
from fromage_lite.model.fromage import Fromage
from fromage_lite.progress import progress_bar
from fromage_lite.training.data.interleaved import TrainingData
from fromage_lite.training.data.stand_ins import Captions, stand_in_data
from fromage_lite.training.data.tables import VALIDATION_MOST, VALIDATION_SHARE, caption_faults
from fromage_lite.training.recipe import Recipe
from index.errors import ImageError, reason
from index.pictures.images import is_picture_name, open_image
from index.sources.tables import read_rows
from index.text import one_line

GENERATE = "generate:"
MOST = 500_000  # captions; the text tower reads some hundred a second on a CPU
MOST_PICTURES = 256
_LONGEST = 500  # characters
_AT_ONCE, _LONGEST_WRITTEN = 64, 40  # captions, tokens
_END = re.compile(r"[.\n]")


def caption_data(
    source: str, model: Fromage, recipe: Recipe, pictures: Path | None, seed: int
) -> tuple[TrainingData, str]:
    """Training data from captions alone, and a sentence about it.

    Args:
        source: a file, or `generate:N`.
        model: its encoder has a text tower.
        recipe: learns from texts.
        pictures: folder of some pictures to measure the gap with; None leaves it open.
        seed: of what is held out, the noise, and what is written.

    Raises:
        FromageError: the recipe learns from pictures, or the captions or pictures can't be used.
    """
    if recipe.learns_from != "texts":
        raise ConfigError(f"The recipe {recipe.name} learns from pictures.", "Use --recipe text-only with --captions.")
    shown = [] if pictures is None else read_pictures(pictures)
    if source.startswith(GENERATE):
        lines = _written(model, recipe, source, seed)
        where = " that the language model wrote"
    else:
        lines = read_captions(Path(expand_user(source)), model)
        where = f" from {source}"
    order = np.random.default_rng(seed).permutation(len(lines))
    held_out = min(VALIDATION_MOST, int(VALIDATION_SHARE * len(lines)))
    chosen = Captions([lines[i] for i in order[held_out:]], [lines[i] for i in order[:held_out]], source=where)
    with progress_bar("Reading the captions", "caption") as progress:
        return stand_in_data(model, chosen, shown, uses=uses(recipe, len(chosen.learnt)), seed=seed, progress=progress)


def uses(recipe: Recipe, captions: int) -> int:
    """How often a run sees each of so many captions."""
    return -(-recipe.steps * recipe.batch_size // captions)


def read_captions(path: Path, model: Fromage) -> list[str]:
    """The captions of a text file of one a line, or of a table (see `index.sources.tables.read_rows`), each once, in
    their order. Of more than `MOST`, the first.

    Raises:
        DataError: there are fewer than two.
        StoreError: the file can't be read.
    """
    fault_of = caption_faults(model)
    lines = (one_line(line, _LONGEST) for line in _lines(path))
    captions = list(dict.fromkeys(islice((line for line in lines if line and not fault_of(line)), MOST)))
    if len(captions) < 2:
        raise DataError(f"There are no captions in {path}.", "Write one a line.")
    return captions


def _lines(path: Path) -> Iterator[str]:
    rows = read_rows(path)
    first = list(islice(rows, 20))
    if any(row.caption and not row.problem for row in first):
        yield from (row.caption for row in chain(first, rows))
        return
    try:
        with path.open(encoding="utf-8-sig", errors="replace") as file:
            yield from file
    except OSError as error:
        raise DataError(f"{path} can't be read: {reason(error)}.") from error


def read_pictures(folder: Path) -> list[Image.Image]:
    """At most `MOST_PICTURES` of the pictures in a folder and those inside it; unreadable ones are left out.

    Raises:
        DataError: there are fewer than two.
    """
    found: list[Image.Image] = []
    for file in sorted(Path(expand_user(folder)).rglob("*")):
        if is_picture_name(file):
            try:
                found.append(open_image(file))
            except ImageError:
                continue
            if len(found) == MOST_PICTURES:
                break
    if len(found) < 2:
        raise DataError(f"There are no pictures in {folder}.", "Name a folder with some dozen of them.")
    return found


def _written(model: Fromage, recipe: Recipe, source: str, seed: int) -> list[str]:
    number = source.removeprefix(GENERATE)
    if not number.isascii() or not number.isdigit() or not 2 <= int(number) <= MOST:
        raise ConfigError(f"--captions {source} names no number from 2 to {MOST}.", "For example: generate:20000")
    with progress_bar("Writing captions", "caption") as progress:
        captions: dict[str, None] = {}
        fault_of = caption_faults(model)
        for count, line in enumerate(write_captions(model, recipe.writing_prompt, int(number), seed), start=1):
            if line and not fault_of(line):
                captions[line] = None
            progress(count, int(number))
    if len(captions) < 2:
        raise DataError(
            "The language model writes no captions.", "Give captions from a file, or another writing_prompt."
        )
    return list(captions)


@torch.inference_mode()
def write_captions(model: Fromage, prompt: str, count: int, seed: int) -> Iterator[str]:
    """Captions that the language model samples after a prompt, which they begin with; each ends with its sentence.

    Args:
        model: for its language model.
        prompt: the words to begin with.
        count: how many.
        seed: of the choices.
    """
    language, generator = model.language, torch.Generator().manual_seed(seed)
    begun = torch.tensor(language.tokenize(prompt, add_bos=True))
    for start in range(0, count, _AT_ONCE):
        ids, cache = begun.expand(min(_AT_ONCE, count - start), -1), language.new_cache()
        said: list[Tensor] = []
        for _ in range(_LONGEST_WRITTEN):
            hidden = language.forward(language.embed(ids, model.bridge.ret_row), cache).hidden[:, -1]
            logits = model.next_logits(hidden)[:, :-1].cpu()  # never `[RET]`
            ids = torch.multinomial(logits.softmax(dim=-1), 1, generator=generator)
            said.append(ids)
        for row in torch.cat(said, dim=1).tolist():
            ended = next((i for i, token in enumerate(row) if token in language.eos_ids), len(row))
            yield one_line(_sentence(prompt + language.decode(row[:ended])))


def _sentence(text: str) -> str:
    """A text up to its first full stop or line break."""
    match = _END.search(text)
    return text if match is None else text[: match.end()].rstrip("\n")
