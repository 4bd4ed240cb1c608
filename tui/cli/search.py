"""`fromage-lite search`: finds pictures by words and pictures, without a dialogue."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fromage_lite.chat.search import Term, parse_terms, told_as_read
from fromage_lite.choice import model_to_search
from fromage_lite.config import AskBy, LoadOptions, default_model
from fromage_lite.errors import ConfigError, MessageError
from fromage_lite.text.message import ImageSegment
from index.hits import Hit
from tui.cli import console
from tui.cli.options import AsJson, DrawnAs, Images, with_options
from tui.cli.searcher import open_searcher

if TYPE_CHECKING:
    from fromage_lite.chat.protocol import Searcher
    from tui.pictures.image_mode import ImageMode

BOX = (40, 12)  # columns and rows of a thumbnail at most
INDENT = 5  # the width of a rank

Draw = Callable[[Hit], None]


@with_options
def search(
    query: Annotated[
        list[str] | None,
        typer.Argument(
            help="What to look for: words, or a picture file. '+' and '-' on their own add and subtract what follows; "
            "'2:words' counts twice. A final '-', or no argument, reads the words from standard input.",
            metavar="QUERY...",
            show_default=False,
        ),
    ] = None,
    image: Images = None,
    top: Annotated[int, typer.Option(min=1, help="How many pictures.")] = 5,
    threshold: Annotated[
        float | None, typer.Option(help="Leave out pictures with a lower score.", show_default=False)
    ] = None,
    by: Annotated[
        AskBy | None,
        typer.Option(
            help="How words ask: through the language model ('ret'), so in the context of a conversation ('dialogue'), "
            "or by the text tower of the image encoder, if it has one. Default: ret; text-tower without a bridge.",
            show_default=False,
        ),
    ] = None,
    dialogue: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="The conversation for --by dialogue, as ask --dialogue keeps it."),
    ] = None,
    *,
    load: LoadOptions,
    as_json: AsJson = False,
    show: Annotated[bool, typer.Option("--show", help="Draw the pictures in the terminal.")] = False,
    images: DrawnAs = "auto",
    raw: Annotated[bool, typer.Option("--raw", help="Look for misspelt words as they are typed.")] = False,
) -> None:
    """Find pictures by words, pictures, or both: ranked, with scores (1 is a perfect match).

    Examples:

    fromage-lite search "a cat on the beach" --top 3
    fromage-lite search "at night" --image cat.png
    fromage-lite search "a cat on the beach" - "on the beach" + "at night"
    fromage-lite search "a cat" --by text-tower --index my-index
    """
    if as_json and show:
        raise ConfigError("--json prints for programs, --show for people.", "Give only one of them.")
    if threshold is not None and not abs(threshold) <= 1:
        raise ConfigError(f"The threshold must be between -1 and 1, not {threshold}.")
    terms = _terms(query or [], image or [])
    mode = _mode(images) if show else None  # queries the terminal, so it must come before any output
    used = _with_pictures(load, terms)
    agent = open_searcher(used, by, dialogue)
    read = terms if raw else agent.terms_as_read(terms)
    if read != terms:
        console.complain(told_as_read([segment for term in read for segment in term.segments], by or agent.way))
    hits = [hit for hit in agent.find(read, top, spelling="off") if threshold is None or hit.score >= threshold]
    if used != load:
        console.complain(
            f"None of your pictures is indexed yet (fromage-lite index FOLDER --out OUT): these are the {used.model}'s."
        )
    if as_json:
        queries = {"query": [_term_data(term) for term in terms], "read_as": [_term_data(term) for term in read]}
        console.echo_json({**queries, "images": [console.hit_data(h) for h in hits]})
    else:
        _print(hits, _drawer(agent, mode), threshold)


def _terms(words: Sequence[str], files: Sequence[Any]) -> list[Term]:
    """The terms. Every picture is opened, so that a bad one fails before the model loads."""
    from_stdin = bool(words) and words[-1] == console.STDIN
    pictures = console.read_pictures(files, stdin_taken=from_stdin)
    if from_stdin or not (words or files):
        words = [*words[:-1], *console.read_messages([console.STDIN] if words else [], has_pictures=bool(files))]
    words = [word for word in words if word.strip()]
    if not words and not pictures:
        raise MessageError("There is nothing to search for.", "Type something, or name a picture: --image FILE.")
    terms = parse_terms(words, pictures)
    for term in terms:
        console.read_pictures([s.path for s in term.segments if isinstance(s, ImageSegment)])
    return terms


def _with_pictures(load: LoadOptions, terms: Sequence[Term]) -> LoadOptions:
    """The options with a model that has pictures to find, unless the user names a model or an index."""
    if load.model is not None or load.index is not None:
        return load
    model = model_to_search([s.path for term in terms for s in term.segments if isinstance(s, ImageSegment)])
    return load if model == default_model() else replace(load, model=model)


def _term_data(term: Term) -> dict[str, Any]:
    parts = [{"text": s} if isinstance(s, str) else {"image": s.path} for s in term.segments]
    return {"weight": term.weight, "message": parts}


def _print(hits: Sequence[Hit], draw: Draw | None, threshold: float | None) -> None:
    for rank, hit in enumerate(hits, start=1):
        typer.echo(f"{rank:>3}  {console.hit_line(hit)}")
        if draw is not None:
            draw(hit)
    if not hits:
        console.complain("No picture reaches the threshold." if threshold is not None else "The index has no pictures.")


def _mode(images: str) -> ImageMode | None:
    from tui.pictures.image_mode import ENVIRONMENT_VARIABLE, ImageMode, resolve_image_mode

    mode = resolve_image_mode(images)
    chosen = images.strip().lower() != "auto" or os.environ.get(ENVIRONMENT_VARIABLE)
    if not chosen and not sys.stdout.isatty():
        console.complain("Pictures are only drawn in a terminal; --images halfblock draws them anyway.")
        return None
    return None if mode is ImageMode.NONE else mode


def _drawer(agent: Searcher, mode: ImageMode | None) -> Draw | None:
    if mode is None:
        return None
    from rich.console import Console
    from rich.padding import Padding

    from tui.pictures.image_mode import cell_ratio, image_renderable
    from tui.pictures.thumbnails import fit_box, load_hit

    drawn_as = image_renderable(mode)
    screen = Console(file=sys.stdout, force_terminal=True, color_system="truecolor", highlight=False)
    room = (min(BOX[0], max(8, screen.width - INDENT - 1)), BOX[1])

    def draw(hit: Hit) -> None:
        picture = load_hit(agent, hit)
        if picture.image is None:
            typer.echo(f"{'':{INDENT}}({picture.problem})")
            return
        columns, rows = fit_box(picture.image.size, room, cell_ratio())
        screen.print(Padding(drawn_as(picture.image, width=columns, height=rows), (0, 0, 0, INDENT)))

    return draw
