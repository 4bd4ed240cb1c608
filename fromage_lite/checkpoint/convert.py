"""Foreign bridges in our own format: the released FROMAGe, and the adapters of its relatives.

- linear-modality-alignment (qxzcode): `{"linear.weight", "linear.bias"}`, a linear map of CLIP's pooled feature to
  several visual tokens, for an instruction model; its prompts stand in `[INST]`, its pictures in `<image:…>`.
- LiMBeR (jmerullo/limber): `proj.ckpt` = `{"weight", "bias"}`, a linear map of each patch (of CLIP RN50x16, BEiT), or
  of the pooled feature (NF-ResNet-50), to one visual token, for GPT-J.

The relatives learned from captions alone: they have no `[RET]`, and find no pictures.
No frozen model is loaded for a conversion; of a language model only its configuration is read.
"""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from fromage_lite.checkpoint.card import CARD_FILE, write_converted_card
from fromage_lite.checkpoint.locate import checkpoint_folder, portable_config, resolve_model_name
from fromage_lite.checkpoint.released import CHECKPOINT, MODEL_ARGS, load_state, read_released, released_folder
from fromage_lite.config import CAPTIONING, CONFIG_FILE, WEIGHTS_FILE, FromageConfig, VisualInput
from fromage_lite.errors import CheckpointError, ConfigError
from fromage_lite.files import damaged, write_tensors
from fromage_lite.placement import without_weights
from index.errors import reason
from index.files import sync_folder, write_bytes


@dataclass(frozen=True)
class Conversion:
    """A bridge in our terms, and what the model card says about it.

    Attributes:
        config: names of frozen models count from `base_dir` or are Hub names.
        tensors: the bridge's tensors, float32.
        origin: what was converted.
        base_dir: None is the working directory.
    """

    config: FromageConfig
    tensors: dict[str, Tensor]
    origin: str
    base_dir: Path | None = None


@dataclass(frozen=True)
class _Relative:
    """An adapter format and the models it was made for; "" where its files don't tell."""

    title: str
    weight: str
    bias: str
    language_model: str
    vision_encoder: str
    options: dict[str, Any]


_RELATIVES = (
    _Relative(
        "linear-modality-alignment",
        "linear.weight",
        "linear.bias",
        language_model="mistralai/Mistral-7B-Instruct-v0.1",
        vision_encoder="openai/clip-vit-large-patch14",
        options={"prompt_template": "inst", "image_prefix": "\n\n<image:", "image_suffix": ">\n\n"},
    ),
    _Relative(
        "LiMBeR",
        "weight",
        "bias",
        language_model="EleutherAI/gpt-j-6B",
        vision_encoder="",
        options={"prompt_template": "qa"},
    ),
)


def convert(
    source: str | Path,
    out: str | Path,
    *,
    language_model: str | None = None,
    vision_encoder: str | None = None,
    visual_input: VisualInput | None = None,
    force: bool = False,
) -> FromageConfig:
    """Writes a foreign bridge in our format: config.json, model.safetensors and a model card.

    Args:
        source: folder or Hub id of the released FROMAGe, or a relative's adapter file.
        out: the folder to make. It appears whole or not at all; an existing one gets its files replaced one by one.
        language_model: the frozen LM, a Hub name or a folder; None is the one that the source was made for.
        vision_encoder: the frozen image encoder, likewise.
        visual_input: for LiMBeR, what its map is applied to; None is `pooled` for timm's encoders, `grid` for others.
        force: write into a folder that is there.

    Returns:
        The configuration as written.

    Raises:
        CheckpointError: the source is missing, damaged or of no known format, or `out` is there or can't be written to.
        ConfigError: the source does not fit the language model.
    """
    folder = Path(out)
    if not force and (folder.is_file() or (folder.is_dir() and any(folder.iterdir()))):
        raise CheckpointError(f"{folder} is there already.", "Name another folder, or add --force to overwrite it.")
    path = Path(source).expanduser()
    if path.is_file() and path.name not in (MODEL_ARGS, CHECKPOINT):
        found = _read_adapter(path, language_model, vision_encoder, visual_input)
    elif visual_input is not None:
        raise ConfigError("visual_input can be chosen for an adapter file only.")
    else:
        found = _read_released(path.parent if path.is_file() else source, language_model, vision_encoder)
    config = portable_config(found.config, found.base_dir, folder)
    try:
        _write(folder, config, found)
    except OSError as error:
        raise CheckpointError(f"The model can't be written to {folder}: {reason(error)}.") from error
    return config


def _read_released(source: str | Path, language_model: str | None, vision_encoder: str | None) -> Conversion:
    found = checkpoint_folder(source)
    folder = released_folder(found)
    if folder is None:
        if (found / CONFIG_FILE).exists():
            raise CheckpointError(f"The model {source} is in this program's format already.", "Use it as it is.")
        raise CheckpointError(
            f"There is nothing to convert in {found}.",
            f"Name a folder with {MODEL_ARGS} and {CHECKPOINT}, or an adapter file of a relative.",
        )
    config, tensors = read_released(folder)
    visual = tensors["visual_embeddings.weight"] if "visual_embeddings.weight" in tensors else None
    if visual is None or len(visual) % config.n_visual_tokens:
        raise CheckpointError(f"{folder / CHECKPOINT} does not fit {MODEL_ARGS}: its visual_embeddings are another's.")
    config = dataclasses.replace(
        config,
        language_model=_given(language_model) or config.language_model,
        vision_encoder=_given(vision_encoder) or config.vision_encoder,
        visual_dim=visual.shape[1],
        lm_dim=len(visual) // config.n_visual_tokens,
    )
    return Conversion(config, tensors, "the original FROMAGe's released files", folder)


def _read_adapter(
    path: Path, language_model: str | None, vision_encoder: str | None, visual_input: VisualInput | None
) -> Conversion:
    state = load_state(path)
    relative = next((r for r in _RELATIVES if set(state) == {r.weight, r.bias}), None)
    if relative is None:
        known = " or ".join(f"{r.weight} and {r.bias} ({r.title})" for r in _RELATIVES)
        shown = ", ".join(sorted(map(str, state))[:4]) or "nothing"
        raise CheckpointError(f"{path} is no adapter of a known format: it holds {shown}.", f"Known are {known}.")
    weight, bias = state[relative.weight], state[relative.bias]
    are_tensors = isinstance(weight, Tensor) and isinstance(bias, Tensor)
    if not are_tensors or weight.dim() != 2 or bias.shape != weight.shape[:1]:
        raise CheckpointError(f"{path} is damaged: weight and bias are no linear map.")
    encoder = _given(vision_encoder) or relative.vision_encoder
    if not encoder:
        raise ConfigError(
            f"{path} does not say which image encoder it is for.",
            "Name it with --vision-encoder: open_clip:RN50x16/openai, microsoft/beit-large-patch16-224-pt22k, "
            "timm:nf_resnet50, …",
        )
    if visual_input is None:
        patchwise = relative.title == "LiMBeR" and not encoder.startswith("timm:")
        visual_input = "grid" if patchwise else "pooled"
    name = _given(language_model) or relative.language_model
    lm_dim = lm_width(name)
    if len(weight) % lm_dim or (visual_input == "grid" and len(weight) != lm_dim):
        raise ConfigError(
            f"{path} makes {len(weight)} numbers, which are no visual tokens for {name} of width {lm_dim}.",
            "Name the language model that it was made for with --lm.",
        )
    config = FromageConfig(
        language_model=name,
        vision_encoder=encoder,
        visual_input=visual_input,
        n_visual_tokens=len(weight) // lm_dim,
        has_retrieval=False,
        visual_dim=weight.shape[1],
        lm_dim=lm_dim,
        **relative.options,
    )
    tensors = dict(zip(CAPTIONING, (weight.float(), bias.float()), strict=True))
    return Conversion(config, tensors, f"an adapter of {relative.title}")


def _given(name: str | None) -> str | None:
    """A name from a command line: `~` stands for the home folder."""
    return None if name is None else os.path.expanduser(name)  # noqa: PTH111  a Hub name is no path


def lm_width(name: str) -> int:
    """Width of a language model's token embeddings, from its configuration alone.

    Raises:
        CheckpointError: there is no such model, or it is no language model.
    """
    from transformers import AutoConfig, AutoModelForCausalLM

    try:
        config = AutoConfig.from_pretrained(resolve_model_name(name, None))
        with without_weights():
            return AutoModelForCausalLM.from_config(config).get_input_embeddings().weight.shape[1]
    except CheckpointError:
        raise
    except Exception as error:  # transformers raises anything from OSError to KeyError
        raise damaged("language model", name, error) from error


def _write(folder: Path, config: FromageConfig, found: Conversion) -> None:
    dtype = smallest_exact_dtype(found.tensors)
    tensors = {name: tensor.to(dtype) for name, tensor in found.tensors.items()}
    text = json.dumps(config.to_dict(), indent=2) + "\n"
    fresh = not folder.exists() or (folder.is_dir() and not any(folder.iterdir()))
    folder.parent.mkdir(parents=True, exist_ok=True)
    place = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.parent)) if fresh else folder
    try:
        write_tensors(place / WEIGHTS_FILE, tensors)
        write_bytes(place / CONFIG_FILE, text.encode())
        write_bytes(place / CARD_FILE, str(write_converted_card(config, found.origin, folder)).encode())
        if fresh:
            place.chmod(0o755)
            place.replace(folder)
            sync_folder(folder.parent)
    finally:
        if fresh and place.exists():
            shutil.rmtree(place)


def smallest_exact_dtype(tensors: dict[str, Tensor]) -> torch.dtype:
    """float16 or bfloat16 if every number survives it, else float32: the released files are of half precision."""
    for dtype in (torch.float16, torch.bfloat16):
        if all(torch.equal(tensor.to(dtype).to(tensor.dtype), tensor) for tensor in tensors.values()):
            return dtype
    return torch.float32
