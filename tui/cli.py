"""The command line: chat, ask, search, doctor. Parses and calls; nothing heavy is imported before it must be."""

from __future__ import annotations

import functools
import logging
import os
import sys
import warnings
from collections.abc import Callable
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, Literal, ParamSpec, TypeVar

import typer
from typer.core import TyperGroup

from fromage_lite import __version__
from fromage_lite.config import GenerationSettings
from fromage_lite.errors import ConfigError, FromageError
from tui import console
from tui.convert import convert

Parameters = ParamSpec("Parameters")
Result = TypeVar("Result")


class _ChatByDefault(TyperGroup):
    """`fromage-lite` and `fromage-lite --model X` mean `fromage-lite chat …`."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        own = {name for parameter in self.get_params(ctx) for name in parameter.opts}
        if not args or (args[0].startswith("-") and args[0] not in own):
            args = ["chat", *args]
        return super().parse_args(ctx, args)


class Ret(StrEnum):
    """When the model may answer with pictures."""

    off = "off"
    auto = "auto"
    always = "always"


app = typer.Typer(
    cls=_ChatByDefault,
    help="Chat with a model that sees pictures and answers with pictures. Without a command, the chat starts.",
    context_settings={"help_option_names": ["-h", "--help"]},
    no_args_is_help=False,
    pretty_exceptions_enable=False,
)

Model = Annotated[
    str | None, typer.Option(help="Model folder or Hugging Face id. Without it: the playground that comes along.")
]
Index = Annotated[
    str | None,
    typer.Option(help="Folder of the picture index to answer from, or 'none'. Without it: the playground's pictures."),
]
Device = Annotated[str, typer.Option(help="Where to compute: auto, cpu, cuda, cuda:1, mps.")]
Dtype = Annotated[str, typer.Option(help="Precision of the frozen models: auto, fp32, bf16, fp16.")]
Quantize = Annotated[
    str, typer.Option(help="Round the language model as it loads, where memory is short: int8, int4 or none.")
]
Temperature = Annotated[float, typer.Option(help="0 always takes the likeliest word; 1 varies as the model does.")]
TopP = Annotated[float, typer.Option(help="Draw only among the likeliest words that have this much probability.")]
MaxNewTokens = Annotated[int, typer.Option(help="Longest reply, in tokens.")]
RetMode = Annotated[Ret, typer.Option("--ret", help="Answer with pictures: never, as the model decides, or always.")]
RetBias = Annotated[float, typer.Option(help="Above 0: more pictures in 'auto'; below 0: fewer.")]
Seed = Annotated[int | None, typer.Option(help="Makes replies with a temperature repeatable.")]
Images = Annotated[
    list[Path] | None,
    typer.Option("--image", "-i", metavar="FILE", help="A picture file; repeat for several."),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, one object a line.")]

DEFAULTS = GenerationSettings()


def _guarded(command: Callable[Parameters, Result]) -> Callable[Parameters, Result]:
    """Ends a command on an error with one sentence on stderr and exit code 2, on Ctrl-C with 130; no tracebacks."""

    @functools.wraps(command)
    def guarded(*args: Parameters.args, **kwargs: Parameters.kwargs) -> Result:
        try:
            return command(*args, **kwargs)
        except FromageError as error:
            console.complain(str(error))
            raise typer.Exit(2) from None
        except KeyboardInterrupt:
            raise typer.Exit(130) from None
        except BrokenPipeError:  # the reader (head, less) has seen enough
            # The interpreter's own flush at exit would complain once more.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            raise typer.Exit(0) from None
        except (typer.Exit, typer.Abort):
            raise
        except Exception as error:
            if os.environ.get("FROMAGE_DEBUG") or type(error).__module__.startswith("typer"):
                raise
            console.complain(f"Unexpected {type(error).__name__}: {error} (FROMAGE_DEBUG=1 shows where.)")
            raise typer.Exit(2) from None

    return guarded


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"fromage-lite {__version__}")
        raise typer.Exit


@app.callback()
def start(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and leave.")
    ] = False,
) -> None:
    quiet()


@app.command()
@_guarded
def chat(
    context: typer.Context,
    model: Model = None,
    index: Index = None,
    device: Device = "auto",
    dtype: Dtype = "auto",
    quantize: Quantize = "none",
    temperature: Temperature = DEFAULTS.temperature,
    top_p: TopP = DEFAULTS.top_p,
    max_new_tokens: MaxNewTokens = DEFAULTS.max_new_tokens,
    ret: RetMode = Ret.auto,
    ret_bias: RetBias = DEFAULTS.ret_bias,
    seed: Seed = None,
    images: Annotated[str, typer.Option(help="How pictures are drawn: auto, kitty, sixel, halfblock, none.")] = "auto",
    go_on: Annotated[bool, typer.Option("--continue", "-c", help="Go on with the last conversation.")] = False,
    session: Annotated[int | None, typer.Option(help="Go on with the conversation of this number.")] = None,
    no_save: Annotated[
        bool, typer.Option("--no-save", help="Write nothing of this conversation; earlier ones can be read.")
    ] = False,
) -> None:
    """Chat in the terminal: type, attach pictures, get words and pictures back. (This is the default.)"""
    settings = _settings(temperature, top_p, max_new_tokens, ret, ret_bias, seed)
    from tui.app import run

    options = {"temperature", "top_p", "max_new_tokens", "ret", "ret_bias", "seed"}
    sources = {name: context.get_parameter_source(name) for name in options}
    given = {name for name, source in sources.items() if source is not None and source.name == "COMMANDLINE"}
    given = {"ret_mode" if name == "ret" else name for name in given}
    raise typer.Exit(
        run(
            model, index=index, device=device, dtype=dtype, quantize=quantize, images=images, settings=settings,
            given=given, resume=_session(go_on, session), save=not no_save,
        )
    )  # fmt: skip


@app.command()
@_guarded
def config() -> None:
    """Say where the config file is and what holds with it: settings, keys, theme; ends with exit code 1 if it has a
    mistake."""
    from tui import paths
    from tui.config_report import effective

    lines, problems = effective(paths.config_file())
    typer.echo("\n".join(lines))
    for problem in problems:
        console.complain(problem)
    raise typer.Exit(1 if problems else 0)


@app.command()
@_guarded
def ask(
    messages: Annotated[
        list[str] | None,
        typer.Argument(
            help="What to say. Several messages are one dialogue, answered one after another; '-' reads a message from "
            "the standard input, as does giving none. A message may hold <image:PATH>.",
            metavar="MESSAGE...",
            show_default=False,
        ),
    ] = None,
    image: Images = None,
    model: Model = None,
    index: Index = None,
    device: Device = "auto",
    dtype: Dtype = "auto",
    quantize: Quantize = "none",
    temperature: Temperature = DEFAULTS.temperature,
    top_p: TopP = DEFAULTS.top_p,
    max_new_tokens: MaxNewTokens = DEFAULTS.max_new_tokens,
    ret: RetMode = Ret.auto,
    ret_bias: RetBias = DEFAULTS.ret_bias,
    seed: Seed = None,
    as_json: AsJson = False,
) -> None:
    """Ask without the app: prints the reply and the paths of the pictures in it.

    Example: fromage-lite ask "what is in this picture?" --image photo.png
    """
    settings = _settings(temperature, top_p, max_new_tokens, ret, ret_bias, seed)
    texts = console.read_messages(messages or [], has_pictures=bool(image))
    pictures = [str(path.expanduser()) for path in image or []]
    console.check_pictures(pictures)  # before the model loads: a misspelt path is told at once
    from fromage_lite.agent import Agent

    with console.Progress() as progress:
        agent = Agent.load(
            model, index, device=device, dtype=dtype, quantize=quantize, progress=progress, notice=progress.keep
        )
    console.ask(agent.dialogue(settings), texts, pictures, as_json=as_json)


@app.command()
@_guarded
def search(
    query: Annotated[str, typer.Argument(help="What to look for; '-' reads it from the standard input.")] = "",
    image: Images = None,
    top: Annotated[int, typer.Option(min=1, help="How many pictures.")] = 5,
    model: Model = None,
    index: Index = None,
    device: Device = "auto",
    dtype: Dtype = "auto",
    quantize: Quantize = "none",
    as_json: AsJson = False,
) -> None:
    """Find pictures by words, by pictures, or by both: ranked, with scores (1 is a perfect match).

    Example: fromage-lite search "a cat on the beach" --top 3
    """
    (text,) = console.read_messages([query] if query or image else [], has_pictures=bool(image))
    pictures = [str(path.expanduser()) for path in image or []]
    console.check_pictures(pictures)
    from fromage_lite.agent import Agent

    with console.Progress() as progress:
        agent = Agent.load(
            model, index, device=device, dtype=dtype, quantize=quantize, progress=progress, notice=progress.keep
        )
    console.search(agent, text, pictures, top, as_json=as_json)


@app.command()
@_guarded
def doctor(
    model: Model = None,
    index: Index = None,
    device: Device = "auto",
    dtype: Dtype = "auto",
    quantize: Quantize = "none",
) -> None:
    """Check the installation, the model and the index; says what is wrong and ends with exit code 1 if anything is."""
    from tui.image_mode import resolve_image_mode

    mode = resolve_image_mode()  # asks the terminal, so it comes before anything is printed
    from fromage_lite.doctor import examine

    checks = examine(model, index, device, dtype, quantize)
    raise typer.Exit(0 if console.report([*console.terminal_checks(mode), *checks]) else 1)


def _session(go_on: bool, session: int | None) -> int | Literal["last"] | None:
    if go_on and session is not None:
        raise ConfigError("--continue and --session name two conversations.", "Give one of them.")
    return "last" if go_on else session


app.command()(_guarded(convert))


def _settings(
    temperature: float, top_p: float, tokens: int, ret: Ret, bias: float, seed: int | None
) -> GenerationSettings:
    return GenerationSettings(
        temperature=temperature, top_p=top_p, max_new_tokens=tokens, ret_mode=ret.value, ret_bias=bias, seed=seed
    )


def quiet() -> None:
    """Keeps the libraries' progress bars and advice off the screen. Works only before they are imported."""
    for name, value in (
        ("TRANSFORMERS_VERBOSITY", "error"),
        ("TRANSFORMERS_NO_ADVISORY_WARNINGS", "1"),
        ("HF_HUB_DISABLE_PROGRESS_BARS", "1"),
        ("TOKENIZERS_PARALLELISM", "false"),
    ):
        os.environ.setdefault(name, value)
    warnings.simplefilter("ignore")
    logging.getLogger().setLevel(logging.ERROR)  # open_clip speaks on the root logger


def main() -> None:
    """The console entry `fromage-lite`."""
    app(prog_name="fromage-lite")


if __name__ == "__main__":
    main()
