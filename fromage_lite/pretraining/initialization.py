"""First weights of the shipped LMs: attention heads that look back and that match, so that it can copy at once.

Left to chance, a model of this size and budget finds copying from its context late or never (induction heads: Olsson et
al. 2022, arXiv 2209.11895). Weights that start in the form that trained ones take are called mimetic (Trockman and
Kolter 2023, arXiv 2305.09828). All of them are trained on.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

LOOK_BACK = ((1, 2, 3, 4), (1, 2), (1,), ())
"""Per layer, how many places back each of its first heads looks."""
_MATCHING = 4
"""Heads of the later layers, after those, that start as matching heads."""
_SHARPNESS = 4.9
_PAIRS = 8
"""Rotary frequency pairs that a look-back head uses, from the fastest."""
_COPY = 4.0
_SLOW = 0.05
"""Radians per position below which a rotary pair still matches over the length of a text."""


@torch.no_grad()
def initialize(model: Any, theta: float = 10_000.0) -> None:
    """Set the first weights of a Llama with `attention_bias`, in place; its heads are together as wide as its state.

    The projections into the residual stream start at zero but for these heads:
    - look-back heads: query and key are biases alone, a fixed distance apart on the rotary circle; the first layer's
      copy what they see, each from its own subspace of the embeddings into one of its own;
    - matching heads: the query is the present token, the key what a look-back head has noted, so that head 0 attends to
      what followed an earlier occurrence of the present token, head 1 to what came two places later, and so on; the
      last compares with tokens themselves. They copy what they see as it is.
    """
    config = model.config
    head = config.hidden_size // config.num_attention_heads
    frequency = theta ** (-torch.arange(head // 2) / (head // 2))
    slow = (torch.cat([frequency, frequency]) < _SLOW).float().unsqueeze(1)
    subspaces = _orthogonal(config.hidden_size).split(head, dim=1)  # each (hidden_size, head)
    notes = _orthogonal(config.hidden_size).split(head, dim=1)
    for name, parameter in model.named_parameters():
        if name.endswith(("o_proj.weight", "down_proj.weight")):
            parameter.zero_()
        elif name.endswith(("q_proj.bias", "k_proj.bias")):
            nn.init.normal_(parameter, std=0.5)
    for number, layer in enumerate(model.model.layers):
        back = LOOK_BACK[number] if number < len(LOOK_BACK) else ()
        for i, distance in enumerate(back):
            rows = slice(i * head, (i + 1) * head)
            _look_back(layer.self_attn, rows, distance, frequency)
            if number == 0:
                _copy(layer.self_attn, rows, subspaces[i], notes[i] * config.initializer_range)
        matching = range(min(_MATCHING, config.num_attention_heads - len(back))) if number else range(0)
        for i in matching:
            rows = slice((len(back) + i) * head, (len(back) + i + 1) * head)
            own = i == _MATCHING - 1
            _match(layer.self_attn, rows, subspaces[0 if own else i], subspaces[0] if own else notes[i], slow)
            subspace = subspaces[len(back) + i]
            _copy(layer.self_attn, rows, subspace, subspace * config.initializer_range * _COPY)


def _orthogonal(size: int) -> Tensor:
    return nn.init.orthogonal_(torch.empty(size, size))


def _look_back(attention: Any, rows: slice, distance: int, frequency: Tensor) -> None:
    """Query and key differ by the rotation of `distance` places: their product is largest exactly there."""
    half = len(frequency)
    for projection in (attention.q_proj, attention.k_proj):
        projection.weight[rows] *= 0.1
        projection.bias[rows] = 0
    angle = distance * frequency[:_PAIRS]
    query, key = attention.q_proj.bias[rows], attention.k_proj.bias[rows]
    query[:_PAIRS] = _SHARPNESS
    key[:_PAIRS] = _SHARPNESS * torch.cos(angle)
    key[half : half + _PAIRS] = _SHARPNESS * torch.sin(angle)


def _match(attention: Any, rows: slice, query: Tensor, key: Tensor, slow: Tensor) -> None:
    for projection, subspace in ((attention.q_proj, query), (attention.k_proj, key)):
        projection.weight[rows] = subspace.T * slow
        projection.bias[rows] = 0


def _copy(attention: Any, rows: slice, read: Tensor, write: Tensor) -> None:
    attention.v_proj.weight[rows] = read.T
    attention.o_proj.weight[:, rows] = write
