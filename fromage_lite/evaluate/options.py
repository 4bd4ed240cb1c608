"""The options of a task on a data set, as the command line has them. No torch here: `--help` reads them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

from fromage_lite.errors import ConfigError

Task = Literal["captions", "retrieval", "stories", "dialogues", "answers", "questions"]
TASKS: tuple[Task, ...] = get_args(Task)


@dataclass(frozen=True)
class TaskOptions:
    """A task and its data; `fromage-lite evaluate` has an option for each field."""

    task: str | None = None
    """captions, retrieval (COCO, NoCaps, Flickr30k, CC3M), stories (VIST), dialogues, answers (VisDial) or questions
    (VQA v2, OK-VQA, GQA)."""
    data: Path | None = None
    """The data set's file."""
    images: list[Path] | None = None
    """Folder of its pictures; may be given several times. Default: the file's own, and images in it."""
    dense: Path | None = None
    """VisDial's dense annotations, for NDCG."""
    examples: Path | None = None
    """Questions with answers, to stand before each question."""
    shots: str = "0,1,2,4,8"
    """How many of them, separated by commas."""
    beams: str = "1,3"
    """Numbers of beams for captions, separated by commas; 1 is greedy."""
    prompt: str = ""
    """Words between a picture and its caption."""
    split: str = "test"
    """Of Karpathy's files, which hold all splits."""
    limit: int | None = None
    """Only the first so many entries of the data set."""
    as_original: bool = False
    """Score as the original's scripts do, faults included (stories, answers)."""

    def __post_init__(self) -> None:
        if self.task is None:
            return
        task = self.named
        if self.data is None:
            raise ConfigError(f"The task {task} needs a data set.", "Name its file: --data FILE.")
        if self.as_original and task not in ("stories", "answers"):
            raise ConfigError(f"The task {task} has no way of the original's.", "Leave --as-original out.")
        if self.limit is not None and self.limit < 1:
            raise ConfigError(f"limit must be a whole number >= 1, not {self.limit}.")
        _numbers(self.shots, "shots", 0)
        _numbers(self.beams, "beams", 1)

    @property
    def named(self) -> Task:
        """The task.

        Raises:
            ConfigError: there is none of this name.
        """
        for task in TASKS:
            if task == self.task:
                return task
        raise ConfigError(f"There is no task {self.task!r}.", f"Choose among {', '.join(TASKS)}.")

    @property
    def shot_counts(self) -> tuple[int, ...]:
        """The numbers in `shots`."""
        return _numbers(self.shots, "shots", 0)

    @property
    def beam_counts(self) -> tuple[int, ...]:
        """The numbers in `beams`."""
        return _numbers(self.beams, "beams", 1)


def _numbers(text: str, name: str, least: int) -> tuple[int, ...]:
    """Whole numbers, separated by commas.

    Raises:
        ConfigError: these are none.
    """
    parts = [part.strip() for part in text.split(",")]
    if not all(part.isdecimal() and len(part) < 4 and int(part) >= least for part in parts):
        raise ConfigError(f"{name} must be whole numbers from {least} on, separated by commas, not {text!r}.")
    return tuple(dict.fromkeys(map(int, parts)))
