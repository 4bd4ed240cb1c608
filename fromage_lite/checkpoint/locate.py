"""From names of models to folders, and back."""

from __future__ import annotations

import dataclasses
import os
import re
from pathlib import Path
from typing import Any

from fromage_lite.checkpoint.hub import download_checkpoint, refusal
from fromage_lite.config import CONFIG_FILE, DEFAULT_BRIDGE, FromageConfig, shipped_model
from fromage_lite.errors import CheckpointError

_HUB_ID = re.compile(r"[\w][\w.-]*(/[\w][\w.-]*)?")


def resolve_model_name(name: str, base_dir: Path | None) -> str:
    """A frozen model's name -> an absolute folder if there is one, else the name itself (a Hub id).

    Raises:
        CheckpointError: the name is a path to no folder.
    """
    path = Path(name).expanduser()
    places = [path] if path.is_absolute() or base_dir is None else [base_dir / path, path]
    for place in places:
        if place.is_dir():
            return str(place.resolve())
    if not _HUB_ID.fullmatch(name):
        raise CheckpointError(f"There is no model folder {places[0]}.", "Check the name or restore the folder.")
    return name


def checkpoint_folder(name: str | Path, revision: str | None = None, **hub_options: Any) -> Path:
    """The local folder of a bridge checkpoint: a shipped model's, a folder itself, or where a Hub id was downloaded to.

    A Hub id may name a folder of the repository: `owner/name/folder`. If that holds no model in our own format, the
    original FROMAGe's files are downloaded.

    Raises:
        CheckpointError: there is no such folder, and the Hub has no such model.
    """
    folder = shipped_model(str(name)) or Path(name).expanduser()
    if folder.is_dir():
        inner = folder / DEFAULT_BRIDGE
        return inner if not (folder / CONFIG_FILE).exists() and (inner / CONFIG_FILE).exists() else folder
    if folder.exists():
        raise CheckpointError(f"{folder} is a file, not a model folder.", "Name the folder that holds it.")
    repository, inside = "/".join(str(name).split("/")[:2]), "/".join(str(name).split("/")[2:])
    if not _HUB_ID.fullmatch(repository) or (inside and not _HUB_ID.fullmatch(inside)):
        raise CheckpointError(f"There is no model folder {folder}.", "Check the spelling of the path.")
    try:
        return download_checkpoint(repository, inside, revision=revision, **hub_options)
    except Exception as error:  # offline, no such repository, no permission, interrupted: one message for all
        raise CheckpointError(
            f"The model {name} is not a folder here, and could not be downloaded from the Hugging Face Hub "
            f"({refusal(error, revision)}).",
            "Check the name and the network.",
        ) from error


def portable_config(config: FromageConfig, base_dir: Path | None, folder: Path) -> FromageConfig:
    """The configuration with the local folders of frozen models relative to `folder`."""
    names: dict[str, Any] = {}
    for field in ("language_model", "vision_encoder"):
        head, mark, name = getattr(config, field).rpartition("local-dir:")
        for place in (base_dir or Path(), Path()):
            if (place / name).is_dir():
                relative = Path(os.path.relpath((place / name).resolve(), folder.resolve())).as_posix()
                names[field] = f"{head}{mark}{relative}"
                break
    return dataclasses.replace(config, **names)
