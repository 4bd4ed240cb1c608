"""Models from the Hugging Face Hub."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from fromage_lite.checkpoint.released import CHECKPOINT, MODEL_ARGS, REPOSITORY_FOLDER
from fromage_lite.checkpoint.words import WORDS_FILE
from fromage_lite.config import ADAPTER_FILES, CONFIG_FILE, WEIGHTS_FILE
from fromage_lite.errors import CheckpointError
from index.errors import reason

PATIENCE = 10.0  # seconds for an answer of the Hub


def download_checkpoint(repository: str, inside: str, **hub_options: Any) -> Path:
    """Downloads one model from the folder `inside` of a Hub repository; returns its local folder."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import RepositoryNotFoundError

    def fetch(folders: list[str], names: tuple[str, ...], repo_type: str | None = None) -> Path:
        wanted = [f"{folder}/{name}".lstrip("/") for folder in folders for name in names]
        root = Path(snapshot_download(repository, repo_type=repo_type, allow_patterns=wanted, **hub_options))
        return next((root / folder for folder in folders if (root / folder / names[0]).exists()), root / inside)

    released = [inside, f"{REPOSITORY_FOLDER}/{inside}".rstrip("/")]
    try:
        folder = fetch([inside], (CONFIG_FILE, WEIGHTS_FILE, WORDS_FILE, "README.md", *ADAPTER_FILES))
        return folder if (folder / CONFIG_FILE).exists() else fetch(released, (MODEL_ARGS, CHECKPOINT))
    except RepositoryNotFoundError as error:
        try:  # the original FROMAGe is published as a space, with its demo
            return fetch(released, (MODEL_ARGS, CHECKPOINT), "space")
        except Exception:
            raise error from None


def is_cached(repository: str) -> bool:
    """Whether something of a model's repository was downloaded before."""
    from huggingface_hub import constants
    from huggingface_hub.file_download import repo_folder_name

    snapshots = Path(constants.HF_HUB_CACHE) / repo_folder_name(repo_id=repository, repo_type="model") / "snapshots"
    try:
        return any(snapshots.iterdir())
    except (OSError, ValueError):
        return False


def check_reachable(repository: str) -> None:
    """Asks the Hub once whether it has a model's repository.

    Raises:
        CheckpointError: it hasn't, or it does not answer.
    """
    from huggingface_hub import HfApi

    try:
        HfApi().model_info(repository, timeout=PATIENCE)
    except Exception as error:  # offline, no such repository, no permission
        raise CheckpointError(
            f"The model {repository} is not on this computer, and could not be downloaded from the Hugging Face Hub "
            f"({refusal(error, None)}).",
            "Check the name and the network.",
        ) from error


def repository_config(repository: str) -> dict[str, Any]:
    """The config.json of a Hub repository, downloaded if need be; empty where there is none, or the Hub isn't
    reached."""
    from huggingface_hub import HfApi, hf_hub_download, try_to_load_from_cache

    try:
        file = try_to_load_from_cache(repository, CONFIG_FILE)
        if not isinstance(file, str):
            HfApi().model_info(repository, timeout=PATIENCE)  # one attempt: a download would try for half a minute
            file = hf_hub_download(repository, CONFIG_FILE)
        data = json.loads(Path(file).read_bytes())
    except Exception:  # offline, no such repository, no permission, no JSON: whoever loads it says what is wrong
        return {}
    return data if isinstance(data, dict) else {}


def refusal(error: Exception, revision: str | None) -> str:
    """Why a download from the Hub failed, in words: the Hub's own errors begin with a request number."""
    from huggingface_hub.errors import GatedRepoError, RepositoryNotFoundError, RevisionNotFoundError

    for kind, words in (
        (GatedRepoError, "its owner grants access on its page; then log in with: hf auth login"),
        (RevisionNotFoundError, f"it has no revision {revision}"),
        (RepositoryNotFoundError, "there is no such repository, or it is private"),
    ):
        if isinstance(error, kind):
            return words
    return reason(error)


@contextlib.contextmanager
def no_progress_bars() -> Iterator[None]:
    """Stops transformers from drawing progress bars while it loads: they would garble a terminal app."""
    from transformers.utils import logging

    was_on = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        if was_on:
            logging.enable_progress_bar()


def file_options() -> dict[str, Any]:
    """File options for `from_pretrained` of transformers.

    Weights are read from safetensors, else from `.bin` by torch's unpickler for tensors only. For `.bin`, transformers
    would also ask a web service, with the user's token, to convert the repository; this turns that off.
    """
    os.environ["DISABLE_SAFETENSORS_CONVERSION"] = "1"
    return {"weights_only": True}
