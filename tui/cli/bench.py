"""`fromage-lite bench`: speed and memory on this machine."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from fromage_lite.errors import ConfigError
from index.files import write_bytes
from tui.cli.guard import add, paragraphs
from tui.cli.options import Device, Quantize

if TYPE_CHECKING:
    from fromage_lite.model.fromage import Fromage
    from fromage_lite.vision import VisionEncoder


Precision = Literal["float32", "bfloat16", "float16"]

HELP = """Measure speed and memory on this machine, with random weights of real shapes. Nothing is downloaded.

Run it alone: any other load on the machine shows in the figures. On a GPU, for example:
fromage-lite bench decode --lm opt-6.7b --encoder clip-vit-large-patch14 --dtype bfloat16 --compile
"""

Lm = Annotated[str, typer.Option(help="opt-125m, opt-1.3b or opt-6.7b.")]
Encoder = Annotated[str, typer.Option(help="clip-vit-base-patch32 or clip-vit-large-patch14.")]
Dtype = Annotated[Precision, typer.Option(help="Precision of the frozen models.")]
JsonFile = Annotated[Path | None, typer.Option("--json", metavar="FILE", help="Also write the figures to this file.")]
Repeats = Annotated[int, typer.Option(min=1, help="Runs to take the median of.")]


def decode(
    lm: Lm = "opt-125m",
    encoder: Encoder = "clip-vit-base-patch32",
    dtype: Dtype = "float32",
    device: Device = "auto",
    new_tokens: Annotated[int, typer.Option(min=2, help="Tokens per reply.")] = 64,
    compile_: Annotated[
        bool, typer.Option("--compile", help="Compile the LM, and decode into a cache of fixed size.")
    ] = False,
    quantize: Quantize = "none",
    repeats: Repeats = 5,
    json_file: JsonFile = None,
) -> None:
    """Time a reply to a picture and 20 tokens and a dialogue of five such turns, beside the same without a cache,
    transformers' generate, and the layers alone."""
    from fromage_lite.bench.decoding import measure_decoding

    model = _model(lm, encoder, dtype, device, quantize)
    if compile_:
        model.language.compile_decoding()
    figures = asdict(measure_decoding(model, new_tokens, repeats))
    what = {"lm": lm, "encoder": encoder, "dtype": dtype, "quantize": quantize}
    extent = {"new_tokens": new_tokens, "compile": compile_}
    _print({"device": _device_name(model)} | what | extent | figures, json_file)


def train(
    lm: Lm = "opt-125m",
    encoder: Encoder = "clip-vit-base-patch32",
    dtype: Dtype = "float32",
    device: Device = "auto",
    batch_size: Annotated[int, typer.Option(min=2, help="Captions per step.")] = 16,
    repeats: Annotated[int, typer.Option(min=1, help="Runs of our own step to take the median of.")] = 3,
    json_file: JsonFile = None,
) -> None:
    """Time a training step in the paper's way and in ours, on captions as long as those of CC3M: each saving alone and
    all together, the gradients' deviation, operations counted, memory. About five minutes on two CPU cores."""
    from fromage_lite.bench.training import measure_training
    from fromage_lite.bench.training_figures import as_table, flat

    model = _model(lm, encoder, dtype, device)
    figures = measure_training(model, batch_size, repeats)
    what = {"device": _device_name(model), "lm": lm, "encoder": encoder, "dtype": dtype, "batch_size": batch_size}
    typer.echo(as_table(figures), err=True)
    _print(what | flat(figures), json_file)


def index(
    rows: Annotated[
        list[int] | None, typer.Option(min=1000, help="Vectors; repeat for several.", show_default="10 k to 3.3 M")
    ] = None,
    only: Annotated[
        list[str] | None, typer.Option(metavar="10k|100k|1m|3m", help="Only this size; repeat for several.")
    ] = None,
    dim: Annotated[int, typer.Option(min=2, help="Width of a vector.")] = 256,
    structure: Annotated[
        Literal["clustered", "unstructured", "both"], typer.Option(help="Structure of the vectors.")
    ] = "both",
    recall: Annotated[float, typer.Option(min=0.0, max=1.0, help="Recall@10 wished for.")] = 0.98,
    json_file: JsonFile = None,
) -> None:
    """Measure search over made-up vectors beside a matrix product with all of them, the reference's way: milliseconds
    for one query and for 100, recall, memory, time to build and to open. 3.3 million vectors take 6 GB."""
    from fromage_lite.bench.index import LABELS, ROWS, measure_index

    sizes = {name: count for count, name in LABELS.items()}
    if unknown := set(only or ()) - set(sizes):
        raise ConfigError(f"There is no size {sorted(unknown)[0]}.", f"Sizes are {', '.join(sizes)}; or use --rows.")
    structures = ("clustered", "unstructured") if structure == "both" else (structure,)
    wanted = [*(rows or ()), *(sizes[name] for name in only or ())] or ROWS
    figures = measure_index(wanted, dim, structures, recall, lambda line: typer.echo(line, err=True))
    _print(figures, json_file)


def tui(
    fragments: Annotated[int, typer.Option(min=1, help="Pieces of one streamed reply.")] = 2000,
    pictures: Annotated[int, typer.Option(min=2, help="Replies with a picture and its next best.")] = 100,
    repeats: Repeats = 5,
) -> None:
    """Time the chat app with the shipped models in a pseudo-terminal, then with a scripted agent and no terminal. Times
    are in seconds; frames are measured in processor time."""
    from tui.bench.frames import measure_pictures, measure_streaming
    from tui.bench.terminal import measure_keys, measure_start

    starts = sorted(measure_start(repeats))
    _print({"measured": "start", "drawn_median": starts[len(starts) // 2], "drawn_longest": starts[-1]})
    loading, replying, loaded = measure_keys()
    _print({"measured": "keys while loading"} | asdict(loading) | {"model_loaded_after": loaded})
    _print({"measured": "keys while replying"} | asdict(replying))
    _print({"measured": "streaming", "fragments": fragments} | asdict(measure_streaming(fragments)))
    album = measure_pictures(pictures)
    adding, scrolling = asdict(album.adding), asdict(album.scrolling)
    _print({"measured": "adding pictures", "pictures": pictures} | adding | {"bytes_each": album.bytes_each})
    _print({"measured": "scrolling", "pictures": pictures} | scrolling)


def index_build(
    encoder: Annotated[
        str, typer.Option(help="photos, the shipped one; or clip-vit-base-patch32, clip-vit-large-patch14.")
    ] = "photos",
    pictures: Annotated[int, typer.Option(min=1, help="Pictures in each build that is timed.")] = 512,
    small: Annotated[int, typer.Option(min=1, help="Pictures in a build whose memory is measured,")] = 1_000,
    large: Annotated[int, typer.Option(min=1, help="and in the one that it is compared with.")] = 20_000,
    batch_size: Annotated[int, typer.Option(min=1, help="Pictures embedded at once.")] = 64,
    workers: Annotated[int, typer.Option(min=0, help="Processes that decode pictures; 0 for threads.")] = 0,
    device: Device = "auto",
    json_file: JsonFile = None,
    repeats: Annotated[int, typer.Option(min=1, help="Timed builds to take the median of.")] = 3,
) -> None:
    """Measure the build of an index from pictures of 1 megapixel: its speed beside that of the image encoder alone, and
    whether memory grows with the number of pictures."""
    from fromage_lite.bench.index_build import measure_index_build

    figures = measure_index_build(
        _encoder(encoder, device),
        pictures=pictures,
        small=small,
        large=large,
        batch_size=batch_size,
        workers=workers,
        repeats=repeats,
    )
    _print({"encoder": encoder} | asdict(figures), json_file)


app = typer.Typer(no_args_is_help=True, help=paragraphs(HELP))
for command in (decode, train, index, index_build, tui):
    add(app, command)


def _model(lm: str, encoder: str, dtype: Precision, device: str, quantize: str = "none") -> Fromage:
    from fromage_lite.bench.models import random_model
    from fromage_lite.placement import choose_placement

    return random_model(lm, encoder, choose_placement(device, dtype, quantize))


def _encoder(name: str, device: str) -> VisionEncoder:
    from fromage_lite.bench.models import random_encoder
    from fromage_lite.config import PHOTOS
    from fromage_lite.model.projection import vision_of
    from fromage_lite.placement import choose_placement

    return vision_of(PHOTOS, device) if name == PHOTOS else random_encoder(name, choose_placement(device, "float32"))


def _device_name(model: Fromage) -> str:
    from fromage_lite.bench.hardware import device_name

    return device_name(model.language.device)


def _print(figures: Mapping[str, Any], file: Path | None = None) -> None:
    """Prints one line of JSON, and writes it to a file; four digits are more than enough for a measurement."""
    rounded = {key: float(f"{value:.4g}") if isinstance(value, float) else value for key, value in figures.items()}
    typer.echo(json.dumps(rounded))
    if file is not None:
        write_bytes(file, (json.dumps(rounded, indent=2) + "\n").encode())
