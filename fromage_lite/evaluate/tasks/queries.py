"""Prompts as vectors to search with: `[RET]` after each, many at once; and the encoder's own text tower beside it."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional as F

from fromage_lite.errors import ConfigError
from fromage_lite.model.fromage import Fromage, ModelSegment

Embed = Callable[[Sequence[Sequence[ModelSegment]]], npt.NDArray[np.float32]]
"""Prompts -> `(n, R)` unit vectors in the space of the pictures that they search."""


@torch.inference_mode()
def query_embeds(
    model: Fromage, prompts: Sequence[Sequence[ModelSegment]], batch_size: int = 32
) -> npt.NDArray[np.float32]:
    """Interleaved prompts, each with `[RET]` appended -> `(n, R)` unit vectors in the retrieval space."""
    return embeds_at_ret(model, [model.prompt_embeds(prompt) for prompt in prompts], batch_size)


@torch.inference_mode()
def embeds_at_ret(model: Fromage, prompts: Sequence[Tensor], batch_size: int = 32) -> npt.NDArray[np.float32]:
    """As `query_embeds`, of prompts as the LM sees them, each (1, T, D)."""
    ret = model.token_embeds([model.language.ret_token_id])
    found = torch.empty(len(prompts), model.config.retrieval_dim)
    order = sorted(range(len(prompts)), key=lambda number: prompts[number].shape[1])  # so that little is padded
    for start in range(0, len(order), batch_size):
        rows = order[start : start + batch_size]
        whole = [torch.cat([prompts[row], ret], dim=1) for row in rows]
        inputs, mask = padded_on_left(whole)
        output = model.language.forward(inputs, layers=model.config.text_emb_layers, mask=mask)
        found[rows] = model.bridge.query_embeds([state[:, -1] for state in output.layers]).float().cpu()
    return found.numpy()


def padded_on_left(prompts: Sequence[Tensor]) -> tuple[Tensor, Tensor | None]:
    """Prompts, each (1, T, D), as one batch (B, T, D), and its mask (B, T) bool; None where nothing is padded."""
    longest = max(prompt.shape[1] for prompt in prompts)
    pads = [longest - prompt.shape[1] for prompt in prompts]
    inputs = torch.cat([F.pad(prompt, (0, 0, pad, 0)) for prompt, pad in zip(prompts, pads, strict=True)])
    if not any(pads):
        return inputs, None
    mask = torch.arange(longest, device=inputs.device)[None] >= torch.tensor(pads, device=inputs.device)[:, None]
    return inputs, mask


def text_tower(model: Fromage, batch_size: int = 256) -> Callable[[Sequence[str]], npt.NDArray[np.float32]] | None:
    """The frozen encoder's text tower: texts -> `(n, dim)` unit vectors in the space of `pooled`; None without one."""
    if not has_text_tower(model):
        return None

    def encode(texts: Sequence[str]) -> npt.NDArray[np.float32]:
        parts = []
        for start in range(0, len(texts), batch_size):
            part = model.vision.encode_text(list(texts[start : start + batch_size]))
            assert part is not None
            parts.append(F.normalize(part.float(), dim=-1).cpu())
        embeds: npt.NDArray[np.float32] = torch.cat(parts).numpy()
        return embeds

    return encode


def has_text_tower(model: Fromage) -> bool:
    """Whether the frozen encoder has one that searches the space of its pooled feature."""
    return model.vision.encode_text(["a picture"]) is not None


def unit(features: Tensor) -> npt.NDArray[np.float32]:
    """Pooled features `(n, dim)` as unit vectors, for the text tower."""
    embeds: npt.NDArray[np.float32] = F.normalize(features.float(), dim=-1).cpu().numpy()
    return embeds


def need_retrieval(model: Fromage) -> None:
    """
    Raises:
        ConfigError: the bridge was not trained to find pictures.
    """
    if not model.config.has_retrieval:
        raise ConfigError("This model was not trained to find pictures.", "Evaluate captions or questions with it.")
