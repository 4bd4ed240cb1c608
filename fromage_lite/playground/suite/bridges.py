"""The ablations' bridges: short runs of the paper's recipe over cached features, each with one thing changed."""

from __future__ import annotations

import dataclasses
import hashlib
import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt

from fromage_lite.errors import CheckpointError
from fromage_lite.model.fromage import Fromage
from fromage_lite.playground.data import encode_scenes
from fromage_lite.playground.text.grammar import FULL, caption, full_description, tags
from fromage_lite.playground.world.scene import Scene, sample_scene
from fromage_lite.progress import Report, ignore, progress_bar
from fromage_lite.training.data.interleaved import TrainingData
from fromage_lite.training.options import RunOptions
from fromage_lite.training.recipe import Recipe, VisualInit, Weights, load_recipe
from fromage_lite.training.run import run
from fromage_lite.training.state import LAST, has_checkpoint
from index.files import replacing

PICTURES = 4000
"""Training pictures of a run that does not say otherwise."""
FULL_SPAN = 17
CAPTIONING_ALONE = Weights(retrieval=0.0, contrastive=0.0)
RETRIEVAL_ALONE = Weights(captioning=0.0)


@dataclass(frozen=True)
class Ablation:
    """A bridge as the recipe `fromage` trains it, but for what is said here.

    Attributes:
        name: of the stage and of the run's folder.
        title: in the report.
        steps: None is the suite's number.
        n_visual_tokens: visual tokens.
        visual_init: see `Recipe`.
        weights: of the losses.
        pictures: how many captioned pictures it learns from.
    """

    name: str
    title: str
    steps: int | None = None
    n_visual_tokens: int = FULL_SPAN
    visual_init: VisualInit = "text"
    weights: Weights = field(default_factory=Weights)
    pictures: int = PICTURES


ABLATIONS: tuple[Ablation, ...] = (
    Ablation("together", "captioning and retrieval together"),
    Ablation("captioning", "captioning alone", weights=CAPTIONING_ALONE),
    Ablation("retrieval", "retrieval alone", weights=RETRIEVAL_ALONE),
    Ablation("untrained", "visual_init = text, one step", steps=1),
    Ablation("scaled_17", "visual_init = scaled", visual_init="scaled"),
    Ablation("random_17", "visual_init = random", visual_init="random"),
    *(Ablation(f"scaled_{n}", f"visual tokens: {n}", n_visual_tokens=n, visual_init="scaled") for n in (1, 2, 4, 8)),
    *(Ablation(f"pictures_{n}", f"{n:,} pictures", pictures=n) for n in (64, 512)),
)

# Groups of the report: which runs stand beside each other, and the number or words that tell them apart.
LOSSES = {"together": "both", "captioning": "captioning alone", "retrieval": "retrieval alone"}
VISUAL_TOKENS = {f"scaled_{n}": n for n in (1, 2, 4, 8, 17)}
PICTURE_COUNTS = {"pictures_64": 64, "pictures_512": 512, "together": PICTURES}
BEGINNINGS = {
    "untrained": "text, one step",
    "together": "text, trained",
    "scaled_17": "scaled, trained",
    "random_17": "random, trained",
}


@dataclass(frozen=True)
class TrainingPictures:
    """Captioned training scenes as the frozen encoder sees them.

    Attributes:
        scenes: what they show.
        features: `(n, dim)` float16.
        captions: one for each.
    """

    scenes: Sequence[Scene]
    features: npt.NDArray[np.float16]
    captions: Sequence[str]

    def first(self, n: int, fingerprint: str) -> TrainingData:
        """The first `n` of them as training data."""
        groups: dict[Scene, int] = {}
        part = self.scenes[:n]
        return TrainingData(
            features=self.features[:n],
            captions=[(text, row) for row, text in enumerate(self.captions[:n])],
            groups=np.array([groups.setdefault(scene, len(groups)) for scene in part]),
            texts=["".join(f" {tag}" for tag in tags(scene)) for scene in part],
            fingerprint=f"suite-{n}-{fingerprint}",
        )


def training_pictures(model: Fromage, file: Path, seed: int, n: int) -> TrainingPictures:
    """Scenes of seen combinations, rendered and encoded once; the features are kept in `file` (.npy)."""
    rng = random.Random(f"suite training {seed}")
    scenes = [sample_scene(rng, "train") for _ in range(n)]
    captions = [caption(scene, rng, FULL if rng.random() < 0.4 else None) for scene in scenes]
    if file.is_file():
        kept: npt.NDArray[np.float16] = np.load(file, allow_pickle=False)
        if kept.shape == (n, model.vision.dim):
            return TrainingPictures(scenes, kept, captions)
    with progress_bar("Drawing training scenes", "picture") as progress:
        features = encode_scenes(model.vision, scenes, 77_000_000 + seed * 1_000_000, progress)
    file.parent.mkdir(parents=True, exist_ok=True)
    with replacing(file) as temporary, temporary.open("wb") as stream:
        np.save(stream, features, allow_pickle=False)
    return TrainingPictures(scenes, features, captions)


def ablation_recipe(ablation: Ablation, steps: int, batch_size: int) -> Recipe:
    """The recipe of an ablation."""
    recipe = load_recipe("fromage")
    steps = ablation.steps or steps
    begins_right = ablation.visual_init == "text"
    return dataclasses.replace(
        recipe,
        name=f"suite-{ablation.name}",
        bridge={**recipe.bridge, "n_visual_tokens": ablation.n_visual_tokens},
        data={},
        weights=ablation.weights,
        steps=steps,
        batch_size=min(batch_size, ablation.pictures),
        visual_init=ablation.visual_init,
        # A map that does not begin near its best has to move.
        visual_rate=recipe.visual_rate if begins_right else 0.1,
        warmup_steps=min(recipe.warmup_steps, max(steps // 8, 1)),
        validate_every=steps + 1,
        save_every=max(steps // 2, 1),
    )


def train_ablation(
    ablation: Ablation,
    model: Fromage,
    pictures: TrainingPictures,
    out: Path,
    *,
    steps: int,
    batch_size: int,
    seed: int,
    device: str = "auto",
    report: Report = ignore,
) -> Path:
    """Trains an ablation's bridge, or goes on where that was interrupted; returns the folder of the bridge.

    Args:
        ablation: what to train.
        model: names the frozen models.
        pictures: what it learns from.
        out: the run's folder.
        steps, batch_size, seed, device: of the run.
        report: gets the run's lines.

    Raises:
        KeyboardInterrupt: the run was stopped; everything is saved.
    """
    recipe = ablation_recipe(ablation, steps, batch_size)
    encoder = model.config.vision_encoder
    options = RunOptions(
        recipe="fromage",
        out=out,
        language_model=_whole_name(model.config.language_model, model.base_dir),
        vision_encoder=_whole_name(encoder, model.base_dir),
        resume=has_checkpoint(out / LAST),
        seed=seed,
        device=device,
    )
    fingerprint = f"{model.vision.fingerprint()[:12]}-{_hash(pictures, ablation.pictures)}"

    def own_data(_: Fromage, __: Recipe, ___: int) -> tuple[TrainingData, str]:
        data = pictures.first(ablation.pictures, fingerprint)
        return data, f"{len(data.captions)} captions of the playground."

    try:
        stopped = run(recipe, options, report, own_data)
    except CheckpointError:
        if not options.resume:
            raise
        # Left by other settings: begin anew.
        stopped = run(recipe, dataclasses.replace(options, resume=False, overwrite=True), report, own_data)
    if stopped:
        raise KeyboardInterrupt
    return out / LAST


def _hash(pictures: TrainingPictures, n: int) -> str:
    text = "\n".join(map(full_description, pictures.scenes[:n]))
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def _whole_name(name: str, base_dir: Path | None) -> str:
    """A frozen model's name from anywhere: folders relative to the checkpoint become whole paths."""
    prefix, mark, rest = name.partition("local-dir:")
    path = rest if mark else name
    if base_dir is not None and path.startswith(("./", "../")):
        path = str((base_dir / path).resolve())
    return f"{prefix}{mark}{path}" if mark else path
