"""The relatives compared: each recipe on the playground, from the same frozen models, data, steps and seed."""

from __future__ import annotations

import json
import random
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import mean
from typing import Any

import torch

from fromage_lite.chat.agent import Agent
from fromage_lite.errors import StoreError
from fromage_lite.model.fromage import Fromage
from fromage_lite.playground.data import playground_data
from fromage_lite.playground.evaluation.figures import PlaygroundEvaluation, caption_of
from fromage_lite.playground.evaluation.named import names_exactly, setting_named
from fromage_lite.playground.world.render import render
from fromage_lite.playground.world.scene import HELD_OUT_SEED, Split, sample_scene
from fromage_lite.progress import Report, ignore
from fromage_lite.training.options import RunOptions
from fromage_lite.training.run import run
from fromage_lite.training.state import BEST
from index.errors import reason
from index.files import write_bytes

VERSION = 1
"""Raise it when a figure changes its meaning."""
TABLE, STAGES, RUNS = "recipes.md", "stages", "runs"
RECIPES: Mapping[str, str] = {
    "fromage": "FROMAGe, one token",
    "fromage-vis4": "FROMAGe, four tokens",
    "fromage-text": "FROMAGe, 17 tokens, least-squares beginning",
    "limber-pooled": "LiMBeR, pooled",
    "limber-grid": "LiMBeR, grid",
    "lma-k1": "linear-modality-alignment, one token",
    "lma-k2": "linear-modality-alignment, two tokens",
    "lma-k5": "linear-modality-alignment, five tokens",
    "epalm": "eP-ALM, three layers, soft prompt",
    "git-llm-projection": "GIT-LLM, projection",
    "git-llm": "GIT-LLM, projection and LoRA",
    "text-only": "text alone, least-squares beginning",
}
"""In the order of the table; the recipes are in `recipes/playground/`."""


@dataclass(frozen=True)
class RecipeFigures:
    """What is told of a recipe. Shares are from 0 to 1; None is what its bridge can't do.

    Attributes:
        parameters: how many are trained.
        minutes: of the whole run, reading its pictures included.
        captions: of held-out pictures with one or two groups, whose caption names all things and no other.
        unseen: the same, for pairs of things that never stood together.
        setting: of these pictures whose caption names the setting.
        vqa: of questions answered as expected; none was learnt.
        recall: text-to-image recall@1.
    """

    parameters: int
    minutes: float
    captions: float
    unseen: float
    setting: float
    vqa: float
    recall: float | None


def run_recipes(
    out: Path, *, steps: int | None = None, n: int = 200, seed: int = 1, device: str = "auto", report: Report = ignore
) -> Path:
    """Trains and measures every recipe that is not measured yet, and writes the table; returns its file.

    Args:
        out: folder for runs, figures and table; what is there already, with the same numbers, is kept.
        steps: of each training; None is the recipes' own.
        n: pictures or questions a figure.
        seed: of data, training and measures.
        device: where to run.
        report: gets a line a recipe, and those of the runs.

    Raises:
        KeyboardInterrupt: a run was stopped; it goes on at the next call.
        StoreError: the folder can't be written.
    """
    identity = {"version": VERSION, "steps": steps, "n": n, "seed": seed}
    rows: dict[str, RecipeFigures] = {}
    try:
        for name in RECIPES:
            file = out / STAGES / f"{name}.json"
            figures = _kept(file, identity)
            if figures is None:
                figures = _measured(name, out / RUNS / name, steps, n, seed, device, report)
                write_bytes(file, (json.dumps({"identity": identity, "figures": asdict(figures)}, indent=1)).encode())
            report(f"{name}: {figures}")
            rows[name] = figures
            write_bytes(out / TABLE, (as_table(rows) + "\n").encode())
    except OSError as error:
        raise StoreError(f"{out} can't be written: {reason(error)}.", "Name another --out.") from error
    return out / TABLE


def as_table(rows: Mapping[str, RecipeFigures]) -> str:
    """The figures as a table in Markdown, a row a recipe."""
    lines = [
        "| recipe | trained parameters | minutes | things named | unseen pairs | setting | questions | recall@1 |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for name, row in rows.items():
        shares = (row.captions, row.unseen, row.setting, row.vqa, row.recall)
        told = ["–" if share is None else f"{share:.2f}" for share in shares]
        lines.append(f"| {RECIPES[name]} | {row.parameters:,} | {row.minutes:.1f} | {' | '.join(told)} |")
    return "\n".join(lines)


def _measured(
    name: str, folder: Path, steps: int | None, n: int, seed: int, device: str, report: Report
) -> RecipeFigures:
    options = RunOptions(f"playground/{name}", out=folder, overwrite=True, steps=steps, seed=seed, device=device)
    began = time.perf_counter()
    if run(options.load_recipe(), options, report, playground_data):
        raise KeyboardInterrupt
    minutes = (time.perf_counter() - began) / 60
    model = Fromage.from_pretrained(folder / BEST, device=device)
    measured = PlaygroundEvaluation(Agent(model), n=n, n_retrieval=n, seed=seed)
    named, setting = _captions(model, "val", n, seed)
    return RecipeFigures(
        parameters=sum(parameter.numel() for parameter in model.trained_parameters().values()),
        minutes=round(minutes, 2),
        captions=named,
        unseen=_captions(model, "unseen_pairs", n, seed)[0],
        setting=setting,
        vqa=measured.questions("zero_shot_vqa")["zero_shot_vqa"],
        recall=measured.retrieval()["t2i_r1"] if model.config.has_retrieval else None,
    )


def _captions(model: Fromage, split: Split, n: int, seed: int) -> tuple[float, float]:
    """Of captions of pictures with one or two groups: whose things are all named, whose setting is."""
    rng = random.Random(f"recipes {split} {seed}")
    agent, named, settings = Agent(model), [], []
    for number in range(n):
        groups = 2 if split == "unseen_pairs" else 1 + number % 2
        scene = sample_scene(rng, split, groups)
        picture = render(scene, HELD_OUT_SEED + seed * 10_000_000 + 700_000 + number, 224)
        with torch.no_grad():
            text = caption_of(agent, model.visual_features([picture])[0])
        named.append(names_exactly(text, scene))
        settings.append(setting_named(text) == scene.setting)
    return mean(named), mean(settings)


def _kept(file: Path, identity: Mapping[str, Any]) -> RecipeFigures | None:
    try:
        data = json.loads(file.read_bytes())
        return RecipeFigures(**data["figures"]) if data["identity"] == identity else None
    except (OSError, ValueError, KeyError, TypeError):
        return None
