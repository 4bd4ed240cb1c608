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
    (large models), text-only (captions without pictures), a relative's (limber-clip, lma, epalm, git-llm, …), or a
    .toml file. Default: fromage-chat, paper with --data, or text-only with --captions."""
    data: Path | None = None
    """Pictures with captions, whatever `index` reads: a table of lines caption<TAB>image (files or web addresses),
    tars of WebDataset or img2dataset, Parquet files, a saved data set, a folder, or an index. Default: the recipe's
    world."""
    val_data: Path | None = None
    """Held-out pictures with captions, of any such kind. Default: a share of --data."""
    val_share: float | None = None
    """Share of the pictures of --data that is held out, from 0 to 1. Default: 0.05, of at most 512 pictures."""
    images_root: Path | None = None
    """Folder that image paths in the table are relative to. Default: the table's own."""
    captions: str | None = None
    """Learn from captions alone: a text file of one a line, a table whose pictures are not looked at, or generate:N
    for N that the language model writes."""
    pictures: Path | None = None
    """Folder of some dozen pictures, of any kind that the model will see; with --captions they tell how pictures differ
    from texts."""
    stream: bool = False
    """Read and encode the pictures of --data anew at every step instead of keeping their features; tars only, divided
    among the processes and shuffled by --seed."""
    crop: float = 1.0
    """With --stream: smallest share of a picture's area that a random crop keeps. Default: the whole picture."""
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
    max_bad_share: float = 0.05
    """Largest share of unusable pictures and captions in the data, from 0 to 1; the run stops above it."""
    keep: int = 0
    """Also keep the newest N checkpoints on the way, as steps/STEP in the run's folder."""
    patience: int | None = None
    """Stop early, after so many validations without a better one. Default: never."""
    tracker: str = "tensorboard"
    """Where figures are logged: any tracker of accelerate by name (tensorboard, wandb, mlflow, trackio, …), several
    between commas, or none."""
    shard_lm: bool = False
    """Divide the layers of the language model among the processes of `accelerate launch` (FSDP2), where it is larger
    than one GPU."""
    overfit_one_batch: bool = False
    """Train on the first batch alone, over and over: a check of data and settings, whose losses must fall fast."""
    dry_run: bool = False
    """Make a few steps, say what the run would take (memory, steps, hours), and write nothing."""
    find_lr: bool = False
    """Try rising learning rates for up to 100 steps, write the losses to find_lr.csv and .png in --out, and stop."""
    export: Path | None = None
    """Also write the best bridge, without training state, to this folder."""

    def __post_init__(self) -> None:
        if self.keep < 0:
            raise ConfigError(f"keep must be a whole number >= 0, not {self.keep}.")
        for name in ("steps", "max_steps", "batch_size", "patience"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ConfigError(f"{name} must be a whole number >= 1, not {value}.")
        if self.stream and self.data is None:
            raise ConfigError("--stream takes tars.", "Name them: --data FOLDER.")
        if self.crop != 1 and not self.stream:
            raise ConfigError("--crop needs --stream: cached features are of whole pictures.", "Give both.")
        for name in ("max_bad_share", "val_share", "crop"):
            share = getattr(self, name)
            if share is not None and not 0 <= share <= 1:
                raise ConfigError(f"{name} must be a number from 0 to 1, not {share}.")

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
