"""How well the model tells real photographs."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from tqdm import tqdm

from fromage_lite.chat.agent import Agent
from fromage_lite.errors import ConfigError
from fromage_lite.evaluate.metrics import mean
from fromage_lite.evaluate.replies import reply
from fromage_lite.model.fromage import Fromage
from fromage_lite.photos.evaluation.named import read
from fromage_lite.photos.evaluation.photographs import fetched
from fromage_lite.text.message import ImageSegment

_FIRST = 5
_QUESTION = "what is in this picture?"


def real_figures(model: Fromage, folder: Path) -> dict[str, float]:
    """`photo_real`: right name or kind, of photographs that have a right class among the encoder's first five
    (`photo_real_any`: of all that show something known); `photo_real_honest`: of pictures of nothing known, those of
    which nothing wrong is said; `photo_real_count`: how many photographs there are.

    Args:
        model: the model.
        folder: filled by `scripts/fetch_photographs.py`.

    Raises:
        ConfigError: none of the labelled photographs is there.
    """
    agent = Agent(model)
    right: list[bool] = []
    among_first: list[bool] = []
    honest: list[bool] = []
    for photograph, path in tqdm(list(fetched(folder)), desc="photographs", leave=False):
        text, _ = reply(agent.dialogue(), (ImageSegment(str(path)), _QUESTION))
        is_right = photograph.is_right(read(text))
        if not photograph.known:
            honest.append(is_right)
            continue
        right.append(is_right)
        first = np.argsort(agent.engine.features(str(path)).cpu().numpy())[-_FIRST:]
        if photograph.classes.intersection(first.tolist()):
            among_first.append(is_right)
    if not right:
        raise ConfigError(
            f"There are no labelled photographs in {folder}.", "Fetch them: python scripts/fetch_photographs.py FOLDER"
        )
    return {
        "photo_real": mean(among_first),
        "photo_real_any": mean(right),
        "photo_real_honest": mean(honest),
        "photo_real_count": float(len(right) + len(honest)),
    }
