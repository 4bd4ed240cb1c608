"""The suite's stages: each keeps its figures as JSON, and is skipped where they are there already."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fromage_lite.errors import CheckpointError, ConfigError
from fromage_lite.evaluate.tasks.result import TaskResult
from fromage_lite.evaluate.tasks.seen import SeenPictures
from fromage_lite.model.fromage import Fromage
from fromage_lite.playground.suite import bridges
from fromage_lite.playground.suite.bridges import TrainingPictures, training_pictures
from fromage_lite.playground.suite.writing import IMAGES, Sizes, scenes_shown, write_data
from fromage_lite.progress import Report, ignore
from index.files import write_bytes

VERSION = 1
"""Raise it when a stage's figures change their meaning."""
PAPER, CHAT = "fromage", "fromage-chat"
STAGES, RUNS = "stages", "runs"

Results = Mapping[str, TaskResult]
"""Of a stage, by the bridge that it measured."""


@dataclass(frozen=True)
class SuiteOptions:
    """What the suite measures, and how much of it.

    Attributes:
        model: the playground's folder, or a folder of one bridge.
        out: where everything is written.
        seed: of data, training and intervals.
        sizes: of the data sets.
        steps: of each ablation's training.
        batch_size: captions a step there.
        answer_dialogues: dialogues whose answers are ranked: a round costs as much as a long caption.
        ablation_pictures: pictures by which ablations are measured.
        ablation_stories: stories by which they are.
        device: where it all runs.
    """

    model: Path
    out: Path
    seed: int = 1
    sizes: Sizes = field(default_factory=Sizes)
    steps: int = 100
    batch_size: int = 32
    answer_dialogues: int = 20
    ablation_pictures: int = 150
    ablation_stories: int = 100
    device: str = "auto"


class Suite:
    """The models and the data of a run, made when a stage first needs them."""

    def __init__(self, options: SuiteOptions, report: Report = ignore) -> None:
        """
        Raises:
            CheckpointError: the folder holds no playground bridge.
        """
        self.options, self.report = options, report
        self.folder = options.out
        self.bridges = bridges_in(options.model)
        self._models: dict[str, Fromage] = {}
        self._seen: dict[str, SeenPictures] = {}
        self._training: TrainingPictures | None = None
        self.seconds: dict[str, float] = {}

    @property
    def paper(self) -> str:
        """The bridge that stands for the paper's: the one that learnt captions alone, if there are two."""
        return next(iter(self.bridges))

    @property
    def data(self) -> Path:
        """The folder of the data sets, one for each seed and sizes: what a picture shows depends on both."""
        sizes = "-".join(map(str, vars(self.options.sizes).values()))
        return self.folder / "data" / f"seed-{self.options.seed}-{sizes}"

    @property
    def features(self) -> Path:
        """The file of what the encoder made of their pictures."""
        return self.data / "features.npz"

    def model(self, name: str) -> Fromage:
        """A bridge of the options' folder."""
        if name not in self._models:
            self.report(f"Loading the bridge {name} …")
            self._models[name] = Fromage.from_pretrained(self.bridges[name], device=self.options.device)
        return self._models[name]

    def seen(self, model: Fromage, key: str) -> SeenPictures:
        """The data sets' pictures for a model; all of them have the same encoder, and share its features."""
        if key not in self._seen:
            self._seen[key] = SeenPictures(model, [self.data / IMAGES], self.features)
        return self._seen[key]

    @property
    def training(self) -> TrainingPictures:
        """What the ablations learn from."""
        if self._training is None:
            seed = self.options.seed
            file = self.folder / f"training-features-{self.model(self.paper).vision.fingerprint()[:12]}-{seed}.npy"
            n = max(entry.pictures for entry in bridges.ABLATIONS)
            self._training = training_pictures(self.model(self.paper), file, seed, n)
        return self._training

    def shown(self) -> dict[str, str]:
        """What each picture shows."""
        return scenes_shown(self.data)

    def write_data(self) -> None:
        """Writes the data sets; pictures that are there already stay."""
        began = time.perf_counter()
        write_data(self.data, self.options.sizes, self.options.seed)
        self.seconds["data"] = round(time.perf_counter() - began, 1)

    # --- stages ---

    def run(self, name: str, measure: Callable[[], Results], *, trains: bool = False) -> Results:
        """The results of a stage: from its file if that is of these options, else measured and kept there.

        Args:
            name: of the stage.
            measure: measures it.
            trains: whether the numbers of training matter to it.
        """
        file = self.folder / STAGES / f"{name}.json"
        identity = self._identity(trains)
        kept = _read(file, identity)
        if kept is not None:
            results, self.seconds[name] = kept
            self.report(f"{name}: kept from before")
            return results
        self.report(f"{name} …")
        began = time.perf_counter()
        results = measure()
        self.seconds[name] = round(time.perf_counter() - began, 1)
        data = {
            "identity": identity,
            "seconds": self.seconds[name],
            "results": {bridge: result.to_dict() for bridge, result in results.items()},
        }
        write_bytes(file, (json.dumps(data, indent=1) + "\n").encode())
        self.report(f"{name}: {self.seconds[name]:.0f} s")
        return results

    def _identity(self, trains: bool) -> dict[str, Any]:
        options = self.options
        identity: dict[str, Any] = {
            "version": VERSION,
            "seed": options.seed,
            "sizes": vars(options.sizes),
            "answer_dialogues": options.answer_dialogues,
            "bridges": {name: self.model(name).fingerprint() for name in self.bridges},
        }
        if trains:
            identity |= {
                "steps": options.steps,
                "batch_size": options.batch_size,
                "pictures": options.ablation_pictures,
                "stories": options.ablation_stories,
            }
        return identity


def bridges_in(folder: Path) -> dict[str, Path]:
    """The bridges of a playground's folder, the paper's first; or the one bridge that a folder is.

    Raises:
        CheckpointError: there is none.
    """
    found = {name: folder / name for name in (PAPER, CHAT) if (folder / name / "config.json").is_file()}
    if not found and (folder / "config.json").is_file():
        found = {folder.name: folder}
    if not found:
        raise CheckpointError(
            f"{folder} holds no bridge of the playground.", "Name checkpoints/playground, or the folder of one bridge."
        )
    return found


def _read(file: Path, identity: dict[str, Any]) -> tuple[Results, float] | None:
    """A stage's results and the seconds they took; None if they are missing, damaged, or of other options."""
    try:
        data = json.loads(file.read_bytes())
        if data["identity"] != identity:
            return None
        results = {bridge: TaskResult.from_dict(result) for bridge, result in data["results"].items()}
        return results, float(data["seconds"])
    except (OSError, ValueError, KeyError, TypeError, AttributeError, ConfigError):
        return None
