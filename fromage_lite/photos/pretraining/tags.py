"""The visual tokens of a picture in the LM's own embeddings: what a bridge's map has to give, in closed form."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from fromage_lite.photos.pretraining.tokenizer import SLOTS
from fromage_lite.photos.text.words import N_TAGS, tags
from fromage_lite.photos.world.classes import CLASSES
from fromage_lite.pretraining.tokenizer import PAD_ID


def slot_ids(tokenizer: Any) -> list[int]:
    """Ids of the tokens for the places of a span."""
    ids: list[int] = tokenizer.convert_tokens_to_ids(list(SLOTS))
    return ids


class TagTable(nn.Module):
    """The tags of all classes as token ids; a tag of several words (`bird of prey`) is the sum of their embeddings."""

    ids: Tensor

    def __init__(self, tokenizer: Any) -> None:
        super().__init__()
        rows = [
            tokenizer.encode(f" {tag}", add_special_tokens=False) for row in CLASSES for tag in tags(row)
        ]  # N_TAGS a class
        longest = max(map(len, rows))
        ids = torch.tensor([row + [PAD_ID] * (longest - len(row)) for row in rows])
        self.register_buffer("ids", ids, persistent=False)

    def embeds(self, table: Tensor) -> Tensor:
        """The embedding of each tag, (classes, N_TAGS, width), from the LM's embeddings (vocabulary, width)."""
        summed = F.embedding_bag(self.ids, table, mode="sum", padding_idx=PAD_ID)
        return summed.view(len(CLASSES), N_TAGS, -1)

    def fill(self, inputs_embeds: Tensor, table: Tensor, at: Tensor, mixtures: Tensor) -> Tensor:
        """Adds the mixtures of tags to a batch in which the slots' own tokens stand already.

        Args:
            inputs_embeds: (batch, length, width).
            table: the LM's embeddings, (vocabulary, width).
            at: row and first position of each span, (n, 2).
            mixtures: (n, classes).
        """
        if len(at) == 0:
            return inputs_embeds
        visual = (mixtures @ self.embeds(table).flatten(1)).view(len(at), N_TAGS, -1)
        rows, columns = at.unbind(1)
        places = columns[:, None] + torch.arange(N_TAGS, device=at.device)
        return inputs_embeds.index_put((rows[:, None], places), visual.to(inputs_embeds), accumulate=True)

    @torch.no_grad()
    def visual_map(self, table: Tensor, slots: list[int]) -> tuple[Tensor, Tensor]:
        """Weight (N_TAGS * width, classes) and bias (N_TAGS * width,) of the map from probabilities to visual tokens.

        Args:
            table: the LM's embeddings, (vocabulary, width).
            slots: `slot_ids`.
        """
        return self.embeds(table.float()).flatten(1).T.contiguous(), table[slots].float().flatten()
