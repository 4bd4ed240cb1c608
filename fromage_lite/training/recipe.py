"""A training recipe: every number that a run depends on, read from a small TOML file and validated at the door."""

from __future__ import annotations

import math
import tomllib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, Literal, Self, get_args

from fromage_lite.errors import ConfigError
from index.errors import reason

Schedule = Literal["cosine", "constant"]
VisualInit = Literal["random", "scaled", "text"]
Precision = Literal["no", "bf16", "fp16"]

RECIPES = Path(__file__).with_name("recipes")


@dataclass(frozen=True)
class Weights:
    """The factor of each loss in the total; 0 leaves that part out, and its work too where it stands alone.

    Attributes:
        captioning: next-token cross-entropy of a caption after its picture.
        retrieval: next-token cross-entropy of a caption and the `[RET]` after it, no picture.
        contrastive: mean of the two InfoNCE directions between captions' `[RET]` and pictures.
        dialogue: next-token cross-entropy of the answers (`[RET]` and turn ends included).
        dialogue_contrastive: InfoNCE from a dialogue's `[RET]` to the picture that was meant.
    """

    captioning: float = 1.0
    retrieval: float = 1.0
    contrastive: float = 1.0
    dialogue: float = 1.0
    dialogue_contrastive: float = 1.0


@dataclass(frozen=True)
class Recipe:
    """A named configuration of bridge, data and optimiser.

    Attributes:
        name: the file's name.
        bridge: fields of `FromageConfig` that shape the bridge (`n_visual_tokens`, …).
        data: sizes asked of the playground (`captions`, `dialogues`, `validation`); a caption file has its own.
        weights: the losses' factors.
        steps: optimiser steps; the learning rate's schedule is laid over them.
        batch_size: captions a step, over all processes; the contrastive loss has as many negatives, less one.
            There is no gradient accumulation: it would not make the contrastive batch larger.
        dialogue_batch_size: dialogues a step, over all processes.
        extra_negatives: random pictures a step that serve as further negatives of every query.
        concat_probability: how often two captioned pictures are joined to one sequence (the paper: 0.5).
        caption_separator: what stands between picture and caption in the captioning sequence; it is tokenized together
            with the caption and learnt with it. A blank where pictures stand in a span, nothing in the paper.
        input_prefix: words between picture and caption, and before the retrieval caption; read, never learnt.
        max_tokens: longer captions are cut, longer dialogues are an error.
        learning_rate: AdamW's, after warm-up.
        visual_rate: factor on the learning rate of the map to visual tokens, whose inputs, the encoder's features, may
            be large: a step then moves the tokens further than the LM's own embeddings are long.
        visual_init: how the map to visual tokens begins. `random` as torch does it; `scaled` the same with the mean
            norm of the LM's embeddings; `text` as the least-squares estimate of the embeddings of a text about each
            picture, one token of it a visual token.
        whiten_features: whether the bridge learns from whitened features. It stays one linear map: what is written
            reads features as they are.
        betas: AdamW's.
        weight_decay: AdamW's. It reaches the bridge only: nothing frozen is in the optimiser.
        warmup_steps: steps over which the learning rate rises from nearly 0.
        schedule: what follows the warm-up: `cosine` falls to `final_learning_rate`, `constant` stays.
        final_learning_rate: share of the learning rate that is left at the last step of `cosine`.
        clip_norm: largest norm of all gradients together.
        max_scale: cap of `exp(logit_scale)`, as CLIP has it (100); None is the paper's: no cap.
        mixed_precision: accelerate's: `no`, `bf16` or `fp16`.
        validate_every: steps between validations.
        save_every: steps between writings of the last checkpoint.
        validation_examples: at most so many held-out captions and dialogues are used.
    """

    name: str
    bridge: Mapping[str, Any] = field(default_factory=dict)
    data: Mapping[str, int] = field(default_factory=dict)
    weights: Weights = field(default_factory=Weights)
    steps: int = 1500
    batch_size: int = 64
    dialogue_batch_size: int = 0
    extra_negatives: int = 0
    concat_probability: float = 0.5
    caption_separator: str = ""
    input_prefix: str = ""
    max_tokens: int = 128
    learning_rate: float = 3e-4
    visual_rate: float = 1.0
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

    def __post_init__(self) -> None:
        for name in ("steps", "batch_size", "max_tokens", "validate_every", "save_every", "validation_examples"):
            self._require(name, _is_int(value := getattr(self, name)) and value >= 1, "a whole number >= 1")
        for name in ("dialogue_batch_size", "extra_negatives", "warmup_steps"):
            self._require(name, _is_int(value := getattr(self, name)) and value >= 0, "a whole number >= 0")
        for name in ("concat_probability", "final_learning_rate"):
            self._require(name, 0 <= getattr(self, name) <= 1, "a number from 0 to 1")
        for name in ("learning_rate", "visual_rate", "clip_norm"):
            value = getattr(self, name)
            self._require(name, value > 0 and math.isfinite(value), "a number above 0")
        self._require("betas", len(self.betas) == 2 and all(0 <= b < 1 for b in self.betas), "two numbers below 1")
        self._require("weight_decay", self.weight_decay >= 0, "a number >= 0")
        self._require("max_scale", self.max_scale is None or self.max_scale >= 1, "a number >= 1, or left out")
        self._require("schedule", self.schedule in get_args(Schedule), "cosine or constant")
        self._require("visual_init", self.visual_init in get_args(VisualInit), "random, scaled or text")
        self._require("mixed_precision", self.mixed_precision in get_args(Precision), "no, bf16 or fp16")

    def _require(self, name: str, holds: bool, wanted: str) -> None:
        if not holds:
            raise ConfigError(f"{name} must be {wanted}, not {getattr(self, name)!r}.")

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON data that `from_dict` takes back."""
        data = asdict(self)
        return {**data, "betas": list(self.betas), "bridge": dict(self.bridge), "data": dict(self.data)}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """A recipe from plain data.

        Raises:
            ConfigError: on an unknown key or a value that can't work; the key is named.
        """
        values = dict(values)
        _check_keys(cls, values, "")
        if "weights" in values:
            _check_keys(Weights, values["weights"], "weights.")
            values["weights"] = Weights(**values["weights"])
        if "betas" in values:
            values["betas"] = tuple(values["betas"])
        try:
            return cls(**values)
        except TypeError as error:
            raise ConfigError(f"The recipe has a missing value or one of the wrong type: {reason(error)}.") from error


def load_recipe(name: str | Path) -> Recipe:
    """The recipe of a shipped name (`fromage`, `fromage-chat`) or of a TOML file's path.

    Raises:
        ConfigError: if there is none, it is no TOML, or a key in it is unknown.
    """
    path = Path(name) if str(name).endswith(".toml") else RECIPES / f"{name}.toml"
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        shipped = ", ".join(sorted(file.stem for file in RECIPES.glob("*.toml")))
        raise ConfigError(f"There is no recipe {str(name)!r}.", f"Choose {shipped}, or give a .toml file.") from error
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"The recipe {path} is no valid TOML: {reason(error)}.") from error
    return Recipe.from_dict({"name": path.stem, **values})


def _check_keys(kind: type, values: Mapping[str, Any], prefix: str) -> None:
    known = {item.name for item in fields(kind)}
    if unknown := sorted(set(values) - known):
        raise ConfigError(
            f"A recipe has no key {', '.join(repr(prefix + key) for key in unknown)}.",
            f"The known keys are: {', '.join(sorted(known))}.",
        )


def _is_int(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)
