"""A training recipe: every number that a run depends on, read from a small TOML file and validated."""

from __future__ import annotations

import math
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, get_args

from fromage_lite.errors import ConfigError
from fromage_lite.plain_data import PlainData
from index.errors import reason

Schedule = Literal["cosine", "constant"]
VisualInit = Literal["random", "zero", "scaled", "text", "given"]
World = Literal["playground", "photos"]
Precision = Literal["no", "bf16", "fp16"]
LearnsFrom = Literal["pictures", "texts"]

RECIPES = Path(__file__).with_name("recipes")


@dataclass(frozen=True)
class Weights(PlainData):
    """The factor of each loss in the total; 0 leaves it out, and saves its computation if no other loss needs it.

    Attributes:
        captioning: next-token cross-entropy of a caption after its picture.
        retrieval: next-token cross-entropy of a caption and the `[RET]` after it, without a picture.
        contrastive: mean of the two InfoNCE directions between captions' `[RET]` and pictures.
        dialogue: next-token cross-entropy of the answers, `[RET]` and ends of turns included.
        dialogue_contrastive: InfoNCE from a dialogue's `[RET]` to its target picture.
    """

    captioning: float = 1.0
    retrieval: float = 1.0
    contrastive: float = 1.0
    dialogue: float = 1.0
    dialogue_contrastive: float = 1.0


@dataclass(frozen=True)
class Recipe(PlainData):
    """A named configuration of bridge, data and optimiser.

    Attributes:
        name: the file's name.
        world: the shipped world whose frozen models and data a run takes that names none.
        bridge: fields of `FromageConfig` that shape the bridge (`n_visual_tokens`, …).
        paper: what is known of the publication: `language_model` and `vision_encoder`, which a run takes that has its
            own data and names none, `title`, `arxiv`, and anything else.
        learns_from: what stands in a picture's place: the `pictures` themselves, or `texts`: their captions, as the
            encoder's text tower sees them (see `training.data.stand_ins`).
        data: how many `captions`, `dialogues` and `validation` examples the world draws; a caption file has its own
            numbers.
        weights: the losses' factors.
        steps: optimiser steps; the learning rate's schedule is laid over them.
        batch_size: captions per step, over all processes; the contrastive loss has one negative fewer. There is no
            gradient accumulation: it would not make the contrastive batch larger.
        dialogue_batch_size: dialogues per step, over all processes.
        extra_negatives: random pictures per step that are additional negatives of every query.
        concat_probability: how often two captioned pictures are joined into one sequence (the paper: 0.5).
        caption_separator: text between picture and caption in the captioning sequence, tokenized and learnt together
            with the caption. A blank if pictures stand in a span; empty in the paper.
        begin_first: whether the beginning-of-text token stands before a captioned picture (linear-modality-alignment),
            not after it (the paper).
        learn_end: whether the end-of-text token is learnt after a caption; in the paper it isn't.
        input_prefix: words between picture and caption, and before the retrieval caption; read, never learnt.
        writing_prompt: what captions begin with that the language model writes itself (`--captions generate:N`).
        max_tokens: longer captions are cut; longer dialogues are an error.
        learning_rate: AdamW's, after warm-up.
        visual_rate: factor on the learning rate of the map to visual tokens. Its inputs, the encoder's features, may be
            large; a full step would then move the tokens by more than the norm of the LM's embeddings. 0 leaves the map
            as it starts.
        prompt_rate: the same for the soft prompt.
        adapter_rate: the same for the language model's adapters.
        image_dropout: share of the numbers of visual tokens that a training step sets to zero.
        visual_init: how the map to visual tokens starts. `random`: as in torch; `zero`: its weight is zero; `scaled`:
            as `random`, at the mean norm of the LM's embeddings; `text`: the least-squares fit to the embeddings of a
            text about each picture, one token per visual token; `given`: as the data says
            (`TrainingData.visual_map`).
        whiten_features: whether the bridge learns from whitened features. It stays one linear map; the saved one reads
            plain features.
        betas: AdamW's.
        weight_decay: AdamW's. It affects the bridge only: nothing frozen is in the optimiser.
        warmup_steps: steps over which the learning rate rises from nearly 0.
        schedule: what follows the warm-up: `cosine` falls to `final_learning_rate`, `constant` stays.
        final_learning_rate: share of the learning rate left at the last step of `cosine`.
        clip_norm: largest norm of all gradients together.
        max_scale: cap on `exp(logit_scale)`, 100 as in CLIP; None, as in the paper, is no cap.
        mixed_precision: accelerate's: `no`, `bf16` or `fp16`.
        validate_every: steps between validations.
        save_every: steps between writes of the last checkpoint.
        validation_examples: most held-out captions and dialogues to use.
    """

    name: str
    world: World = "playground"
    bridge: Mapping[str, Any] = field(default_factory=dict)
    paper: Mapping[str, Any] = field(default_factory=dict)
    learns_from: LearnsFrom = "pictures"
    data: Mapping[str, int] = field(default_factory=dict)
    weights: Weights = field(default_factory=Weights)
    steps: int = 1500
    batch_size: int = 64
    dialogue_batch_size: int = 0
    extra_negatives: int = 0
    concat_probability: float = 0.5
    caption_separator: str = ""
    begin_first: bool = False
    learn_end: bool = False
    input_prefix: str = ""
    writing_prompt: str = "A picture of"
    max_tokens: int = 128
    learning_rate: float = 3e-4
    visual_rate: float = 1.0
    prompt_rate: float = 1.0
    adapter_rate: float = 1.0
    image_dropout: float = 0.0
    visual_init: VisualInit = "random"
    whiten_features: bool = False
    betas: tuple[float, float] = (0.9, 0.95)
    weight_decay: float = 0.0
    warmup_steps: int = 100
    schedule: Schedule = "cosine"
    final_learning_rate: float = 0.0
    clip_norm: float = 1.0
    max_scale: float | None = 100.0
    mixed_precision: Precision = "no"
    validate_every: int = 250
    save_every: int = 250
    validation_examples: int = 512

    SUBJECT = "a recipe"

    def __post_init__(self) -> None:
        for name in ("steps", "batch_size", "max_tokens", "validate_every", "save_every", "validation_examples"):
            self.require(name, getattr(self, name) >= 1, "a whole number >= 1")
        for name in ("dialogue_batch_size", "extra_negatives", "warmup_steps"):
            self.require(name, getattr(self, name) >= 0, "a whole number >= 0")
        for name in ("concat_probability", "final_learning_rate"):
            self.require(name, 0 <= getattr(self, name) <= 1, "a number from 0 to 1")
        for name in ("learning_rate", "clip_norm"):
            value = getattr(self, name)
            self.require(name, value > 0 and math.isfinite(value), "a number above 0")
        for name in ("visual_rate", "prompt_rate", "adapter_rate"):
            rate = getattr(self, name)
            self.require(name, rate >= 0 and math.isfinite(rate), "a number >= 0")
        self.require("image_dropout", 0 <= self.image_dropout < 1, "a number from 0 to below 1")
        self.require("betas", all(0 <= beta < 1 for beta in self.betas), "two numbers below 1")
        self.require("weight_decay", self.weight_decay >= 0, "a number >= 0")
        self.require("max_scale", self.max_scale is None or self.max_scale >= 1, "a number >= 1, or left out")
        self.require("schedule", self.schedule in get_args(Schedule), "cosine or constant")
        self.require("visual_init", self.visual_init in get_args(VisualInit), "random, zero, scaled, text or given")
        self.require("world", self.world in get_args(World), "playground or photos")
        self.require("learns_from", self.learns_from in get_args(LearnsFrom), "pictures or texts")
        shares = self.learns_from == "pictures" or self.bridge.get("shared_space", False) is True
        self.require("learns_from", shares, "pictures, unless [bridge] has shared_space = true")
        self.require("mixed_precision", self.mixed_precision in get_args(Precision), "no, bf16 or fp16")


def load_recipe(name: str | Path) -> Recipe:
    """Reads a shipped recipe (`fromage`, `text-only`, …) by name, or a TOML file by path.

    A recipe may say `extends = "NAME"` to take that recipe's values wherever it gives none, sections included. NAME is
    as here; a path is relative to the file that names it.

    Raises:
        ConfigError: it does not exist, it is not TOML, a key is unknown, or recipes extend each other in a circle.
    """
    path = _path(str(name), Path())
    return Recipe.from_dict({"name": path.stem, **_values(path, ())})


def _path(name: str, folder: Path) -> Path:
    return folder / name if name.endswith(".toml") else RECIPES / f"{name}.toml"


def _values(path: Path, extending: tuple[Path, ...]) -> dict[str, Any]:
    """The keys of a recipe and of the ones that it extends."""
    if path.resolve() in extending:
        raise ConfigError(f"The recipe {path} extends itself.", "Remove one `extends` from the circle.")
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        shipped = ", ".join(sorted(file.stem for file in RECIPES.glob("*.toml")))
        given = path.stem if path.parent == RECIPES else str(path)
        raise ConfigError(f"There is no recipe {given!r}.", f"Choose {shipped}, or give a .toml file.") from error
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"The recipe {path} is not valid TOML: {reason(error)}.") from error
    base = values.pop("extends", None)
    if base is None:
        return values
    if not isinstance(base, str):
        raise ConfigError(f"extends must be the name of a recipe, not {base!r}.")
    return _merged(_values(_path(base, path.parent), (*extending, path.resolve())), values)


def _merged(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """`base` with the values of `over`; sections are merged key by key."""
    sections = {
        key: {**base[key], **value}
        for key, value in over.items()
        if isinstance(value, Mapping) and isinstance(base.get(key), Mapping)
    }
    return {**base, **over, **sections}
