"""Another index for a loaded model, another model for a dialogue: what goes on, and what can't."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from fromage_lite.chat.agent import Agent, Progress, _open_index
from fromage_lite.chat.turns import Turn
from fromage_lite.errors import FromageError
from index.hits import FOREIGN


def change_index(
    agent: Agent, index: str | Path | None, model: str | Path | None = None, progress: Progress | None = None
) -> None:
    """Opens another index for a loaded model; if it can't be opened, the one before stays.

    Args:
        agent: whose pictures change.
        index: as for `Agent.load`: a folder, "none", or None for the model's own.
        model: as for `Agent.load`, for the command in an error's hint.
        progress: is told in words what takes time.

    Raises:
        FingerprintError: another model made the index; the hint is the command that rebuilds it.
        StoreError: there is no index, or it is damaged.
    """
    agent.index, agent.index_path = _open_index(agent.model, model, index, progress)


def carry_index(agent: Agent, index: Path | None, model: str | Path, progress: Progress | None = None) -> str:
    """Opens the index of the model before, else the model's own. Returns what the user should know about it."""
    trouble = ""
    if index is not None:
        try:
            change_index(agent, index, model, progress)
            return ""
        except FromageError as error:
            trouble = str(error)
    change_index(agent, None, model, progress)
    return trouble


def without_ids(turns: Sequence[Turn]) -> list[Turn]:
    """Turns whose pictures belong to no index any more: their ids mean other pictures in the new one, and must not
    keep those from being shown."""
    return [
        replace(
            turn,
            reply=tuple(
                part if isinstance(part, str) else tuple(replace(hit, id=FOREIGN) for hit in part)
                for part in turn.reply
            ),
        )
        for turn in turns
    ]
