"""Retrieval without `[RET]`: a caption's own states, averaged, in place of the state at a token that is trained for it.

The frozen LM's states at the caption's words depend on nothing that is trained, so that they are computed once; what
learns are the two linear maps into the retrieval space and the temperature, by the recipe's contrastive loss, rate,
steps and batches.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from fromage_lite.evaluate.tasks.queries import padded_on_left
from fromage_lite.model.bridge import Whitening
from fromage_lite.model.fromage import Fromage, ModelSegment
from fromage_lite.playground.suite.bridges import TrainingPictures
from fromage_lite.training.recipe import Recipe
from fromage_lite.training.trainer import learning_rate


class MeanOfStates(nn.Module):
    """Two maps into one space, of pictures' features (B, visual_dim) and of mean caption states (B, D); both are
    whitened, so that the states have as good a start as the features."""

    def __init__(self, visual: Whitening, text: Whitening, retrieval_dim: int) -> None:
        super().__init__()
        self._whiten_visual, self._whiten_text = visual, text
        visual_dim, lm_dim = len(visual.mean), len(text.mean)
        self.visual, self.text = nn.Linear(visual_dim, retrieval_dim), nn.Linear(lm_dim, retrieval_dim)
        self.logit_scale = nn.Parameter(torch.tensor(math.log(1 / 0.07)))

    def pictures(self, features: Tensor) -> Tensor:
        """(B, visual_dim) -> unit vectors (B, R)."""
        return F.normalize(self.visual(self._whiten_visual(features)), dim=-1)

    def texts(self, states: Tensor) -> Tensor:
        """(B, D) -> unit vectors (B, R)."""
        return F.normalize(self.text(self._whiten_text(states)), dim=-1)


@torch.inference_mode()
def mean_states(model: Fromage, prompts: Sequence[Sequence[ModelSegment]], batch_size: int = 64) -> Tensor:
    """The mean of the LM's last hidden states over all positions of each prompt but the beginning of text, (n, D)."""
    language, begins = model.language, len(model.language.beginning)
    embeds = [model.prompt_embeds(prompt) for prompt in prompts]
    found = torch.empty(len(prompts), language.head_dim)
    order = sorted(range(len(prompts)), key=lambda number: embeds[number].shape[1])
    for start in range(0, len(order), batch_size):
        rows = order[start : start + batch_size]
        inputs, mask = padded_on_left([embeds[row] for row in rows])
        hidden = language.forward(inputs, mask=mask).hidden.float().cpu()  # (B, T, D)
        for row, states in zip(rows, hidden, strict=True):
            found[row] = states[-(embeds[row].shape[1] - begins) :].mean(dim=0)
    return found.clone()


def train_without_ret(model: Fromage, pictures: TrainingPictures, recipe: Recipe, n: int, seed: int) -> MeanOfStates:
    """Learns the two maps from the first `n` pictures."""
    torch.manual_seed(seed)
    features = torch.from_numpy(np.asarray(pictures.features[:n], dtype=np.float32))
    states = mean_states(model, [[text] for text in pictures.captions[:n]])
    maps = MeanOfStates(Whitening.of(features), Whitening.of(states), model.config.retrieval_dim)
    optimizer = torch.optim.AdamW(maps.parameters(), lr=recipe.learning_rate, betas=recipe.betas, weight_decay=0.0)
    generator = torch.Generator().manual_seed(seed)
    targets = torch.arange(min(recipe.batch_size, n))
    for step in range(recipe.steps):
        rows = torch.randperm(n, generator=generator)[: len(targets)]
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(recipe, step)
        texts, images = maps.texts(states[rows]), maps.pictures(features[rows])
        logits = maps.logit_scale.exp() * texts @ images.T
        loss = (F.cross_entropy(logits, targets) + F.cross_entropy(logits.T, targets)) / 2
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(maps.parameters(), recipe.clip_norm)
        optimizer.step()
    return maps.requires_grad_(False)


def text_embeds(
    model: Fromage, maps: MeanOfStates, prompts: Sequence[Sequence[ModelSegment]]
) -> npt.NDArray[np.float32]:
    """Prompts -> `(n, R)` unit vectors."""
    embeds: npt.NDArray[np.float32] = maps.texts(mean_states(model, prompts)).numpy()
    return embeds
