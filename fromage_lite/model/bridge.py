"""The trained parameters between the frozen models, and the maps they define."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from fromage_lite.config import RETRIEVAL
from fromage_lite.errors import CheckpointError

LEAST_DEVIATION = 1e-3  # share of the largest standard deviation; smaller ones are raised to it, not blown up


@dataclass(frozen=True)
class Whitening:
    """An affine map to features of zero mean, unit variance and no correlation.

    Attributes:
        mean: (visual_dim,).
        matrix: (visual_dim, visual_dim), symmetric.
    """

    mean: Tensor
    matrix: Tensor

    @classmethod
    def of(cls, features: Tensor) -> Self:
        """Fits it to a sample (n, visual_dim), in float64."""
        mean = features.double().mean(dim=0)
        centred = features.double() - mean
        variances, directions = torch.linalg.eigh(centred.T @ centred / len(features))
        deviations = variances.clamp(min=0).sqrt()
        deviations = deviations.clamp(min=LEAST_DEVIATION * float(deviations.max()) or 1.0)
        return cls(mean.float(), (directions / deviations @ directions.T).float())

    def __call__(self, features: Tensor) -> Tensor:
        """(…, visual_dim) -> (…, visual_dim)."""
        return (features - self.mean) @ self.matrix


@dataclass(frozen=True)
class Space:
    """The space that an encoder shares with its text tower: unit vectors.

    Attributes:
        projection: from the pooled feature into the space, (S, pooled width); None where the feature is in it already.
    """

    projection: Tensor | None = None

    def __call__(self, features: Tensor) -> Tensor:
        """Pooled features (…, pooled width) -> (…, S)."""
        if self.projection is not None:
            features = features @ self.projection.to(features).T
        return F.normalize(features, dim=-1)

    def inverse(self, places: Tensor) -> Tensor:
        """The least pooled features that lie in given directions, (…, S) -> (…, pooled width)."""
        if self.projection is None:
            return places
        return places @ torch.linalg.pinv(self.projection.float()).T.to(places)


class SoftPrompt(nn.Module):
    """Trained tokens that begin every sequence (Lester, Al-Rfou and Constant 2021, arXiv 2104.08691).

    Args:
        count: how many.
        dim: width of the LM's embeddings.
        mlp: whether they go through a small network first, which is trained with them.
    """

    def __init__(self, count: int, dim: int, mlp: bool) -> None:
        super().__init__()
        self.tokens = nn.Parameter(torch.randn(count, dim) / (1 if mlp else math.sqrt(dim)))
        self.mlp = nn.Sequential(nn.Linear(dim, dim), nn.Tanh(), nn.Linear(dim, dim)) if mlp else None

    def forward(self) -> Tensor:
        """The tokens, (count, dim)."""
        return self.tokens if self.mlp is None else self.mlp(self.tokens)


class Bridge(nn.Module):
    """Everything that is trained. It computes in its own dtype (float32) whatever the frozen models use, even under
    mixed precision: bfloat16 cosines times a scale of 100 would be off by 0.4.

    Shapes: B batch, V visual tokens, D width of the LM's embeddings, R width of the retrieval space.
    """

    def __init__(
        self,
        visual_dim: int,
        lm_dim: int,
        layer_dims: Sequence[int],
        n_visual_tokens: int = 1,
        retrieval_dim: int = 256,
        output_dim: int | None = None,
        space: Space | None = None,
        *,
        visual_width: int | None = None,
        n_maps: int = 1,
        visual_norm: bool = False,
        soft_prompt: int = 0,
        soft_prompt_mlp: bool = False,
    ) -> None:
        """
        Args:
            visual_dim: width of the encoder's feature, or of the space.
            lm_dim: D.
            layer_dims: width of each LM layer that contributes to the query.
            n_visual_tokens: V, for each feature vector.
            retrieval_dim: R.
            output_dim: width of the LM head's rows if `[RET]` has its own output row; None ties it to the input row.
            space: what the two maps of features read; None is the encoder's features as they are.
            visual_width: width of the visual tokens; None is D. It is another where they don't stand among the LM's
                input embeddings.
            n_maps: how many features an image has that each go through a map of their own.
            visual_norm: whether a LayerNorm follows.
            soft_prompt: how many trained tokens begin every sequence.
            soft_prompt_mlp: whether a network makes them.
        """
        super().__init__()
        self._space = space
        self.n_visual_tokens, self.lm_dim, self.n_maps = n_visual_tokens, lm_dim, n_maps
        self.visual_width = visual_width or lm_dim
        self.visual_embeddings = nn.Linear(visual_dim, n_maps * n_visual_tokens * self.visual_width)
        self.visual_norm = nn.LayerNorm(self.visual_width) if visual_norm else None
        self.soft_prompt = SoftPrompt(soft_prompt, lm_dim, soft_prompt_mlp) if soft_prompt else None
        self.visual_fc = nn.Linear(visual_dim, retrieval_dim)
        self.text_hidden_fcs = nn.ModuleList(nn.Linear(dim, retrieval_dim) for dim in layer_dims)
        self.ret_row = nn.Parameter(torch.randn(lm_dim) / math.sqrt(lm_dim))
        self.ret_output_row = None if output_dim is None else nn.Parameter(torch.randn(output_dim) / output_dim**0.5)
        self.logit_scale = nn.Parameter(torch.tensor(math.log(1 / 0.07)))
        self._whitening: Whitening | None = None
        self.visual_dropout: Callable[[Tensor], Tensor] | None = None  # set for the length of a training step

    @property
    def output_row(self) -> Tensor:
        """The row of `[RET]` in the LM's head: the input row if tied."""
        return self.ret_row if self.ret_output_row is None else self.ret_output_row

    def visual_embeds(self, features: Tensor) -> Tensor:
        """Pooled features (B, visual_dim) -> the images in the LM's input space (B, V, visual_width).

        Each of several features (B, P, visual_dim) gets its own visual tokens: (B, P * V, visual_width).
        """
        with self._full_precision():
            tokens = self._mapped(self._whitened(features))
            tokens = tokens.view(*features.shape[:-1], self.n_visual_tokens, self.visual_width)
            tokens = tokens if features.dim() == 2 else tokens.flatten(1, 2)
            tokens = tokens if self.visual_norm is None else self.visual_norm(tokens)
            return tokens if self.visual_dropout is None else self.visual_dropout(tokens)

    def _mapped(self, features: Tensor) -> Tensor:
        if self.n_maps == 1:
            return self.visual_embeddings(features)
        weight = self.visual_embeddings.weight.unflatten(0, (self.n_maps, -1))
        return torch.einsum("...mi,moi->...mo", features, weight) + self.visual_embeddings.bias.view(self.n_maps, -1)

    def image_embeds(self, pooled: Tensor) -> Tensor:
        """Pooled features (B, visual_dim) -> unit vectors in the retrieval space (B, R)."""
        with self._full_precision():
            return F.normalize(self.visual_fc(self._whitened(pooled)), dim=-1)

    def query_embeds(self, hidden: Sequence[Tensor]) -> Tensor:
        """Hidden states at `[RET]`, one (B, layer_dim) per layer -> unit vectors in the retrieval space (B, R)."""
        if len(hidden) != len(self.text_hidden_fcs):
            raise ValueError(f"query_embeds needs {len(self.text_hidden_fcs)} layer(s), got {len(hidden)}")
        with self._full_precision():
            queries = [fc(self._own(state)) for fc, state in zip(self.text_hidden_fcs, hidden, strict=True)]
            return F.normalize(torch.stack(queries).sum(dim=0), dim=-1)

    def whiten(self, whitening: Whitening) -> None:
        """Makes the two maps of features read whitened ones until `fold`; their parameters stay.

        Training does so because the encoder's features vary a thousand times more in some directions than in others,
        and gradient descent learns the small ones that much more slowly. The result is still one linear map.
        """
        self._whitening = Whitening(self._own(whitening.mean), self._own(whitening.matrix))

    @torch.no_grad()
    def folded(self) -> dict[str, Tensor]:
        """`state_dict()` of the bridge that computes the same from unwhitened features."""
        tensors = self.state_dict()
        if self._whitening is None:
            return tensors
        for name in ("visual_embeddings", "visual_fc"):
            weight = tensors[f"{name}.weight"] @ self._whitening.matrix
            tensors[f"{name}.weight"] = weight
            tensors[f"{name}.bias"] = tensors[f"{name}.bias"] - weight @ self._whitening.mean
        return tensors

    def fold(self) -> None:
        """Ends `whiten`: the bridge computes the same as before, from unwhitened features."""
        self.load_state_dict(self.folded())
        self._whitening = None

    @torch.no_grad()
    def normalise_visual(self, pooled: Tensor, mean_norm: float) -> None:
        """Rescales the map to visual tokens so that those of a sample have a given norm on average.

        Args:
            pooled: the sample, (B, visual_dim).
            mean_norm: the norm; for example, the mean norm of the LM's input rows.
        """
        factor = mean_norm / self.visual_embeds(pooled).norm(dim=-1).mean()
        self.visual_embeddings.weight.mul_(factor)
        self.visual_embeddings.bias.mul_(factor)

    @torch.no_grad()
    def fit_visual(self, features: Tensor, targets: Callable[[slice], Tensor], chunk: int = 1000) -> None:
        """Sets the map to visual tokens to the least-squares fit to given targets, in closed form.

        Args:
            features: (n, visual_dim).
            targets: maps a slice of the features to the wanted visual tokens, (chunk, V, D).
            chunk: rows in memory at a time.
        """
        whitening = self._whitening or Whitening.of(self.in_space(features).cpu())
        size = self.visual_embeddings.out_features
        total, rounding = (
            torch.zeros(size, dtype=torch.float64),
            torch.zeros(self.visual_embeddings.in_features, dtype=torch.float64),
        )
        products = torch.zeros(size, len(rounding), dtype=torch.float64)
        for start in range(0, len(features), chunk):
            rows = slice(start, start + chunk)
            wanted = targets(rows).flatten(1).double().cpu()
            total += wanted.sum(dim=0)
            places = self.in_space(features[rows]).to(whitening.mean)
            white = whitening(places).double().cpu()
            products += wanted.T @ white
            rounding += white.sum(dim=0)
        products -= torch.outer(total, rounding) / len(features)  # their mean is 0 but for float32
        # Whitened features are uncorrelated with zero mean, so the normal equations need no solving.
        weight, bias = (products / len(features)).float(), (total / len(features)).float()
        if self._whitening is None:
            weight = weight @ whitening.matrix.cpu()
            bias = bias - weight @ whitening.mean.cpu()
        self.visual_embeddings.weight.copy_(weight)
        self.visual_embeddings.bias.copy_(bias)

    @torch.no_grad()
    def set_visual(self, weight: Tensor, bias: Tensor) -> None:
        """Sets the map to visual tokens: weight (V * D, visual_dim) and bias (V * D,)."""
        self.visual_embeddings.weight.copy_(weight)
        self.visual_embeddings.bias.copy_(bias)

    @torch.no_grad()
    def renormalise_ret(self, mean_norm: float, output_mean_norm: float | None = None) -> None:
        """Rescales the `[RET]` row(s) to the mean norm of the LM's other rows, as is done after every training step.

        Args:
            mean_norm: mean norm of the LM's input rows.
            output_mean_norm: mean norm of its output rows, if `[RET]` has its own; None uses `mean_norm`.
        """
        self.ret_row.mul_(mean_norm / self.ret_row.norm())
        if self.ret_output_row is not None:
            self.ret_output_row.mul_((output_mean_norm or mean_norm) / self.ret_output_row.norm())

    def in_space(self, features: Tensor) -> Tensor:
        """Features as the two maps read them: (…, width of the encoder's) -> (…, visual_dim)."""
        features = self._own(features)
        return features if self._space is None else self._space(features)

    def from_space(self, places: Tensor) -> Tensor:
        """Features that lie at given places of the space, (…, visual_dim) -> (…, width of the encoder's)."""
        return places if self._space is None else self._space.inverse(places)

    def _whitened(self, features: Tensor) -> Tensor:
        features = self.in_space(features)
        return features if self._whitening is None else self._whitening(features)

    def _full_precision(self) -> torch.autocast:
        return torch.autocast(self.ret_row.device.type, enabled=False)

    def _own(self, tensor: Tensor) -> Tensor:
        return tensor.to(device=self.ret_row.device, dtype=self.ret_row.dtype)


def is_trained(name: str, has_retrieval: bool) -> bool:
    """Whether a bridge's parameter is trained, by its name and whether the bridge learns to find pictures."""
    return has_retrieval or name.partition(".")[0] not in RETRIEVAL


def load_bridge(bridge: Bridge, tensors: Mapping[str, Tensor], folder: Path, has_retrieval: bool = True) -> None:
    """Fills a bridge from a checkpoint's tensors, strictly; without retrieval, `RETRIEVAL` is not among them.

    Raises:
        CheckpointError: a tensor is missing, extra or misshapen; the error names them all.
    """
    own = {name: tensor for name, tensor in bridge.state_dict().items() if is_trained(name, has_retrieval)}
    faults = [f"missing {name}" for name in sorted(set(own) - set(tensors))]
    faults += [f"unexpected {name}" for name in sorted(set(tensors) - set(own))]
    faults += [
        f"{name} is {tuple(tensors[name].shape)} instead of {tuple(own[name].shape)}"
        for name in sorted(set(own) & set(tensors))
        if own[name].shape != tensors[name].shape
    ]
    if faults:
        raise CheckpointError(
            f"The weights in {folder} do not fit its configuration: {'; '.join(faults)}.",
            "Use a model.safetensors and a config.json that belong together.",
        )
    bridge.load_state_dict(tensors, strict=has_retrieval)
