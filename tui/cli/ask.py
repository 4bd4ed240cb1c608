"""`fromage-lite ask`: a dialogue for scripts and pipes."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fromage_lite.chat.event_data import event_to_dict
from fromage_lite.chat.events import Done, Event, Failed, ImagesFound, Notice, Statistics, TextDelta
from fromage_lite.choice import model_for_index, model_for_pictures, sight
from fromage_lite.config import NO_INDEX, GenerationSettings, LoadOptions, shipped_name
from fromage_lite.errors import ConfigError
from fromage_lite.text.message import ImageSegment, parse_message
from index.pictures.images import sanitize
from index.search.hits import Hit
from tui.cli import console
from tui.cli.options import AsJson, Images, load_agent, with_options
from tui.input.attachments import with_pictures
from tui.sessions.dialogue_file import DialogueFile
from tui.settings import paths

if TYPE_CHECKING:
    from fromage_lite.chat.protocol import ChatDialogue


@with_options
def ask(
    messages: Annotated[
        list[str] | None,
        typer.Argument(
            help="What to say. Several messages make one dialogue, answered one after another; '-' or no message reads "
            "from standard input. A message may name pictures by their paths.",
            metavar="MESSAGE...",
            show_default=False,
        ),
    ] = None,
    image: Images = None,
    *,
    load: LoadOptions,
    settings: GenerationSettings,
    dialogue: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Continue the dialogue in this file, and save it there after each reply; a new file starts a new one. "
            "The chat's /export and /import use the same JSON.",
        ),
    ] = None,
    as_json: AsJson = False,
    events: Annotated[
        bool, typer.Option("--events", help="Print every event as it happens, as JSON, one per line.")
    ] = False,
) -> None:
    """Ask without the app: print the reply and the paths of its pictures.

    Example: fromage-lite ask "what is in this picture?" --image photo.png
    """
    if as_json and events:
        raise ConfigError("--json and --events are two ways to print a reply.", "Give only one of them.")
    # Check the messages, the pictures and the file before the model loads.
    pictures = console.read_pictures(image or [], stdin_taken=console.STDIN in (messages or []))
    texts = [with_pictures(text) for text in console.read_messages(messages or [], has_pictures=bool(pictures))]
    with DialogueFile.open(dialogue) if dialogue is not None else nullcontext() as file:
        agent = load_agent(_following(load, texts, pictures))
        held = agent.dialogue(settings)
        if file is not None:
            file.resume(agent, held)
        printer = _Events() if events else _Json() if as_json else _Words()
        hold(held, texts, pictures, printer, file)


def _following(load: LoadOptions, messages: Sequence[str], pictures: Sequence[str]) -> LoadOptions:
    """The options with the model that is for the pictures, unless model or index are named: then it is only told."""
    from tui.settings.preferences import Preferences  # it knows how pictures are drawn, so it loads Textual

    inline = [s.path for text in messages for s in parse_message(text) if isinstance(s, ImageSegment)]
    meant = [*pictures, *inline]
    wanted = model_for_pictures(meant) if meant else ""
    answers = shipped_name(load.model or model_for_index(load.index)) if wanted else ""
    if not answers or answers == wanted:
        return load
    is_named = load.model is not None or load.index not in (None, NO_INDEX)
    if is_named or not Preferences.read(paths.config_file()).follow_pictures:
        console.complain(f"{sight(wanted, len(meant))}: the model {wanted} would fit better than {answers}.")
        return load
    console.complain(f"{sight(wanted, len(meant))}: the model {wanted} answers.")
    return replace(load, model=wanted)


def hold(
    dialogue: ChatDialogue,
    messages: Sequence[str],
    pictures: Sequence[str],
    printer: _Events | _Json | _Words,
    file: DialogueFile | None = None,
) -> None:
    """Holds a dialogue and prints the replies; the pictures belong to the first message.

    Raises:
        FromageError: a message could not be answered; the replies before it have been printed and saved to the file.
    """
    for number, message in enumerate(messages):
        statistics: Statistics | None = None
        printer.begin(number)
        for event in dialogue.reply(message, attachments=pictures if number == 0 else ()):
            printer.print(event)
            if isinstance(event, Statistics):
                statistics = event
            elif isinstance(event, Failed):
                raise event.error
        if file is not None:
            file.add(dialogue, statistics)


class _Words:
    """Output for people: the words as they come, and a line for each picture."""

    def __init__(self) -> None:
        self._in_line = False

    def begin(self, number: int) -> None:
        """Separates a reply from the one before."""
        if number:
            typer.echo()

    def print(self, event: Event) -> None:
        """Prints what a reader needs to see of an event."""
        match event:
            case TextDelta(text):
                self._write(text)
            case ImagesFound(found):
                for hit in found:
                    self._end_line()
                    typer.echo(f"  {console.hit_line(hit)}")
            case Notice(text):
                self._end_line()
                console.complain(text)
            case Failed() | Done():
                self._end_line()

    def _write(self, text: str) -> None:
        text = sanitize(text)
        if not self._in_line:
            text = text.lstrip()
        if text:
            typer.echo(text, nl=False)
            sys.stdout.flush()
            self._in_line = not text.endswith("\n")

    def _end_line(self) -> None:
        if self._in_line:
            typer.echo()
        self._in_line = False


class _Json:
    """Output for programs: one object for each reply."""

    def begin(self, number: int) -> None:
        """Starts collecting a reply."""
        self._hits: list[Hit] = []
        self._notices: list[str] = []
        self._statistics: dict[str, Any] = {}

    def print(self, event: Event) -> None:
        """Collects an event; prints the reply at its end."""
        match event:
            case ImagesFound(found):
                self._hits += found
            case Notice(text):
                self._notices.append(text)
                console.complain(text)
            case Statistics():
                self._statistics = asdict(event)
            case Done(text):
                images = [console.hit_data(hit) for hit in self._hits]
                console.echo_json({"text": text, "images": images, "notices": self._notices, "stats": self._statistics})


class _Events:
    """Output for programs that follow along: every event as it happens."""

    def begin(self, number: int) -> None:
        """Prints nothing: a reply starts after the previous one's `done`."""

    def print(self, event: Event) -> None:
        """Prints the event on one line."""
        console.echo_json(event_to_dict(event))
        sys.stdout.flush()
