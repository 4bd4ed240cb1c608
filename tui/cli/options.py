"""The options that several commands share, with what a shell may complete."""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fromage_lite.config import GenerationSettings, LoadOptions
from tui.cli import console

if TYPE_CHECKING:
    from fromage_lite.chat.agent import Agent


class Ret(StrEnum):
    """When the model may answer with pictures."""

    off = "off"
    auto = "auto"
    always = "always"


def _one_of(*values: str) -> Callable[[str], list[str]]:
    """For the shell's completion."""

    def complete(incomplete: str) -> list[str]:
        return [value for value in values if value.startswith(incomplete)]

    return complete


Model = Annotated[
    str | None, typer.Option(help="Model folder or Hugging Face id. Without it: the playground that comes along.")
]
Index = Annotated[
    str | None,
    typer.Option(help="Folder of the picture index to answer from, or 'none'. Without it: the playground's pictures."),
]
Device = Annotated[
    str,
    typer.Option(
        help="Where to compute: auto, cpu, cuda, cuda:1, mps.",
        autocompletion=_one_of("auto", "cpu", "cuda", "cuda:0", "cuda:1", "mps"),
    ),
]
Dtype = Annotated[
    str,
    typer.Option(
        help="Precision of the frozen models: auto, fp32, bf16, fp16.",
        autocompletion=_one_of("auto", "fp32", "bf16", "fp16"),
    ),
]
Quantize = Annotated[
    str,
    typer.Option(
        help="Round the language model as it loads, where memory is short: int8, int4 or none.",
        autocompletion=_one_of("none", "int8", "int4"),
    ),
]
Temperature = Annotated[float, typer.Option(help="0 always takes the likeliest word; 1 varies as the model does.")]
TopP = Annotated[float, typer.Option(help="Draw only among the likeliest words that have this much probability.")]
MaxNewTokens = Annotated[int, typer.Option(help="Longest reply, in tokens.")]
RetMode = Annotated[Ret, typer.Option("--ret", help="Answer with pictures: never, as the model decides, or always.")]
RetBias = Annotated[float, typer.Option(help="Above 0: more pictures in 'auto'; below 0: fewer.")]
Seed = Annotated[int | None, typer.Option(help="Makes replies with a temperature repeatable.")]
Images = Annotated[
    list[Path] | None,
    typer.Option(
        "--image", "-i", metavar="FILE", help="A picture file, or '-' for the standard input; repeat for several."
    ),
]
DrawnAs = Annotated[
    str,
    typer.Option(
        "--images",
        help="How pictures are drawn: auto, kitty, sixel, halfblock, none.",
        autocompletion=_one_of("auto", "kitty", "sixel", "halfblock", "none"),
    ),
]
NoSave = Annotated[
    bool, typer.Option("--no-save", help="Write nothing of this conversation; earlier ones can be read.")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, one object a line.")]

DEFAULTS = GenerationSettings()


def make_settings(
    temperature: float, top_p: float, tokens: int, ret: Ret, bias: float, seed: int | None
) -> GenerationSettings:
    """The settings of these options.

    Raises:
        ConfigError: one of them can't be.
    """
    return GenerationSettings(
        temperature=temperature, top_p=top_p, max_new_tokens=tokens, ret_mode=ret.value, ret_bias=bias, seed=seed
    )


def given_settings(context: typer.Context) -> set[str]:
    """Names of the settings that the command line has, whatever their values."""
    options = {"temperature", "top_p", "max_new_tokens", "ret", "ret_bias", "seed"}
    sources = {name: context.get_parameter_source(name) for name in options}
    given = {name for name, source in sources.items() if source is not None and source.name == "COMMANDLINE"}
    return {"ret_mode" if name == "ret" else name for name in given}


def load_agent(model: str | None, index: str | None, device: str, dtype: str, quantize: str) -> Agent:
    """The agent that these options name; says on stderr what takes long."""
    from fromage_lite import start

    options = LoadOptions(model, index, device, dtype, quantize)
    with console.Progress() as progress:
        return start.load_agent(options, progress, notice=progress.keep)
