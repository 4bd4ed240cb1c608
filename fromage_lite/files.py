"""Where models come from and how files are written: names to folders, damaged files to one clear sentence."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import re
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fromage_lite.config import CONFIG_FILE, DEFAULT_BRIDGE, WEIGHTS_FILE, FromageConfig
from fromage_lite.errors import CheckpointError

if TYPE_CHECKING:  # what only writes bytes needn't wait for torch
    from torch import Tensor

_HUB_ID = re.compile(r"[\w][\w.-]*(/[\w][\w.-]*)?")


def resolve_model_name(name: str, base_dir: Path | None) -> str:
    """A frozen model's name -> an absolute folder if there is one, else the name itself (then it is a Hub id).

    Raises:
        CheckpointError: if the name is a path and there is no such folder.
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
    """The local folder of a bridge checkpoint: a folder as it is, a Hub id downloaded.

    A Hub id may name a folder of the repository: `owner/name/folder`. The original FROMAGe's files are fetched where
    there is no model of our own format.

    Raises:
        CheckpointError: if there is no such folder, or the Hub does not give it.
    """
    folder = Path(name).expanduser()
    if folder.is_dir():
        inner = folder / DEFAULT_BRIDGE
        return inner if not (folder / CONFIG_FILE).exists() and (inner / CONFIG_FILE).exists() else folder
    if folder.exists():
        raise CheckpointError(f"{folder} is a file, not a model folder.", "Name the folder that holds it.")
    repository, inside = "/".join(str(name).split("/")[:2]), "/".join(str(name).split("/")[2:])
    if not _HUB_ID.fullmatch(repository) or (inside and not _HUB_ID.fullmatch(inside)):
        raise CheckpointError(f"There is no model folder {folder}.", "Check the spelling of the path.")
    try:
        return _download(repository, inside, revision=revision, **hub_options)
    except Exception as error:  # offline, no such repository, no permission, interrupted: all end the same way here
        raise CheckpointError(
            f"The model {name} is neither a folder here nor could it be fetched from the Hugging Face Hub "
            f"({_reason(error, revision)}).",
            "Check the name and the network.",
        ) from error


def _reason(error: Exception, revision: str | None) -> str:
    """Why the Hub did not give a model, in words; its own errors begin with the number of the request."""
    from huggingface_hub.errors import GatedRepoError, RepositoryNotFoundError, RevisionNotFoundError

    for kind, words in (
        (GatedRepoError, "its owner grants access on its page; then log in with: hf auth login"),
        (RevisionNotFoundError, f"it has no revision {revision}"),
        (RepositoryNotFoundError, "there is no such repository, or it is private"),
    ):
        if isinstance(error, kind):
            return words
    return first_line(error)


def portable_config(config: FromageConfig, base_dir: Path | None, folder: Path) -> FromageConfig:
    """The configuration with frozen models in local folders named as they count from `folder`."""
    names: dict[str, Any] = {}
    for field in ("language_model", "vision_encoder"):
        head, mark, name = getattr(config, field).rpartition("local-dir:")
        for place in (base_dir or Path(), Path()):
            if (place / name).is_dir():
                relative = Path(os.path.relpath((place / name).resolve(), folder.resolve())).as_posix()
                names[field] = f"{head}{mark}{relative}"
                break
    return dataclasses.replace(config, **names)


def _download(repository: str, inside: str, **hub_options: Any) -> Path:
    """The folder `inside` of a Hub repository, with the files of one model."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import RepositoryNotFoundError

    from fromage_lite.released import CHECKPOINT, MODEL_ARGS, REPOSITORY_FOLDER

    def fetch(folders: list[str], names: tuple[str, ...], repo_type: str | None = None) -> Path:
        wanted = [f"{folder}/{name}".lstrip("/") for folder in folders for name in names]
        root = Path(snapshot_download(repository, repo_type=repo_type, allow_patterns=wanted, **hub_options))
        return next((root / folder for folder in folders if (root / folder / names[0]).exists()), root / inside)

    released = [inside, f"{REPOSITORY_FOLDER}/{inside}".rstrip("/")]
    try:
        folder = fetch([inside], (CONFIG_FILE, WEIGHTS_FILE, "README.md"))
        return folder if (folder / CONFIG_FILE).exists() else fetch(released, (MODEL_ARGS, CHECKPOINT))
    except RepositoryNotFoundError as error:
        try:  # the original FROMAGe is published as a space, beside its demo
            return fetch(released, (MODEL_ARGS, CHECKPOINT), "space")
        except Exception:
            raise error from None


@contextlib.contextmanager
def no_progress_bars() -> Iterator[None]:
    """Keeps transformers from drawing bars while it loads: a terminal app owns the screen."""
    from transformers.utils import logging

    was_on = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        if was_on:
            logging.enable_progress_bar()


def damaged(what: str, name: str, error: Exception) -> CheckpointError:
    """The error for a frozen model that did not load."""
    return CheckpointError(
        f"The {what} {name} could not be loaded: {first_line(error)}",
        "Copy or download it again, and check its name in the model's config.json.",
    )


def first_line(error: Exception) -> str:
    """The first line of an error's text, or its kind if it has none."""
    lines = str(error).strip().splitlines()
    return lines[0][:300] if lines else type(error).__name__


def read_tensors(path: Path) -> dict[str, Tensor]:
    """Tensors of a safetensors file.

    Raises:
        CheckpointError: if it is missing or damaged.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    if not path.is_file():
        raise CheckpointError(f"The model in {path.parent} is incomplete: {path.name} is missing.")
    try:
        return load_file(path)
    except (SafetensorError, OSError, ValueError) as error:
        raise CheckpointError(
            f"{path} is damaged or can't be read: {first_line(error)}.", "Copy or download the model again."
        ) from error


def write_tensors(path: Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, str] | None = None) -> None:
    """Writes a safetensors file atomically; the old file stays if anything goes wrong."""
    from safetensors.torch import save

    data = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    write_bytes(path, save(data, metadata=dict(metadata or {"format": "pt"})))


def write_bytes(path: Path, data: bytes, mode: int = 0o644) -> None:
    """Writes a file atomically: a reader sees the old content or the new, never half of it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        Path(temporary).chmod(mode)
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
