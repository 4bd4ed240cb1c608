"""The original FROMAGe's own files, `model_args.json` and `pretrained_ckpt.pth.tar` (its `load_fromage`).

Two variants are published, with one visual token and, in the subfolder `fromage_vis4`, with four.
"""

from __future__ import annotations

import json
import os
import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from fromage_lite.config import CONFIG_FILE, WEIGHTS_FILE, FromageConfig, read_config
from fromage_lite.errors import CheckpointError
from fromage_lite.files import read_tensors
from index.errors import reason

MODEL_ARGS = "model_args.json"
CHECKPOINT = "pretrained_ckpt.pth.tar"
REPOSITORY_FOLDER = "fromage_model"  # where the original repository keeps the two files

RET_ROW = "ret_input_embeddings.weight"
# The script that prunes the original's training checkpoints leaves the LM's own embeddings in; they are of no use.
LM_ROWS = "model.input_embeddings.weight"
SHOWN_KEYS = 6

# Arguments of other experiments of the original code, and the only values that make the published model.
_ONLY = {
    "use_image_embed_norm": False,
    "use_text_embed_layernorm": False,
    "use_pooler": True,
    "tunable_prompt_length": 0,
    "num_appended_retrieval_tokens": 1,
}
_NEEDED = (
    "opt_version",
    "visual_encoder",
    "n_visual_tokens",
    "shared_emb_dim",
    "text_emb_layers",
    "retrieval_token_idx",
)


def read_checkpoint(folder: Path) -> tuple[Path, FromageConfig, dict[str, Tensor]]:
    """The bridge in a folder, of our own format or the original's: where its files are, its configuration and tensors.

    Raises:
        CheckpointError: a file is missing or damaged.
        ConfigError: a value of its configuration can't work.
    """
    if (released := released_folder(folder)) is not None:
        return released, *read_released(released)
    return folder, read_config(folder), read_tensors(folder / WEIGHTS_FILE)


def released_folder(folder: Path) -> Path | None:
    """The folder that holds the original's files: `folder` itself, or the one inside a clone of its repository.

    None if `folder` is a model of our own format, or nothing of the original.
    """
    if (folder / CONFIG_FILE).exists():
        return None
    for place in (folder, folder / REPOSITORY_FOLDER):
        if (place / MODEL_ARGS).exists() or (place / CHECKPOINT).exists():
            return place
    return None


def read_released(folder: Path) -> tuple[FromageConfig, dict[str, Tensor]]:
    """Configuration and bridge of the original's files; the tensors have the bridge's names, float32.

    Frozen models that are named by a relative folder are looked for in `folder`, in the folders around it and in the
    working directory, as the original's are relative to where it is started.

    Raises:
        CheckpointError: a file is missing, damaged, of another model, or holds more than tensors.
    """
    return _read_config(folder), _read_bridge(folder)


def _read_config(folder: Path) -> FromageConfig:
    path = folder / MODEL_ARGS
    try:
        args = json.loads(_present(path).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{path} can't be read: {reason(error)}.", "Copy or download it again.") from error
    if not isinstance(args, dict):
        raise CheckpointError(f"{path} is no JSON object.", "Copy or download it again.")
    if missing := [name for name in _NEEDED if args.get(name) is None]:
        raise CheckpointError(f"{path} does not say {', '.join(missing)}.", "Use the file that came with the model.")
    for name, only in _ONLY.items():
        if args.get(name, only) != only:
            raise CheckpointError(f"{path} describes a model with {name} = {args[name]!r}, which can't be loaded.")
    layers = args["text_emb_layers"]
    return FromageConfig(
        language_model=_place(args["opt_version"], folder),
        vision_encoder=_place(args["visual_encoder"], folder),
        n_visual_tokens=args["n_visual_tokens"],
        retrieval_dim=args["shared_emb_dim"],
        text_emb_layers=tuple(layers) if isinstance(layers, list) else layers,
        tie_ret=True,  # one row, in the LM's tied embeddings
        lm_rows=args["retrieval_token_idx"],
    )


def _place(name: Any, folder: Path) -> Any:
    """The name of a frozen model as it counts from `folder`; Hub names stay as they are."""
    if not isinstance(name, str) or Path(name).is_absolute():
        return name
    here = folder.resolve()
    for place in (here, *here.parents[:2], Path.cwd()):
        if (place / name).is_dir():
            return Path(os.path.relpath(place / name, here)).as_posix()
    return name


def _read_bridge(folder: Path) -> dict[str, Tensor]:
    path = _present(folder / CHECKPOINT)
    state = load_state(path)
    state = state.get("state_dict", state)
    if not isinstance(state, Mapping) or RET_ROW not in state:
        raise CheckpointError(
            f"{path} is no checkpoint of the released FROMAGe: it has no {RET_ROW}.",
            "A training checkpoint must be pruned first, by the original's prune_model_ckpt.py.",
        )
    tensors: dict[str, Tensor] = {}
    strange: list[str] = []
    for key, value in state.items():
        name = bridge_name(key)
        if key == LM_ROWS:
            continue
        if name is None or not isinstance(value, Tensor):
            strange.append(str(key))
        else:
            tensors[name] = (value.reshape(-1) if name == "ret_row" else value).float()
    if strange:
        more = f" and {len(strange) - SHOWN_KEYS} more" if len(strange) > SHOWN_KEYS else ""
        raise CheckpointError(f"{path} holds what is no part of FROMAGe: {', '.join(strange[:SHOWN_KEYS])}{more}.")
    return tensors


def bridge_name(key: str) -> str | None:
    """The bridge's name of a tensor in the original's state dict; None if it has none."""
    if key == RET_ROW:
        return "ret_row"
    match key.split("."):
        case ["model", "logit_scale"]:
            return "logit_scale"
        case ["model", "visual_embeddings" | "visual_fc" as layer, "weight" | "bias" as part]:
            return f"{layer}.{part}"
        case ["model", "text_hidden_fcs", number, "0", "weight" | "bias" as part]:  # a linear map, then a dropout
            return f"text_hidden_fcs.{number}.{part}"
    return None


def load_state(path: Path) -> dict[str, Any]:
    """What a foreign PyTorch file holds, on the CPU. Nothing but tensors and plain containers is unpickled.

    Raises:
        CheckpointError: the file is missing, damaged, or holds anything else.
    """
    with _present(path).open("rb") as file:
        if file.read(23) == b"version https://git-lfs":
            raise CheckpointError(f"{path} is only a pointer to the file.", "Fetch the file itself: git lfs pull")
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise CheckpointError(
            f"{path} is damaged, or holds something other than tensors, which is not loaded.",
            "Copy or download it again from a source that you trust.",
        ) from error
    except Exception as error:  # torch raises anything from EOFError to RuntimeError on a damaged file
        raise CheckpointError(f"{path} can't be read: {reason(error)}.", "Copy or download it again.") from error
    if not isinstance(state, dict):
        raise CheckpointError(f"{path} holds no tensors by name.")
    return state


def _present(path: Path) -> Path:
    if not path.is_file():
        raise CheckpointError(
            f"The model in {path.parent} is incomplete: {path.name} is missing.",
            f"The released FROMAGe is {MODEL_ARGS} and {CHECKPOINT} in one folder.",
        )
    return path
