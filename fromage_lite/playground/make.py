"""Everything from nothing, in stages that can run apart: atlas, LM, encoder, bridges, words, index, figures, card."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from fromage_lite.config import change_config, playground_dir
from fromage_lite.errors import CheckpointError
from fromage_lite.pretraining.stages import check_stages, minutes, need_weights, run_stages
from fromage_lite.progress import Report

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
    check_stages(stages, STAGES)
    if making.out.resolve() != playground_dir().resolve() and set(stages) & {"fromage", "fromage-chat"}:
        report("Note: bridges are trained between the models in --out.")
    run_stages({name: partial(_RUN[name], making, report) for name in STAGES}, stages, making.work, report)


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
            language_model=str(need_weights(making.out / "lm", "lm")),
            vision_encoder=f"open_clip:local-dir:{need_weights(making.out / 'encoder', 'encoder')}",
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
        folder = need_weights(making.out / name, name)
        change_config(folder, vocabulary=f"../{WORDS_FILE}")
    report(f"{file} is written.")


def _index(making: Making, report: Report) -> None:
    from fromage_lite.playground.evaluation.matches import calibrate
    from fromage_lite.playground.evaluation.run import open_agent

    for name in ("fromage", "fromage-chat"):
        agent = open_agent(need_weights(making.out / name, name), making.device)
        report(f"{name}: {agent.index_path}")
        least = calibrate(agent, making.out / name)
        report(f"{name}: a picture counts as what was asked for from a score of {least} on")


def _figures(making: Making, report: Report) -> None:
    from fromage_lite.evaluate.figures_file import FIGURES_FILE, write_figures
    from fromage_lite.playground.evaluation.run import evaluate_playground

    figures = evaluate_playground(making.out, device=making.device, report=report)
    write_figures(making.out / FIGURES_FILE, figures)


def _card(making: Making, report: Report) -> None:
    from fromage_lite.playground.card import write_card
    from fromage_lite.playground.vqa import FILE, write_vqa

    write_vqa(making.out / FILE)  # the questions of the app's /randvqa
    write_card(making.out, making.lm_steps, (making.encoder_steps, making.readout_steps), minutes(making.work))
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
