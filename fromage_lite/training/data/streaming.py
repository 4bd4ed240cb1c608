"""Pictures read anew at every step, from tars: for what can't be cached, such as random crops of them.

Each process has its own tars. Which picture comes when is a function of seed, process and step, so that a resumed run
continues as if it had never stopped: it reads the headers of what it skips, and no picture.
"""

from __future__ import annotations

import hashlib
import itertools
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from fromage_lite.errors import DataError
from fromage_lite.model.fromage import Fromage
from fromage_lite.training.data.batches import Collator, StepBatch, captioning_sequence, join_pairs, retrieval_sequence
from fromage_lite.training.data.encoding import SequenceEncoder
from fromage_lite.training.data.features import encoding, grid_shape, has_grid
from fromage_lite.training.data.interleaved import TrainingData
from fromage_lite.training.data.tables import caption_faults, too_many
from fromage_lite.training.recipe import Recipe
from index.errors import ImageError
from index.pictures.images import bound_short_side, open_image
from index.sources.readers import PictureFile
from index.sources.recognise import open_source
from index.sources.tars import TarReader

BUFFER = 1000
"""Pictures among which the next one is chosen, besides the order of the tars."""
POOL_STEPS = 8
"""Batches are of similar length within so many steps."""
SAMPLE = 256
"""Pictures that stand for all of them, where the bridge's first values are fitted."""
_ENOUGH = 200  # bad pictures before a run is given up
_THREADS = 4


@dataclass(frozen=True)
class StreamOptions:
    """How a stream is read.

    Attributes:
        seed: of every order, and of the crops.
        rank: of this process.
        world: number of processes.
        crop: smallest share of a picture's area that a random crop keeps; 1 is the whole picture.
        max_bad_share: a larger share of unusable pictures ends the run.
    """

    seed: int = 0
    rank: int = 0
    world: int = 1
    crop: float = 1.0
    max_bad_share: float = 0.05


def tars_of(path: Path) -> list[Path]:
    """The tars that a path names.

    Raises:
        DataError: it names something else.
        StoreError: there is nothing.
    """
    reader = open_source(path)
    if not isinstance(reader, TarReader):
        raise DataError(
            f"{path} can't be streamed: it is no tar and no folder of tars.",
            "Leave --stream out, or pack the pictures as img2dataset or WebDataset do.",
        )
    return reader.paths


def own_tars(tars: Sequence[Path], epoch: int, options: StreamOptions) -> list[Path]:
    """The tars that this process reads in a pass, in their order: all processes together read each once.

    Raises:
        DataError: there are fewer tars than processes.
    """
    if len(tars) < options.world:
        raise DataError(
            f"{len(tars)} tars can't be divided among {options.world} processes.", "Use smaller tars, and more of them."
        )
    order = np.random.default_rng((options.seed, epoch)).permutation(len(tars))
    return [tars[number] for number in order[options.rank :: options.world]]


def stream_data(path: Path, model: Fromage, held_out: TrainingData | None, crop: float) -> TrainingData:
    """What a run knows of a stream before it reads it: the first pictures, and what to validate on.

    Raises:
        DataError: there is no picture with a caption in the first tar.
    """
    tars, fault_of = tars_of(path), caption_faults(model)
    usable = (p for p in TarReader(tars[0]) if not p.problem and p.caption and not fault_of(p.caption))
    captions, images = [], []
    for picture in usable:
        try:
            images.append(_open(picture))
            captions.append(picture.caption)
        except ImageError:
            continue
        if len(images) == SAMPLE:
            break
    if not images:
        raise DataError(f"No picture in {tars[0]} has a caption.", "Name tars that have captions.")
    rows = np.concatenate([encoding(model)(images[i : i + 32]) for i in range(0, len(images), 32)])
    digest = hashlib.sha256(f"{model.vision.fingerprint()} {crop}".encode())
    for tar in tars:
        digest.update(f"{tar.name} {tar.stat().st_size}".encode())
    return TrainingData(
        rows[:, : model.vision.dim],
        [(caption, row) for row, caption in enumerate(captions)],
        grid=_grid(rows, model),
        validation=held_out,
        fingerprint=f"stream-{digest.hexdigest()[:16]}",
    )


class StreamBatches:
    """The batches of a run, read from tars.

    Args:
        tars: all of them.
        model: encodes pictures and captions.
        recipe: batch size and lengths.
        options: what this process reads, and how.

    Attributes:
        causes: how many pictures could not be used, by cause.
    """

    def __init__(self, tars: Sequence[Path], model: Fromage, recipe: Recipe, options: StreamOptions) -> None:
        self._tars, self._model, self._recipe, self._options = tars, model, recipe, options
        self._size = recipe.batch_size // options.world
        if self._size == 0:
            raise DataError(
                f"A batch of {recipe.batch_size} can't be shared by {options.world} processes.", "Use a larger batch."
            )
        if recipe.extra_negatives or recipe.dialogue_batch_size:
            raise DataError("A stream has neither dialogues nor extra negatives.", "Set both to 0 in the recipe.")
        own_tars(tars, 0, options)  # fails at once
        self._encoder, self._embed = SequenceEncoder(model.language, model.config), encoding(model)
        self._fault_of = caption_faults(model)
        self.causes: Counter[str] = Counter()
        self._read = 0
        self._pool, self._batches = -1, list[list[PictureFile]]()
        self._examples: Iterator[PictureFile] = iter(())

    def step(self, step: int) -> StepBatch:
        """This process's share of a training step; steps in their order are cheapest.

        Raises:
            DataError: too many pictures can't be used.
        """
        pool, place = divmod(step, POOL_STEPS)
        if pool != self._pool:
            self._go_to(pool)
        pictures = self._batches[place]
        images, used = self._open_all(pictures, step)
        rows = self._embed(images)
        places = {id(picture): row for row, picture in enumerate(used)}
        numbers = [places.get(id(picture), i % len(used)) for i, picture in enumerate(pictures)]
        texts = [used[number].caption for number in numbers]
        groups = self._options.rank * self._size + np.arange(len(used))
        dim = self._model.vision.dim
        data = TrainingData(rows[:, :dim], [("", 0)], groups=groups, grid=_grid(rows, self._model))
        return self._batch(Collator(data), list(zip(texts, numbers, strict=True)), step)

    def _batch(self, collate: Collator, captions: list[tuple[str, int]], step: int) -> StepBatch:
        recipe, encoder = self._recipe, self._encoder
        retrieval, captioning = None, None
        if recipe.weights.captioning:
            examples = [captioning_sequence(encoder, recipe, text, row) for text, row in captions]
            joined = np.random.default_rng((self._options.seed, step, 1)).random() < recipe.concat_probability
            captioning = collate.sequences(join_pairs(examples) if joined else examples)
        if recipe.weights.retrieval or recipe.weights.contrastive:
            retrieval = collate.retrieval([retrieval_sequence(encoder, recipe, text, row) for text, row in captions])
        return StepBatch(captioning=captioning, retrieval=retrieval)

    # --- which pictures ---

    def _go_to(self, pool: int) -> None:
        if pool < self._pool or self._pool < 0:
            self._pool, self._examples = -1, self._endless()
        while self._pool < pool:
            taken = list(itertools.islice(self._examples, POOL_STEPS * self._size))
            self._pool += 1
        taken.sort(key=lambda picture: len(picture.caption))
        batches = [taken[i : i + self._size] for i in range(0, len(taken), self._size)]
        rng = np.random.default_rng((self._options.seed, self._options.rank, pool, 2))
        self._batches = [[batches[b][i] for i in rng.permutation(self._size)] for b in rng.permutation(len(batches))]

    def _endless(self) -> Iterator[PictureFile]:
        for epoch in itertools.count():
            rng = np.random.default_rng((self._options.seed, self._options.rank, epoch, 3))
            found = 0
            for picture in _shuffled(self._listed(epoch), rng):
                found += 1
                yield picture
            if not found:
                raise DataError("No picture in the tars of a process has a caption that can be used.")

    def _listed(self, epoch: int) -> Iterator[PictureFile]:
        for tar in own_tars(self._tars, epoch, self._options):
            for picture in TarReader(tar):
                if picture.problem:
                    self._bad(picture.cause or picture.problem, picture)
                elif not picture.caption:
                    self._bad("no caption", picture)
                elif fault := self._fault_of(picture.caption):
                    self._bad(fault, picture)
                else:
                    yield picture

    # --- opening them ---

    def _open_all(self, pictures: list[PictureFile], step: int) -> tuple[list[Image.Image], list[PictureFile]]:
        """The pictures that can be opened; the place of another is taken by one of them, since a batch must have its
        size."""
        with ThreadPoolExecutor(_THREADS) as pool:
            opened = list(pool.map(_tried, pictures))
        images, used = [], []
        for number, (picture, result) in enumerate(zip(pictures, opened, strict=True)):
            self._read += 1
            if isinstance(result, ImageError):
                self._bad(result.cause, picture)
                continue
            rng = np.random.default_rng((self._options.seed, self._options.rank, step, number, 4))
            images.append(random_crop(result, self._options.crop, rng))
            used.append(picture)
        if not used:
            raise DataError(f"No picture of step {step} can be read.")
        return images, used

    def _bad(self, cause: str, picture: PictureFile) -> None:
        self.causes[cause] += 1
        bad = self.causes.total()
        if bad > max(_ENOUGH, self._options.max_bad_share * (bad + self._read)):
            raise too_many(bad, bad + self._read, self._tars[0].parent, f" The last: {picture.source}")


def random_crop(image: Image.Image, least: float, rng: np.random.Generator) -> Image.Image:
    """A random part of a picture, of its own proportions.

    Args:
        image: the picture.
        least: smallest share of its area; 1 gives the picture itself.
        rng: decides size and place.
    """
    if least >= 1:
        return image
    side = float(np.sqrt(rng.uniform(least, 1)))
    width, height = max(1, round(image.width * side)), max(1, round(image.height * side))
    left, top = rng.integers(image.width - width + 1), rng.integers(image.height - height + 1)
    return image.crop((int(left), int(top), int(left) + width, int(top) + height))


def _shuffled(pictures: Iterator[PictureFile], rng: np.random.Generator) -> Iterator[PictureFile]:
    """All of them, each chosen among the next `BUFFER`."""
    buffer: list[PictureFile] = []
    for picture in pictures:
        if len(buffer) < BUFFER:
            buffer.append(picture)
            continue
        place = int(rng.integers(BUFFER))
        yield buffer[place]
        buffer[place] = picture
    for place in rng.permutation(len(buffer)):
        yield buffer[place]


def _open(picture: PictureFile) -> Image.Image:
    assert picture.read is not None  # in a tar
    return bound_short_side(open_image(picture.read(), picture.source))


def _tried(picture: PictureFile) -> Image.Image | ImageError:
    try:
        return _open(picture)
    except ImageError as error:
        return error


def _grid(rows: np.ndarray, model: Fromage) -> np.ndarray | None:
    return rows[:, model.vision.dim :].reshape(len(rows), *grid_shape(model)) if has_grid(model) else None
