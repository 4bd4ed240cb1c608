"""The command line. It parses and calls; heavy imports wait until they are needed."""

from __future__ import annotations

import logging
import os
import warnings
from collections.abc import Sequence
from typing import Annotated, Any, Literal

import typer
from typer.core import TyperGroup

from fromage_lite import __version__
from fromage_lite.config import GenerationSettings, LoadOptions
from fromage_lite.errors import ConfigError
from tui.cli import bench, console
from tui.cli.ask import ask
from tui.cli.convert import convert
from tui.cli.doctor import doctor
from tui.cli.evaluate import evaluate
from tui.cli.guard import add
from tui.cli.index import index
from tui.cli.make_photos import make_photos
from tui.cli.make_playground import make_playground
from tui.cli.models import models
from tui.cli.options import DrawnAs, NoSave, given_settings, with_options
from tui.cli.search import search
from tui.cli.serve import serve
from tui.cli.to_milvus import to_milvus
from tui.cli.train import train

# Next to their own progress bars, downloads may draw theirs.
COMMANDS_WITH_BARS = ("index", "to-milvus", "train", "evaluate")


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
        """The commands, and the options of the chat, which is the default."""
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


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"fromage-lite {__version__}")
        raise typer.Exit


@app.callback()
def start(
    context: typer.Context,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    quiet(bars=context.invoked_subcommand in COMMANDS_WITH_BARS)


@with_options
def chat(
    context: typer.Context,
    *,
    load: LoadOptions,
    settings: GenerationSettings,
    images: DrawnAs = "auto",
    continue_: Annotated[bool, typer.Option("--continue", "-c", help="Continue the last conversation.")] = False,
    session: Annotated[int | None, typer.Option(help="Continue the conversation with this number.")] = None,
    no_save: NoSave = False,
) -> None:
    """Chat in the terminal: type, attach pictures, get words and pictures back. This is the default."""
    from tui.app import run

    code = run(
        load,
        images=images,
        settings=settings,
        given=given_settings(context),
        resume=_session(continue_, session),
        save=not no_save,
    )
    raise typer.Exit(code)


def config() -> None:
    """Print the path of the config file and the values in force: theme, settings, keys. Exit code 1 if the file has a
    mistake."""
    from tui.cli.config_report import effective
    from tui.settings import paths

    lines, problems = effective(paths.config_file())
    typer.echo("\n".join(lines))
    for problem in problems:
        console.complain(problem)
    raise typer.Exit(1 if problems else 0)


def _session(last: bool, session: int | None) -> int | Literal["last"] | None:
    if last and session is not None:
        raise ConfigError("--continue and --session name two conversations.", "Give only one of them.")
    return "last" if last else session


_MAKING = (train, evaluate, convert, make_photos, make_playground)
for command in (chat, ask, search, serve, models, index, to_milvus, config, doctor, *_MAKING):
    add(app, command)
app.add_typer(bench.app, name="bench")


def quiet(*, bars: bool = False) -> None:
    """Silences the libraries' warnings and, unless `bars` is set, their progress bars. Call it before they are
    imported."""
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    os.environ.setdefault("TRANSFORMERS_NO_ADVISORY_WARNINGS", "1")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    if not bars:
        os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    warnings.simplefilter("ignore")
    logging.getLogger().setLevel(logging.ERROR)  # open_clip logs to the root logger


def main(arguments: Sequence[str] | None = None) -> None:
    """The console entry `fromage-lite`.

    Args:
        arguments: the command line after the program's name; None is the process's own.
    """
    app(arguments, prog_name="fromage-lite")


if __name__ == "__main__":
    main()
