"""Text towers of transformers."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from fromage_lite.checkpoint.hub import file_options, no_progress_bars
from fromage_lite.errors import CheckpointError

_OLD_BUFFERS = ("position_ids",)


def load_tower(name: str, revision: str | None, device: torch.device, dtype: torch.dtype) -> TransformersTower:
    """Loads the text tower of a two-tower checkpoint, strictly, and what projects its image tower's feature.

    Raises:
        CheckpointError: weights are missing.
        Exception: anything from OSError to SafetensorError on a missing or damaged file.
    """
    import transformers

    with no_progress_bars(), quiet():
        model, report = transformers.AutoModel.from_pretrained(
            name, revision=revision, dtype=torch.float32, output_loading_info=True, **file_options()
        )
        tokenizer = transformers.AutoTokenizer.from_pretrained(name, revision=revision)
    if missing := sorted(key for key in report["missing_keys"] if not key.endswith(_OLD_BUFFERS)):
        raise CheckpointError(
            f"The text tower of {name} is incomplete: {missing[0]} is missing.",
            "Use weights and a config.json that belong together.",
        )
    return TransformersTower(model.eval().requires_grad_(False), tokenizer, device, dtype)


class TransformersTower:
    """A `TextTower` by `get_text_features`. The image tower is given up: `VisionEncoder` has one.

    Args:
        model: the whole model, in float32 on the CPU.
        tokenizer: its tokenizer.
        device: where the text tower runs.
        dtype: of its weights.
    """

    def __init__(self, model: Any, tokenizer: Any, device: torch.device, dtype: torch.dtype) -> None:
        parts = dict(model.named_children())
        projection = parts.get("visual_projection")
        self.projection: Tensor | None = None if projection is None else projection.weight.detach().to(device)
        del model.vision_model
        self._model = model.to(device=device, dtype=dtype)
        self._tokenizer, self._device = tokenizer, device
        self._limit = min(model.config.text_config.max_position_embeddings, tokenizer.model_max_length)
        # SigLIP reads its last position, and was trained on texts that always fill all of them.
        self._padding = "max_length" if model.config.model_type.startswith("siglip") else True
        with torch.inference_mode():
            self.dim = self.encode_text([""]).shape[1]

    def encode_text(self, texts: Sequence[str]) -> Tensor:
        """As `TextTower.encode_text`."""
        tokens = self._tokenizer(
            list(texts), padding=self._padding, truncation=True, max_length=self._limit, return_tensors="pt"
        )
        features = self._model.get_text_features(**tokens.to(self._device))
        pooled = features if isinstance(features, Tensor) else features.pooler_output  # by version of transformers
        return F.normalize(pooled.float(), dim=-1)

    def fits(self, text: str) -> bool:
        """As `TextTower.fits`."""
        return len(self._tokenizer(text)["input_ids"]) <= self._limit


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Stops transformers from listing the text tower's weights as unexpected: the callers check what matters."""
    from transformers.utils import logging

    verbosity = logging.get_verbosity()
    logging.set_verbosity_error()
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)
