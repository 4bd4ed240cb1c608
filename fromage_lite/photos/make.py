"""The model of photographs from nothing but the packaged encoder, in stages that can run apart."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path

from fromage_lite.config import DEFAULT_BRIDGE, change_config
from fromage_lite.pretraining.stages import check_stages, minutes, need_weights, run_stages
from fromage_lite.progress import Report

STAGES = ("lm", "bridge", "words", "match", "figures", "card")
LM_STEPS = (1_026, 1_080, 480, 460, 800)


@dataclass(frozen=True)
class Making:
    """How the model is made.

    Attributes:
        out: the folder to fill (`lm/`, `fromage-chat/`, `figures.json`, `README.md`).
        work: states of interrupted stages.
        device: where to train.
        seed: of everything.
        photographs: a folder of real ones for the figures, filled by `scripts/fetch_photographs.py`; None has none.
        lm_steps: steps of 4,096 tokens, in each round.
    """

    out: Path
    work: Path
    device: str = "cpu"
    seed: int = 0
    photographs: Path | None = None
    lm_steps: tuple[int, ...] = LM_STEPS

    @property
    def bridge(self) -> Path:
        """The bridge's folder."""
        return self.out / DEFAULT_BRIDGE


def make(making: Making, stages: tuple[str, ...], report: Report) -> None:
    """Run stages in their order. A stage that was interrupted goes on where it stopped.

    Raises:
        ConfigError: an unknown stage.
        CheckpointError: a stage needs the result of one that has not run.
    """
    check_stages(stages, STAGES)
    functions = (_lm, _bridge, _words, _match, _figures, _card)
    runs = {name: partial(run, making, report) for name, run in zip(STAGES, functions, strict=True)}
    run_stages(runs, stages, making.work, report)


def _lm(making: Making, report: Report) -> None:
    from fromage_lite.photos.pretraining import lm

    lm.pretrain(making.work, making.out / "lm", steps=making.lm_steps, seed=making.seed, device=making.device)


def _bridge(making: Making, report: Report) -> None:
    from fromage_lite.photos.data import photos_data
    from fromage_lite.photos.encoder import ENCODER
    from fromage_lite.training.options import RunOptions
    from fromage_lite.training.run import run
    from fromage_lite.training.state import LAST, has_checkpoint

    out = making.work / "bridge"
    options = RunOptions(
        recipe="photos",
        out=out,
        language_model=str(need_weights(making.out / "lm", "lm")),
        vision_encoder=ENCODER,
        resume=has_checkpoint(out / LAST),
        seed=making.seed,
        device=making.device,
        export=making.bridge,
    )
    if run(options.load_recipe(), options, report, photos_data):
        raise KeyboardInterrupt


def _words(making: Making, report: Report) -> None:
    from fromage_lite.checkpoint.words import WORDS_FILE, write_words
    from fromage_lite.photos.pretraining.words import spelling

    write_words(making.out / WORDS_FILE, spelling())
    change_config(need_weights(making.bridge, "bridge"), vocabulary=f"../{WORDS_FILE}")
    report(f"{making.out / WORDS_FILE} is written.")


def _match(making: Making, report: Report) -> None:
    from fromage_lite.photos.evaluation.run import calibrate

    least = calibrate(need_weights(making.bridge, "bridge"), making.device)
    report(f"A picture counts as what was asked for from a score of {least} on.")


def _figures(making: Making, report: Report) -> None:
    from fromage_lite.evaluate.figures_file import FIGURES_FILE, write_figures
    from fromage_lite.photos.evaluation.run import evaluate_photos

    figures = evaluate_photos(
        need_weights(making.bridge, "bridge"), photographs=making.photographs, device=making.device, report=report
    )
    write_figures(making.out / FIGURES_FILE, figures)


def _card(making: Making, report: Report) -> None:
    from fromage_lite.photos.card import write_card

    write_card(making.out, making.lm_steps, minutes(making.work))
    report(f"{making.out / 'README.md'} is written.")
