"""The options of a training run, as the command line has them. No torch here: `--help` reads them."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path

from fromage_lite.errors import ConfigError
from fromage_lite.training.recipe import Recipe, load_recipe


@dataclass(frozen=True)
class RunOptions:
    """What a run trains on, where it is written, and how far it goes; `fromage-lite train` has an option for each."""

    recipe: str | None = None
    """photos (texts and simulated photographs), fromage (captions only), fromage-chat (captions and dialogues), paper
    (large models), text-only (captions without pictures), or a .toml file. Default: fromage-chat, paper with --data, or
    text-only with --captions."""
    data: Path | None = None
    """A table of lines caption<TAB>image, or an index folder whose pictures have captions. Default: the
    recipe's world."""
    images_root: Path | None = None
    """Folder that image paths in the table are relative to. Default: the table's own."""
    captions: str | None = None
    """Learn from captions alone: a text file of one a line, a table whose pictures are not looked at, or generate:N
    for N that the language model writes."""
    pictures: Path | None = None
    """Folder of some dozen pictures, of any kind that the model will see; with --captions they tell how pictures differ
    from texts."""
    language_model: str | None = None
    """Hub name or folder of a causal language model. Default: that of the recipe's world."""
    vision_encoder: str | None = None
    """Image encoder: open_clip:MODEL/PRETRAINED, timm:NAME, or a transformers model. Default: that of the
    recipe's world."""
    out: Path | None = None
    """Folder of the run. Default: runs/RECIPE."""
    resume: bool = False
    """Continue the run in --out exactly where it stopped."""
    overwrite: bool = False
    """Start over where --out already holds a run."""
    steps: int | None = None
    """Length of the run, over which the learning rate's schedule is laid. Default: the recipe's."""
    max_steps: int | None = None
    """Stop after this step; --resume continues from there."""
    batch_size: int | None = None
    """Captions per step. Default: the recipe's."""
    seed: int = 0
    """Seed of the bridge's first values, the data and the batches."""
    device: str = "auto"
    dtype: str = "auto"
    quantize: str = "none"
    max_bad: float = 0.05
    """Largest share of unusable rows in the table, from 0 to 1."""
    export: Path | None = None
    """Also write the best bridge, without training state, to this folder."""

    def __post_init__(self) -> None:
        for name in ("steps", "max_steps", "batch_size"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ConfigError(f"{name} must be a whole number >= 1, not {value}.")
        if not 0 <= self.max_bad <= 1:
            raise ConfigError(f"max_bad must be a number from 0 to 1, not {self.max_bad}.")

    def load_recipe(self) -> Recipe:
        """The recipe that they name, with their steps and batch size in place of its own.

        Raises:
            ConfigError: there is none, or it is damaged.
        """
        if self.captions is not None and self.data is not None:
            raise ConfigError("--captions and --data exclude each other.", "Give --data if there are pictures.")
        default = "text-only" if self.captions is not None else "fromage-chat" if self.data is None else "paper"
        recipe = load_recipe(self.recipe or default)
        return dataclasses.replace(
            recipe, steps=self.steps or recipe.steps, batch_size=self.batch_size or recipe.batch_size
        )

    def folder(self, recipe: Recipe) -> Path:
        """The folder of a run with this recipe."""
        return self.out or Path("runs") / recipe.name
