"""Training data of the playground's bridges: scenes seen by the frozen encoder, captions and dialogues over them."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Callable, Sequence
from functools import partial

import numpy as np
import numpy.typing as npt
from PIL import Image as PILImage

from fromage_lite.errors import ConfigError
from fromage_lite.model.fromage import Fromage
from fromage_lite.playground.pictures import playground_cache
from fromage_lite.playground.text import documents
from fromage_lite.playground.text.document import Document, Picture, as_typed, length
from fromage_lite.playground.text.grammar import FULL, caption, full_description, tags
from fromage_lite.playground.text.kept_apart import is_kept_apart
from fromage_lite.playground.text.searches import search
from fromage_lite.playground.text.wishes import is_near
from fromage_lite.playground.world.render import render
from fromage_lite.playground.world.scene import HELD_OUT_SEED, Scene, Split, sample_scene
from fromage_lite.progress import progress_bar
from fromage_lite.text.forms.document import as_turns
from fromage_lite.text.template import Template
from fromage_lite.text.templates import get_template
from fromage_lite.training.data.captions import uses
from fromage_lite.training.data.interleaved import (
    Example,
    Image,
    Ret,
    Text,
    TrainingData,
    TrainingTurn,
    dialogue_example,
)
from fromage_lite.training.data.stand_ins import Captions, stand_in_data
from fromage_lite.training.recipe import Recipe
from fromage_lite.vision import VisionEncoder
from index.files import replacing

_DIALOGUES: dict[Callable[[random.Random, Split], Document], float] = {
    documents.picture_questions: 3.5,
    documents.requests: 3.0,
    documents.two_pictures: 0.7,
    documents.conversation: 0.8,
    documents.mixed_dialogue: 1.5,
    documents.asked_about_pictures: 0.5,
    search: 3.5,
}
ToExample = Callable[[Sequence[TrainingTurn]], Example]
Encode = Callable[[list[PILImage.Image]], npt.NDArray[np.float32]]
SIZES = {"captions", "dialogues", "validation"}  # what a recipe's [data] says
_BATCH = 128
_UNDESCRIBED = 48  # pictures without captions, for recipes that learn from captions without pictures
_SHOWN = 128  # pixels of a picture that is only looked at
_LONGEST = 420  # tokens of a dialogue, about: with those that misspelt words take, it fits the recipe's max_tokens
_VERSION = 3  # of the drawing and the grammar: raise it when pictures or texts change


def playground_data(model: Fromage, recipe: Recipe, seed: int) -> tuple[TrainingData, str]:
    """A run's data: captions and dialogues over scenes drawn for it, and a sentence on them. `recipe.data` says how
    many.

    Raises:
        ConfigError: the recipe does not say how many.
    """
    if set(recipe.data) != SIZES:
        raise ConfigError(
            f"The recipe {recipe.name} must give {', '.join(sorted(SIZES))} under [data].",
            "It may also be trained on a table of captions: --data.",
        )
    if recipe.learns_from == "texts":
        return _caption_data(model, recipe, seed)
    with progress_bar("Drawing the playground's pictures", "image") as progress:
        template = get_template(model.config.prompt_template, model.language.tokenizer)
        data = training_data(
            model.vision,
            template,
            **recipe.data,
            seed=seed,
            ret_ends_reply=model.config.ret_ends_reply,
            progress=progress,
            encode=None if model.config.visual_input == "pooled" else partial(_encoded, model),
        )
    count = f"{len(data.captions)} captions and {len(data.dialogues)} dialogues"
    return data, f"{count} over {len(data.features)} pictures of the playground."


def _caption_data(model: Fromage, recipe: Recipe, seed: int) -> tuple[TrainingData, str]:
    """The captions of `training_data` without their pictures, and some other pictures that measure the gap."""
    learnt = _captioned(random.Random(f"bridge train {seed}"), "train", recipe.data["captions"])
    held_out = _captioned(random.Random(f"bridge val {seed}"), "val", recipe.data["validation"])
    rng = random.Random(f"undescribed {seed}")
    shown = [render(sample_scene(rng, "train"), 9_000_000 + seed + i, 224) for i in range(_UNDESCRIBED)]
    captions = Captions(
        [caption for caption, _ in learnt],
        [caption for caption, _ in held_out],
        ["".join(f" {tag}" for tag in tags(scene)) for _, scene in learnt],
        source=" of the playground",
    )
    with progress_bar("Reading the playground's captions", "caption") as progress:
        return stand_in_data(model, captions, shown, uses=uses(recipe, len(learnt)), seed=seed, progress=progress)


def _captioned(rng: random.Random, split: Split, count: int) -> list[tuple[str, Scene]]:
    scenes = (sample_scene(rng, split) for _ in range(count))
    return [(caption(scene, rng, FULL if rng.random() < 0.4 else None), scene) for scene in scenes]


def training_data(
    vision: VisionEncoder,
    template: Template,
    *,
    captions: int,
    dialogues: int,
    validation: int,
    seed: int = 0,
    ret_ends_reply: bool = False,
    progress: Callable[[int, int], None] | None = None,
    encode: Encode | None = None,
) -> TrainingData:
    """Captions and dialogues over training scenes, and held-out ones for validation.

    The frozen encoder sees each picture once; its features are kept in the cache folder for the next run.

    Args:
        vision: the frozen encoder.
        template: the dialogue template of the model that is trained.
        captions: how many captioned pictures.
        dialogues: how many dialogues.
        validation: how many of each are held out (at most).
        seed: decides scenes, pictures and texts.
        ret_ends_reply: as in the configuration of the model that is trained.
        progress: called with (pictures seen, pictures in all).
        encode: what to keep of each picture beside the pooled feature; None is nothing.
    """
    to_example = partial(dialogue_example, template, ret_ends_reply=ret_ends_reply)
    count, others = min(captions, validation), min(dialogues, validation)
    held_out = _part(vision, to_example, "val", count, others, seed, None, encode=encode)
    return _part(vision, to_example, "train", captions, dialogues, seed, progress, held_out, encode)


def _part(
    vision: VisionEncoder,
    to_example: ToExample,
    split: Split,
    n_captions: int,
    n_dialogues: int,
    seed: int,
    progress: Callable[[int, int], None] | None,
    validation: TrainingData | None = None,
    encode: Encode | None = None,
) -> TrainingData:
    rng = random.Random(f"bridge {split} {seed}")
    book = _SceneBook()
    texts: list[tuple[str, int]] = []
    for said, scene in _captioned(rng, split, n_captions):
        texts.append((said, book.row(scene)))
    examples = [_dialogue(rng, split, to_example, book) for _ in range(n_dialogues)]
    name = f"{split}-{n_captions}-{n_dialogues}-{seed}"
    features = _features(vision, book.scenes, name, split, seed, progress)
    grid = None
    if encode is not None:  # too large to keep
        grid = encode_scenes(vision, book.scenes, _first_seed(split, seed), progress, encode=encode)
    groups: dict[Scene, int] = {}
    return TrainingData(
        features=features,
        captions=texts,
        dialogues=examples,
        groups=np.array([groups.setdefault(scene, len(groups)) for scene in book.scenes]),
        texts=["".join(f" {tag}" for tag in tags(scene)) for scene in book.scenes],
        grid=grid,
        picture=lambda row: render(book.scenes[row], _first_seed(split, seed) + row, _SHOWN),
        validation=validation,
        fingerprint=f"playground-{_VERSION}-{name}-{vision.fingerprint()}",
    )


class _SceneBook:
    """Gives every picture of the data its feature row."""

    def __init__(self) -> None:
        self.scenes: list[Scene] = []

    def row(self, scene: Scene) -> int:
        self.scenes.append(scene)
        return len(self.scenes) - 1


def _dialogue(rng: random.Random, split: Split, to_example: ToExample, book: _SceneBook) -> Example:
    maker = rng.choices(list(_DIALOGUES), list(_DIALOGUES.values()))[0]
    if maker is search:
        return _search(search(rng, split), book)
    document = as_typed(maker(rng, split), rng)
    while is_kept_apart(document) or length(document) > _LONGEST:
        document = as_typed(maker(rng, split), rng)
    turns: list[TrainingTurn] = []
    for turn in as_turns(document):
        message = [Image(book.row(p.scene)) if isinstance(p, Picture) else p for p in turn.message]
        turns.append((message, _reply(turn.reply, book)))
    return to_example(turns)


def _reply(parts: Sequence[str | Picture], book: _SceneBook) -> list[str | Ret | Image]:
    """A reply whose `[RET]` is taught to find what was found, as far as that is the right things in the right place: in
    this way the things come to count for more than their number and colour."""
    reply: list[str | Ret | Image] = []
    for part, after in zip(parts, [*parts[1:], ""], strict=True):
        if isinstance(part, str):
            reply.append(part)
        elif part.answer:
            is_found = isinstance(after, Picture) and after.found and is_near(after.scene, part.scene)
            reply.append(Ret(book.row(after.scene if is_found and isinstance(after, Picture) else part.scene)))
        else:
            before = reply[-1]
            shared = isinstance(before, Ret) and book.scenes[before.row] == part.scene
            reply.append(Image(before.row if shared and isinstance(before, Ret) else book.row(part.scene)))
    return reply


def _search(document: Document, book: _SceneBook) -> Example:
    """The words of a search and `[RET]`."""
    segments: list[Text | Image | Ret] = []
    for piece in document:
        if isinstance(piece, Picture):
            segments.append(Ret(book.row(piece.scene)) if piece.answer else Image(book.row(piece.scene)))
        else:
            segments.append(Text(piece.text))
    return Example(tuple(segments))


def _first_seed(split: Split, seed: int) -> int:
    """What the first picture of a part is drawn with; the others follow."""
    return seed + (HELD_OUT_SEED if split != "train" else 0)


def _features(
    vision: VisionEncoder,
    scenes: Sequence[Scene],
    name: str,
    split: Split,
    seed: int,
    progress: Callable[[int, int], None] | None,
) -> npt.NDArray[np.floating]:
    """`(len(scenes), dim)` fp16, from the cache if they are there."""
    content = hashlib.sha256("\n".join(map(full_description, scenes)).encode()).hexdigest()[:12]
    file = playground_cache() / f"features-{_VERSION}-{vision.fingerprint()[:12]}" / f"{name}-{content}.npy"
    if file.exists():
        cached: npt.NDArray[np.floating] = np.load(file, mmap_mode="r", allow_pickle=False)
        if cached.shape == (len(scenes), vision.dim):
            return cached
    features = encode_scenes(vision, scenes, _first_seed(split, seed), progress)
    file.parent.mkdir(parents=True, exist_ok=True)
    with replacing(file) as temporary, temporary.open("wb") as stream:  # np.save adds .npy to a bare name
        np.save(stream, features, allow_pickle=False)
    return features


def _encoded(model: Fromage, images: list[PILImage.Image]) -> npt.NDArray[np.float32]:
    """What becomes visual tokens of a model that doesn't take pooled features."""
    return model.visual_features(images).cpu().numpy()


def encode_scenes(
    vision: VisionEncoder,
    scenes: Sequence[Scene],
    first_seed: int,
    progress: Callable[[int, int], None] | None = None,
    size: int = 224,
    encode: Encode | None = None,
) -> npt.NDArray[np.float16]:
    """Render scenes (with the seeds from `first_seed` on) and encode them: pooled features `(n, dim)` fp16, or what
    `encode` gives for each."""
    parts: list[npt.NDArray[np.float16]] = [np.empty((0, vision.dim), dtype=np.float16)] if not scenes else []
    for start in range(0, len(scenes), _BATCH):
        part = scenes[start : start + _BATCH]
        images = [render(scene, first_seed + start + i, size) for i, scene in enumerate(part)]
        found = encode(images) if encode else vision.encode(vision.preprocess(images)).pooled.cpu().numpy()
        parts.append(found.astype(np.float16))
        if progress:
            progress(start + len(part), len(scenes))
    return np.concatenate(parts)
