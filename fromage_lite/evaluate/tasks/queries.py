"""Prompts as vectors to search with: `[RET]` after each, many at once; and the encoder's own text tower beside it."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional as F

from fromage_lite.errors import ConfigError, MessageError
from fromage_lite.model.fromage import Fromage, ModelSegment
from fromage_lite.vision.space import EncoderSpace


@torch.inference_mode()
def query_embeds(
    model: Fromage,
    prompts: Sequence[Sequence[ModelSegment]],
    batch_size: int = 32,
    *,
    embed: Callable[[Sequence[ModelSegment]], Tensor] | None = None,
) -> npt.NDArray[np.float32]:
    """Interleaved prompts, each with `[RET]` appended -> `(n, R)` unit vectors in the retrieval space.

    Args:
        model: the model.
        prompts: the prompts; only those of a batch are in memory as the LM sees them.
        batch_size: how many are read at once.
        embed: a prompt as the LM sees it, (1, T, D); None is `Fromage.prompt_embeds`.

    Raises:
        MessageError: a prompt does not fit into the LM's positions.
    """
    embed = embed or model.prompt_embeds
    ret = model.token_embeds([model.language.ret_token_id])
    found = torch.empty(len(prompts), model.config.retrieval_dim)
    lengths = [model.prompt_length(prompt) for prompt in prompts]
    if lengths and max(lengths) >= model.language.max_positions:
        limit = f"the language model has {model.language.max_positions} positions"
        raise MessageError(f"A text to search with has {max(lengths)} tokens, and {limit}.", "Use a larger model.")
    order = sorted(range(len(prompts)), key=lengths.__getitem__)  # so that little is padded
    for start in range(0, len(order), batch_size):
        rows = order[start : start + batch_size]
        inputs, mask = padded_on_left([torch.cat([embed(prompts[row]), ret], dim=1) for row in rows])
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


class TextTower:
    """The frozen encoder alone: pictures and texts as unit vectors in its own space. No bridge takes part."""

    def __init__(self, space: EncoderSpace, batch_size: int = 256) -> None:
        self._space, self._batch = space, batch_size

    def texts(self, texts: Sequence[str]) -> npt.NDArray[np.float32]:
        """Texts, cut to the tower's context -> `(n, dim)`."""
        starts = range(0, len(texts), self._batch)
        parts = [self._space.text_embeds(texts[start : start + self._batch]).cpu() for start in starts]
        embeds: npt.NDArray[np.float32] = torch.cat(parts).float().numpy()
        return embeds

    def pictures(self, pooled: Tensor) -> npt.NDArray[np.float32]:
        """Pooled features `(n, visual_dim)` -> `(n, dim)`."""
        return self._space.project(pooled.float().cpu().numpy())


def text_tower(model: Fromage) -> TextTower | None:
    """The frozen encoder with its text tower; None if it has none."""
    space = EncoderSpace(model.vision)
    return None if space.tower is None else TextTower(space)


def need_retrieval(model: Fromage) -> None:
    """
    Raises:
        ConfigError: the bridge was not trained to find pictures.
    """
    if not model.config.has_retrieval:
        raise ConfigError("This model was not trained to find pictures.", "Evaluate captions or questions with it.")
