"""The figures of training: a table of ways to train, and what they come to."""

from __future__ import annotations

from dataclasses import asdict, dataclass


@dataclass(frozen=True)
class TrainingRow:
    """A way to train.

    Attributes:
        way: what is saved.
        step: seconds of a step, over the batches.
        speedup: against the paper's way.
        operations: floating-point operations of the matrix products in a step, over the batches.
        gradient_error: largest deviation of a gradient from the paper's way, as a share of that tensor's largest.
        smooth_error: the same with GELU in place of the LM's ReLU. In fp32 two ways round differently, and where a
            number lies that near to ReLU's kink, one takes its slope from the left, the other from the right.
    """

    way: str
    step: float
    speedup: float
    operations: float
    gradient_error: float
    smooth_error: float


@dataclass(frozen=True)
class TrainingFigures:
    """The paper's way and ours with the same batches, in one run.

    Attributes:
        speedup_cached_features: examples a second of ours, with the image features from the store, over the paper's.
        speedup_plain: the same where the encoder runs in every step.
        limit_cached_features: what the speed-up would be if operations alone counted.
        limit_plain: likewise.
        grad_max_rel_error: `TrainingRow.smooth_error`, the largest of ours.
        grad_max_rel_error_at_kinks: `TrainingRow.gradient_error`, the largest of ours.
        trainable_bytes: what has a gradient in ours.
        trainable_bytes_plain: in the paper's way.
        optimizer_bytes: AdamW's two moments in ours.
        share_of_flop_limit: the time that the operations of ours with cached features take in large matrix products,
            as a share of the measured one.
        examples_per_second: pictures with a caption, of ours with cached features.
        operations_per_second: of large matrix products.
        mean_tokens: of a caption with its beginning-of-text token and `[RET]`.
        peak_bytes: peak memory of the whole measurement.
        rows: the table.
    """

    speedup_cached_features: float
    speedup_plain: float
    limit_cached_features: float
    limit_plain: float
    grad_max_rel_error: float
    grad_max_rel_error_at_kinks: float
    trainable_bytes: int
    trainable_bytes_plain: int
    optimizer_bytes: int
    share_of_flop_limit: float
    examples_per_second: float
    operations_per_second: float
    mean_tokens: float
    peak_bytes: int
    rows: list[TrainingRow]


def as_table(figures: TrainingFigures) -> str:
    """The rows as Markdown."""
    lines = ["| saved | step | speed-up | operations | gradients' deviation | with ReLU |", "|---|---|---|---|---|---|"]
    for row in figures.rows:
        lines.append(
            f"| {row.way} | {row.step:.2f} s | {row.speedup:.2f} | {row.operations / 1e9:.0f} G | "
            f"{row.smooth_error:.0e} | {row.gradient_error:.0e} |"
        )
    return "\n".join(lines)


def flat(figures: TrainingFigures) -> dict[str, float | int]:
    """The figures without the table."""
    return {name: value for name, value in asdict(figures).items() if name != "rows"}
