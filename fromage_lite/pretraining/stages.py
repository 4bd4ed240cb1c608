"""Making a shipped model in stages that can run apart, each of which goes on where it was interrupted."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from fromage_lite.errors import CheckpointError, ConfigError
from fromage_lite.progress import Report
from index.files import write_bytes

_MINUTES_FILE = "minutes.json"


def check_stages(wanted: Sequence[str], all_stages: Sequence[str]) -> None:
    """Raises ConfigError: an unknown stage is wanted."""
    unknown = sorted(set(wanted) - set(all_stages))
    if unknown:
        raise ConfigError(f"There is no stage {unknown[0]!r}.", f"Choose among {', '.join(all_stages)}.")


def run_stages(stages: Mapping[str, Callable[[], None]], wanted: Sequence[str], work: Path, report: Report) -> None:
    """Runs the wanted ones of some stages in their order and remembers, in `work`, how long each took in all."""
    for stage, run in stages.items():
        if stage in wanted:
            started = time.monotonic()
            report(f"== {stage}")
            run()
            spent = (time.monotonic() - started) / 60
            times = minutes(work)
            times[stage] = round(times.get(stage, 0.0) + spent, 1)
            write_bytes(work / _MINUTES_FILE, (json.dumps(times, indent=2) + "\n").encode())
            report(f"== {stage}: {spent:.1f} minutes")


def minutes(work: Path) -> dict[str, float]:
    """How long the stages took that ran with this folder."""
    file = work / _MINUTES_FILE
    times: dict[str, float] = json.loads(file.read_text()) if file.exists() else {}
    return times


def need_weights(folder: Path, stage: str) -> Path:
    """The folder, if it has weights.

    Raises:
        CheckpointError: it has none.
    """
    if not any(folder.glob("*.safetensors")):
        raise CheckpointError(f"{folder} has no weights yet.", f"Run the stage {stage} first: --stage {stage}.")
    return folder
