"""The options that several commands share, with their shell completions.

A command takes `LoadOptions`, `GenerationSettings` or `RunOptions` as one parameter; `with_options` turns it into an
option for each field. Name, type, default and help are the field's own: a new field is an option at once.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterator
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ParamSpec, TypeVar, cast, get_type_hints

import typer

from fromage_lite.config import GenerationSettings, LoadOptions
from fromage_lite.evaluate.options import TASKS, TaskOptions
from fromage_lite.plain_data import field_docs
from fromage_lite.training.options import RunOptions
from tui.cli import console

if TYPE_CHECKING:
    from fromage_lite.chat.agent import Agent
    from fromage_lite.chat.tower_search import TowerSearch
    from fromage_lite.config import AskBy

Parameters = ParamSpec("Parameters")
Result = TypeVar("Result")
Group = type[LoadOptions] | type[GenerationSettings] | type[RunOptions] | type[TaskOptions]

PANELS: dict[Group, str | None] = {
    LoadOptions: "Model",
    GenerationSettings: "Replies",
    RunOptions: None,
    TaskOptions: "On a data set",
}
"""The dataclasses whose fields become options, with their heading in the help; None is the command's own."""
DOCS = {group: field_docs(LoadOptions) | field_docs(group) for group in PANELS}
"""The help of each field. One that `LoadOptions` has too (`device`, …) is described there."""
SHORT_NAMES = {"ret_mode": "--ret", "max_bad_share": "--max-bad"}
COMPLETIONS = {
    "device": ("auto", "cpu", "cuda", "cuda:0", "cuda:1", "mps"),
    "dtype": ("auto", "fp32", "bf16", "fp16"),
    "quantize": ("none", "int8", "int4"),
    "task": TASKS,
}


def _one_of(*values: str) -> Callable[[str], list[str]]:
    """A shell completion from fixed values."""

    def complete(incomplete: str) -> list[str]:
        return [value for value in values if value.startswith(incomplete)]

    return complete


def option(group: Group, name: str) -> Any:
    """The option of a field: what typer needs besides its type and default."""
    names = [f"--{name.replace('_', '-')}"]
    if name in SHORT_NAMES:
        names.insert(0, SHORT_NAMES[name])
    values = COMPLETIONS.get(name)
    return typer.Option(
        *names,
        help=DOCS[group].get(name, "").replace("`", ""),
        rich_help_panel=PANELS[group],
        autocompletion=_one_of(*values) if values else None,
    )


def with_options(command: Callable[Parameters, Result]) -> Callable[..., Result]:
    """A command with an option for each field of those parameters whose type is in `PANELS`.

    When called, it raises:
        ConfigError: an option has an invalid value.
    """
    hints = get_type_hints(command, include_extras=True)
    groups: dict[str, Group] = {name: hint for name, hint in hints.items() if hint in PANELS}

    @functools.wraps(command)
    def wrapper(*args: Any, **kwargs: Any) -> Result:
        for name, group in groups.items():
            kwargs[name] = group(**{field.name: kwargs.pop(field.name) for field in fields(group)})
        return command(*args, **kwargs)

    parameters: list[inspect.Parameter] = []
    for name, parameter in inspect.signature(command).parameters.items():
        if name in groups:
            parameters += _parameters(groups[name])
        else:
            parameters.append(parameter.replace(kind=parameter.KEYWORD_ONLY, annotation=hints[name]))
    # Typer reads these two.
    vars(wrapper)["__signature__"] = inspect.Signature(parameters)
    wrapper.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    return wrapper


def _parameters(group: Group) -> Iterator[inspect.Parameter]:
    hints, annotated = get_type_hints(group), cast(Any, Annotated)
    for field in fields(group):
        hint = annotated[hints[field.name], option(group, field.name)]
        yield inspect.Parameter(field.name, inspect.Parameter.KEYWORD_ONLY, default=field.default, annotation=hint)


def given_settings(context: typer.Context) -> set[str]:
    """Names of the settings that were given on the command line."""
    sources = {field.name: context.get_parameter_source(field.name) for field in fields(GenerationSettings)}
    return {name for name, source in sources.items() if source is not None and source.name == "COMMANDLINE"}


Model = Annotated[str | None, option(LoadOptions, "model")]
Device = Annotated[str, option(LoadOptions, "device")]
Dtype = Annotated[str, option(LoadOptions, "dtype")]
Quantize = Annotated[str, option(LoadOptions, "quantize")]
Images = Annotated[
    list[Path] | None,
    typer.Option(
        "--image", "-i", metavar="FILE", help="A picture file, or '-' for standard input; repeat for several."
    ),
]
DrawnAs = Annotated[
    str,
    typer.Option(
        "--images",
        help="How to draw pictures: auto, kitty, sixel, halfblock, none.",
        autocompletion=_one_of("auto", "kitty", "sixel", "halfblock", "none"),
    ),
]
NoSave = Annotated[
    bool, typer.Option("--no-save", help="Don't save this conversation; earlier ones can still be opened.")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, one object per line.")]


def load_agent(options: LoadOptions) -> Agent:
    """Loads the agent that these options name, with its status on stderr."""
    from fromage_lite import start

    with console.StatusLine() as status:
        return start.load_agent(options, status, notice=status.keep)


def load_searcher(options: LoadOptions, by: AskBy | None) -> Agent | TowerSearch:
    """Loads what searches with these options and in this way, with its status on stderr."""
    from fromage_lite import start

    with console.StatusLine() as status:
        return start.load_searcher(options, by, status, notice=status.keep)
