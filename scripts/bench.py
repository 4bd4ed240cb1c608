"""Measure speed and memory on this machine, with random weights of real shapes. Nothing is downloaded.

\b
python scripts/bench.py decode            replies and dialogues, tokens per second
python scripts/bench.py train             training steps with cached features
python scripts/bench.py search            search over 3.3 million vectors
python scripts/bench.py tui               the chat app: start, keys, long replies, many pictures
python scripts/bench.py decode --lm opt-6.7b --encoder clip-vit-large-patch14 --dtype bfloat16 --compile   on a GPU

Run it alone: whatever else the machine does shows in the figures.
"""

from __future__ import annotations

import json
from dataclasses import asdict
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fromage_lite.errors import FromageError

if TYPE_CHECKING:
    from fromage_lite.model.fromage import Fromage


class Precision(StrEnum):
    """Of the frozen models."""

    float32 = "float32"
    bfloat16 = "bfloat16"
    float16 = "float16"


app = typer.Typer(add_completion=False, rich_markup_mode=None, help=__doc__, no_args_is_help=True)
Lm = Annotated[str, typer.Option(help="opt-125m, opt-1.3b or opt-6.7b.")]
Encoder = Annotated[str, typer.Option(help="clip-vit-base-patch32 or clip-vit-large-patch14.")]
Dtype = Annotated[Precision, typer.Option(help="Of the frozen models.")]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda or mps.")]
Repeats = Annotated[int, typer.Option(min=1, help="The median of so many runs is shown.")]


@app.command()
def decode(
    lm: Lm = "opt-125m",
    encoder: Encoder = "clip-vit-base-patch32",
    dtype: Dtype = Precision.float32,
    device: Device = "auto",
    new_tokens: Annotated[int, typer.Option(min=2, help="Tokens of a reply.")] = 64,
    compile_: Annotated[
        bool, typer.Option("--compile", help="Compile the LM and decode into a cache of fixed size.")
    ] = False,
    repeats: Repeats = 5,
) -> None:
    """A reply to an image and 20 tokens, a dialogue of five such turns, and transformers' generate."""
    from fromage_lite.bench.decoding import measure_decoding

    model = _model(lm, encoder, dtype, device)
    if compile_:
        model.language.compile_decoding()
    figures = measure_decoding(model, new_tokens, repeats)
    _print(model, {"lm": lm, "encoder": encoder, "dtype": dtype.value, "new_tokens": new_tokens, "compile": compile_},
           asdict(figures))  # fmt: skip


@app.command()
def train(
    lm: Lm = "opt-125m",
    encoder: Encoder = "clip-vit-base-patch32",
    dtype: Dtype = Precision.float32,
    device: Device = "auto",
    batch_size: Annotated[int, typer.Option(min=2, help="Captions a step.")] = 16,
    repeats: Repeats = 5,
) -> None:
    """A training step (captioning and retrieval, 24 tokens), and the bytes of gradients and optimiser state."""
    from fromage_lite.bench.training import measure_training

    model = _model(lm, encoder, dtype, device)
    _print(model, {"lm": lm, "dtype": dtype.value, "batch_size": batch_size},
           asdict(measure_training(model, batch_size, repeats)))  # fmt: skip


@app.command()
def search(
    count: Annotated[int, typer.Option(min=1000, help="Vectors.")] = 3_300_000,
    dim: Annotated[int, typer.Option(min=2, help="Width of a vector.")] = 256,
    kind: Annotated[list[str] | None, typer.Option(help="FAISS factory text; repeat for several.")] = None,
) -> None:
    """One query at a time over made-up clustered vectors: build, latency, recall@10, size; by default of the index
    that would be chosen for so many."""
    from index.measure import measure_search

    wanted: list[str | None] = list(kind) if kind else [None]
    for figures in measure_search(count, dim, wanted):
        typer.echo(json.dumps({"count": count, "dim": dim} | _rounded(asdict(figures))))


@app.command()
def tui(
    fragments: Annotated[int, typer.Option(min=1, help="Pieces of one streamed reply.")] = 2000,
    pictures: Annotated[int, typer.Option(min=2, help="Replies with a picture and its next best.")] = 100,
    repeats: Repeats = 5,
) -> None:
    """The chat app with the shipped models in a pseudo-terminal, then with a scripted agent and no terminal. Times in
    seconds; those of frames are processor time."""
    from tui.bench.frames import measure_pictures, measure_streaming
    from tui.bench.terminal import measure_keys, measure_start

    starts = sorted(measure_start(repeats))
    _tell("start", {"drawn_median": starts[len(starts) // 2], "drawn_longest": starts[-1]})
    loading, replying, loaded = measure_keys()
    _tell("keys while loading", asdict(loading) | {"model_loaded_after": loaded})
    _tell("keys while replying", asdict(replying))
    _tell("streaming", {"fragments": fragments} | asdict(measure_streaming(fragments)))
    album = measure_pictures(pictures)
    _tell("adding pictures", {"pictures": pictures} | asdict(album.adding) | {"bytes_each": album.bytes_each})
    _tell("scrolling", {"pictures": pictures} | asdict(album.scrolling))


def _tell(what: str, figures: dict[str, Any]) -> None:
    typer.echo(json.dumps({"measured": what} | _rounded(figures)))


def _model(lm: str, encoder: str, dtype: Precision, device: str) -> Fromage:
    from fromage_lite.bench.models import random_model
    from fromage_lite.placement import choose_placement

    return random_model(lm, encoder, choose_placement(device, dtype.value))


def _print(model: Fromage, what: dict[str, Any], figures: dict[str, Any]) -> None:
    from fromage_lite.bench.hardware import device_name

    typer.echo(json.dumps({"device": device_name(model.language.device)} | what | _rounded(figures)))


def _rounded(figures: dict[str, Any]) -> dict[str, Any]:
    return {key: float(f"{value:.4g}") if isinstance(value, float) else value for key, value in figures.items()}


def main() -> None:
    """Run; errors in one sentence."""
    try:
        app()
    except FromageError as error:
        typer.echo(f"bench: {error}", err=True)
        raise SystemExit(2) from None


if __name__ == "__main__":
    main()
