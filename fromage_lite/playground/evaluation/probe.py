"""The ceiling of any bridge on pooled features: a linear probe that names the things of a scene."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
from torch.nn import functional as F


def fit_linear_probe(
    features: npt.NDArray[np.floating],
    targets: npt.NDArray[np.floating],
    *,
    epochs: int = 60,
    batch_size: int = 512,
    seed: int = 0,
) -> torch.nn.Linear:
    """Logistic regression by AdamW on standardised features.

    Args:
        features: `(n, dim)`.
        targets: `(n, classes)` of 0 and 1.
        epochs: passes over the data.
        batch_size: rows a step.
        seed: of the order of rows.

    Returns:
        A linear layer on raw features; a logit above 0 means that the class is there.
    """
    generator = torch.Generator().manual_seed(seed)
    x, y = torch.from_numpy(features.astype(np.float32)), torch.from_numpy(targets.astype(np.float32))
    mean, std = x.mean(0), x.std(0) + 1e-6
    x = (x - mean) / std
    probe = torch.nn.Linear(x.shape[1], y.shape[1])
    torch.nn.init.zeros_(probe.weight)
    torch.nn.init.constant_(probe.bias, -3.0)
    optimizer = torch.optim.AdamW(probe.parameters(), lr=3e-3, weight_decay=1e-4)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, epochs * -(-len(x) // batch_size))
    for _ in range(epochs):
        for rows in torch.randperm(len(x), generator=generator).split(batch_size):
            loss = F.binary_cross_entropy_with_logits(probe(x[rows]), y[rows], reduction="sum") / len(rows)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
    with torch.no_grad():
        probe.weight.div_(std)
        probe.bias.sub_(probe.weight @ mean)
    return probe.requires_grad_(False)


def exact_sets(
    probe: torch.nn.Linear, features: npt.NDArray[np.floating], targets: npt.NDArray[np.floating]
) -> npt.NDArray[np.bool_]:
    """`(n,)`: whether the probe's set of classes is exactly the right one."""
    logits = probe(torch.from_numpy(features.astype(np.float32))).numpy()
    exact: npt.NDArray[np.bool_] = ((logits > 0) == (targets > 0)).all(axis=1)
    return exact
