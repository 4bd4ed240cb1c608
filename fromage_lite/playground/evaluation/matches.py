"""How well the score of a request's first hit tells whether it is what was asked for."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from fromage_lite.chat.agent import Agent
from fromage_lite.config import change_config
from fromage_lite.evaluate.metrics import mean
from fromage_lite.playground.evaluation.named import setting_named, things_named
from fromage_lite.playground.evaluation.replies import reply
from fromage_lite.playground.pictures import gallery
from fromage_lite.playground.text.asking import request_text
from fromage_lite.playground.text.grammar import PLAIN
from fromage_lite.playground.world.scene import Scene, sample_scene

_ABOUT_AS_WELL = 0.02


@dataclass(frozen=True)
class Scored:
    """A request's first hit.

    Attributes:
        score: its cosine.
        fits: whether it has the things and the setting asked for.
    """

    score: float
    fits: bool


def scored_requests(agent: Agent, n: int, seed: int = 1) -> list[Scored]:
    """First hits of `n` requests that the index can satisfy and `n` that it can't."""
    rng = random.Random(f"matches {seed}")
    scenes = gallery()
    available = {(scene.things, scene.setting) for scene in scenes}
    wanted = [rng.choice(scenes) for _ in range(n)]
    while len(wanted) < 2 * n:
        scene = sample_scene(rng, "val", rng.choice((1, 2, 2)))
        if not any(scene.things <= things and scene.setting == setting for things, setting in available):
            wanted.append(scene)
    scored: list[Scored] = []
    for scene in wanted:
        _, hits = reply(agent.dialogue(), (request_text(scene, rng, PLAIN),))
        if hits:
            scored.append(Scored(hits[0].score, _shows(hits[0].caption, scene)))
    return scored


def calibrated(scored: Sequence[Scored]) -> float:
    """The score that best tells fitting first hits from others, both counted alike: the mean of all that do so about
    as well."""
    fits, others = ([s.score for s in scored if s.fits is kind] for kind in (True, False))
    told = {s.score: mean([x >= s.score for x in fits]) + mean([x < s.score for x in others]) for s in scored}
    best = max(told.values())
    return mean([score for score, value in told.items() if value > best - _ABOUT_AS_WELL])


def calibrate(agent: Agent, folder: Path, n: int = 300, seed: int = 2) -> float:
    """Measures the score from which on a picture counts as what was asked for, and writes it into the configuration in
    `folder` (`match_score`). The seed is another than that of the figures."""
    least = round(calibrated(scored_requests(agent, n, seed)), 3)
    change_config(folder, match_score=least)
    return least


def match_figures(agent: Agent, n: int, seed: int = 1) -> dict[str, float]:
    """`match_told`: requests whose first hit does not fit, and whose score says so; `match_trusted`: those whose first
    hit fits, and whose score says so. By the model's own `match_score`, else by the best one for these requests."""
    scored = scored_requests(agent, n, seed)
    least = agent.model.config.match_score
    least = calibrated(scored) if least is None else least
    return {
        "match_score": least,
        "match_told": mean([s.score < least for s in scored if not s.fits]),
        "match_trusted": mean([s.score >= least for s in scored if s.fits]),
    }


def _shows(caption: str, scene: Scene) -> bool:
    return scene.things <= things_named(caption) and setting_named(caption) == scene.setting
