"""Everything from nothing, in stages that can run apart: atlas, LM, encoder, bridges, words, index, figures, card."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from fromage_lite.config import change_config, playground_dir
from fromage_lite.errors import CheckpointError, ConfigError
from fromage_lite.progress import Report
from index.files import write_bytes

STAGES = ("lm", "encoder", "fromage", "fromage-chat", "words", "index", "figures", "card")
"""In order; `atlas` is apart, since it alone needs the font."""

LM_STEPS = (8_500, 3_000, 2_000, 2_500, 2_400, 900)
ENCODER_STEPS = 3_000
READOUT_STEPS = (1_200, 1_000)


@dataclass(frozen=True)
class Making:
    """How the playground is made.

    Attributes:
        out: the folder to fill (`lm/`, `encoder/`, `fromage/`, `fromage-chat/`, `words.txt`, `figures.json`,
            `README.md`).
        work: states of interrupted stages.
        device: where to train.
        seed: of everything.
        lm_steps: steps of 4,096 tokens, in each round.
        encoder_steps: steps of 128 pictures, first phase.
        readout_steps: the same, in each round of the second phase.
    """

    out: Path
    work: Path
    device: str = "cpu"
    seed: int = 0
    lm_steps: tuple[int, ...] = LM_STEPS
    encoder_steps: int = ENCODER_STEPS
    readout_steps: tuple[int, ...] = READOUT_STEPS


def make(making: Making, stages: tuple[str, ...], report: Report) -> None:
    """Run stages in their order. A stage that was interrupted goes on where it stopped.

    Raises:
        ConfigError: an unknown stage.
        CheckpointError: a stage needs the result of one that has not run.
    """
    unknown = sorted(set(stages) - set(STAGES))
    if unknown:
        raise ConfigError(f"There is no stage {unknown[0]!r}.", f"Choose among {', '.join(STAGES)}.")
    if making.out.resolve() != playground_dir().resolve() and set(stages) & {"fromage", "fromage-chat"}:
        report("Note: bridges are trained between the models in --out.")
    for stage in STAGES:
        if stage in stages:
            started = time.monotonic()
            report(f"== {stage}")
            _RUN[stage](making, report)
            minutes = (time.monotonic() - started) / 60
            _remember_time(making, stage, minutes)
            report(f"== {stage}: {minutes:.1f} minutes")


def _need(folder: Path, stage: str) -> Path:
    if not any(folder.glob("*.safetensors")):
        raise CheckpointError(f"{folder} has no weights yet.", f"Run the stage {stage} first: --stage {stage}.")
    return folder


def _lm(making: Making, report: Report) -> None:
    from fromage_lite.playground.pretraining import lm

    lm.pretrain(making.work, making.out / "lm", steps=making.lm_steps, seed=making.seed, device=making.device)


def _encoder(making: Making, report: Report) -> None:
    from fromage_lite.playground.pretraining import encoder

    if not (making.out / "lm" / "tokenizer.json").exists():
        raise CheckpointError("The encoder's captions need the LM's tokenizer.", "Run the stage lm first: --stage lm.")
    encoder.pretrain(
        making.work,
        making.out / "lm",
        making.out / "encoder",
        steps=making.encoder_steps,
        readout_steps=making.readout_steps,
        seed=making.seed,
        device=making.device,
    )


def _bridge(name: str) -> Callable[[Making, Report], None]:
    def train(making: Making, report: Report) -> None:
        from fromage_lite.playground.data import playground_data
        from fromage_lite.training.options import RunOptions
        from fromage_lite.training.run import run
        from fromage_lite.training.state import LAST, has_checkpoint

        out = making.work / name
        options = RunOptions(
            recipe=name,
            out=out,
            language_model=str(_need(making.out / "lm", "lm")),
            vision_encoder=f"open_clip:local-dir:{_need(making.out / 'encoder', 'encoder')}",
            resume=has_checkpoint(out / LAST),
            seed=making.seed,
            device=making.device,
            export=making.out / name,
        )
        if run(options.load_recipe(), options, report, playground_data):
            raise KeyboardInterrupt

    return train


def _words(making: Making, report: Report) -> None:
    from fromage_lite.checkpoint.words import WORDS_FILE, write_words
    from fromage_lite.playground.pretraining.words import spelling

    file = making.out / WORDS_FILE
    write_words(file, spelling())
    for name in ("fromage", "fromage-chat"):
        folder = _need(making.out / name, name)
        change_config(folder, vocabulary=f"../{WORDS_FILE}")
    report(f"{file} is written.")


def _index(making: Making, report: Report) -> None:
    from fromage_lite.playground.evaluation.matches import calibrate
    from fromage_lite.playground.evaluation.run import open_agent

    for name in ("fromage", "fromage-chat"):
        agent = open_agent(_need(making.out / name, name), making.device)
        report(f"{name}: {agent.index_path}")
        least = calibrate(agent, making.out / name)
        report(f"{name}: a picture counts as what was asked for from a score of {least} on")


def _figures(making: Making, report: Report) -> None:
    from fromage_lite.playground.evaluation.run import evaluate_playground
    from fromage_lite.playground.figures_file import FIGURES_FILE, write_figures

    figures = evaluate_playground(making.out, device=making.device, report=report)
    write_figures(making.out / FIGURES_FILE, figures)


def _card(making: Making, report: Report) -> None:
    from fromage_lite.playground.card import write_card
    from fromage_lite.playground.vqa import FILE, write_vqa

    write_vqa(making.out / FILE)  # the questions of the app's /randvqa
    write_card(making.out, making.lm_steps, (making.encoder_steps, making.readout_steps), _times(making))
    report(f"{making.out / 'README.md'} is written.")


_RUN: dict[str, Callable[[Making, Report], None]] = {
    "lm": _lm,
    "encoder": _encoder,
    "fromage": _bridge("fromage"),
    "fromage-chat": _bridge("fromage-chat"),
    "words": _words,
    "index": _index,
    "figures": _figures,
    "card": _card,
}


def _remember_time(making: Making, stage: str, minutes: float) -> None:
    file, times = making.work / "minutes.json", _times(making)
    times[stage] = round(times.get(stage, 0.0) + minutes, 1)
    write_bytes(file, (json.dumps(times, indent=2) + "\n").encode())


def _times(making: Making) -> dict[str, float]:
    file = making.work / "minutes.json"
    times: dict[str, float] = json.loads(file.read_text()) if file.exists() else {}
    return times
