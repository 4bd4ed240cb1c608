"""The command line. Parses and calls; nothing heavy is imported before it must be."""

from __future__ import annotations

import functools
import logging
import os
import sys
import warnings
from collections.abc import Callable
from typing import Annotated, Any, Literal, ParamSpec, TypeVar

import typer
from typer.core import TyperGroup

from fromage_lite import __version__
from fromage_lite.config import LoadOptions
from fromage_lite.errors import ConfigError, FromageError
from index.errors import described
from tui.cli import console
from tui.cli.ask import ask
from tui.cli.convert import convert
from tui.cli.doctor import doctor
from tui.cli.options import (
    DEFAULTS,
    Device,
    DrawnAs,
    Dtype,
    Index,
    MaxNewTokens,
    Model,
    NoSave,
    Quantize,
    Ret,
    RetBias,
    RetMode,
    Seed,
    Temperature,
    TopP,
    given_settings,
    make_settings,
)
from tui.cli.search import search
from tui.cli.serve import serve

Parameters = ParamSpec("Parameters")
Result = TypeVar("Result")


class _ChatByDefault(TyperGroup):
    """`fromage-lite` and `fromage-lite --model X` mean `fromage-lite chat …`."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        own = {name for parameter in self.get_params(ctx) for name in parameter.opts}
        if not args and ctx.resilient_parsing:  # a shell asks what could come first
            return super().parse_args(ctx, args)
        if not args or (args[0].startswith("-") and args[0] not in own):
            args = ["chat", *args]
        return super().parse_args(ctx, args)

    def shell_complete(self, ctx: Any, incomplete: str) -> list[Any]:
        """The commands, and the options of the chat, which needn't be named."""
        found = super().shell_complete(ctx, incomplete)
        if incomplete.startswith("-"):
            own = {item.value for item in found}
            chat = self.commands["chat"]
            with type(ctx)(chat, parent=ctx, info_name="chat") as inner:
                found += [item for item in chat.shell_complete(inner, incomplete) if item.value not in own]
        return found


app = typer.Typer(
    cls=_ChatByDefault,
    help="Chat with a model that sees pictures and answers with pictures. Without a command, the chat starts.",
    context_settings={"help_option_names": ["-h", "--help"]},
    no_args_is_help=False,
    pretty_exceptions_enable=False,
)


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
            console.complain(f"Unexpected {described(error)} (FROMAGE_DEBUG=1 shows where.)")
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
    images: DrawnAs = "auto",
    go_on: Annotated[bool, typer.Option("--continue", "-c", help="Go on with the last conversation.")] = False,
    session: Annotated[int | None, typer.Option(help="Go on with the conversation of this number.")] = None,
    no_save: NoSave = False,
) -> None:
    """Chat in the terminal: type, attach pictures, get words and pictures back. (This is the default.)"""
    settings = make_settings(temperature, top_p, max_new_tokens, ret, ret_bias, seed)
    from tui.app import run

    raise typer.Exit(
        run(
            LoadOptions(model, index, device, dtype, quantize),
            images=images,
            settings=settings,
            given=given_settings(context),
            resume=_session(go_on, session),
            save=not no_save,
        )
    )


@app.command()
@_guarded
def config() -> None:
    """Say where the config file is and what holds with it: settings, keys, theme; ends with exit code 1 if it has a
    mistake."""
    from tui.cli.config_report import effective
    from tui.settings import paths

    lines, problems = effective(paths.config_file())
    typer.echo("\n".join(lines))
    for problem in problems:
        console.complain(problem)
    raise typer.Exit(1 if problems else 0)


def _session(go_on: bool, session: int | None) -> int | Literal["last"] | None:
    if go_on and session is not None:
        raise ConfigError("--continue and --session name two conversations.", "Give one of them.")
    return "last" if go_on else session


for command in (ask, search, serve, doctor, convert):
    app.command()(_guarded(command))


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
