"""`fromage-lite search`: finds pictures by words and pictures, without a dialogue."""

from __future__ import annotations

import os
import sys
import webbrowser
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fromage_lite.chat.lookup import date_of
from fromage_lite.chat.request import MOST, SearchRequest, parse_request
from fromage_lite.chat.search import Term, told_as_read
from fromage_lite.choice import model_to_search
from fromage_lite.config import AskBy, LoadOptions, default_model
from fromage_lite.errors import ConfigError, FromageError, MessageError
from fromage_lite.text.message import ImageSegment
from index.pictures.facts import Facts
from index.search.hits import Hit
from tui.cli import console
from tui.cli.contact_sheet import Entry, check_target, contact_sheet, write_sheet
from tui.cli.options import AsJson, DrawnAs, Images, with_options
from tui.cli.searcher import open_searcher
from tui.pictures.files import open_outside
from tui.pictures.thumbnails import load_hit, more_alike

if TYPE_CHECKING:
    from fromage_lite.chat.protocol import Searcher
    from tui.pictures.image_mode import ImageMode

BOX = (40, 12)  # columns and rows of a thumbnail at most
INDENT = 5  # the width of a rank
FILTERS = "Which pictures may be found"

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
    top: Annotated[int, typer.Option(min=1, max=MOST, help="How many pictures.")] = 5,
    min_score: Annotated[
        str | None,
        typer.Option(
            "--min-score",
            "--threshold",
            metavar="SCORE",
            help="Leave out pictures with a lower score; 'auto' is the model's own threshold for words.",
            show_default=False,
        ),
    ] = None,
    sort: Annotated[str, typer.Option(help="The best ones by 'score', or by 'date', newest first.")] = "score",
    show_all: Annotated[
        bool, typer.Option("--all", help="Show pictures that are nearly the same one by one, not as one.")
    ] = False,
    folder: Annotated[
        str | None,
        typer.Option(help="Only below this folder: a path, or a folder's name.", rich_help_panel=FILTERS),
    ] = None,
    date: Annotated[
        str | None,
        typer.Option(help="Only taken in this year, month or day: 2024, 2024-05, 2024-05-17.", rich_help_panel=FILTERS),
    ] = None,
    after: Annotated[str | None, typer.Option(help="Only taken then or later.", rich_help_panel=FILTERS)] = None,
    before: Annotated[str | None, typer.Option(help="Only taken before that began.", rich_help_panel=FILTERS)] = None,
    caption: Annotated[
        str | None, typer.Option(help="Only with these words in the caption; sun* begins so.", rich_help_panel=FILTERS)
    ] = None,
    min_size: Annotated[
        str | None,
        typer.Option(help="Only from 1000 (longer side), 1920x1080, 2mp or 500kb on.", rich_help_panel=FILTERS),
    ] = None,
    max_size: Annotated[str | None, typer.Option(help="Only up to such a size.", rich_help_panel=FILTERS)] = None,
    orientation: Annotated[
        str | None, typer.Option(help="Only landscape, portrait or square.", rich_help_panel=FILTERS)
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
    html: Annotated[
        Path | None, typer.Option(help="Write a page with the small pictures to this file.", show_default=False)
    ] = None,
    open_it: Annotated[
        bool, typer.Option("--open", help="Open the best picture, or the page of --html, outside the terminal.")
    ] = False,
    raw: Annotated[bool, typer.Option("--raw", help="Look for misspelt words as they are typed.")] = False,
) -> None:
    """Find pictures by words, pictures, or both: ranked, with scores (1 is a perfect match).

    The filters can be typed among the words, too: folder:holiday after:2024-05.

    Examples:

    fromage-lite search "a cat on the beach" --top 3
    fromage-lite search "at night" --image cat.png
    fromage-lite search "a cat on the beach - on the beach + at night"
    fromage-lite search "a dog" --folder holiday --after 2024-05 --html dogs.html
    fromage-lite search "a cat" --by text-tower --index my-index
    """
    if as_json and show:
        raise ConfigError("--json prints for programs, --show for people.", "Give only one of them.")
    if html is not None:
        check_target(html)
    request = _request(
        query or [],
        image or [],
        folder=folder,
        date=date,
        after=after,
        before=before,
        caption=caption,
        min_size=min_size,
        max_size=max_size,
        orientation=orientation,
        min_score=min_score,
        sort=sort if sort != "score" else None,
        all="yes" if show_all else None,
        by=by,
    )
    mode = _mode(images) if show else None  # queries the terminal, so it must come before any output
    used = _with_pictures(load, request.terms)
    agent = open_searcher(used, request.by, dialogue)
    read = request if raw else replace(request, terms=tuple(agent.terms_as_read(request.terms, request.by)))
    if read != request:
        looked_for = [segment for term in read.terms for segment in term.segments]
        console.complain(told_as_read(looked_for, request.by or agent.way))
    hits = agent.look_up(read, top, spelling="off")
    facts = agent.facts(hits)
    if used != load:
        console.complain(
            f"None of your pictures is indexed yet (fromage-lite index FOLDER --out OUT): these are the {used.model}'s."
        )
    if as_json:
        console.echo_json(_as_data(request, read, hits, facts))
    else:
        _print(hits, facts, _drawer(agent, mode), read)
        _warn(hits, read, agent.match_score)
    page = _write_page(html, request, agent, hits, facts) if html is not None else None
    if open_it and hits:
        _open(agent, hits[0], page)


def _request(words: Sequence[str], files: Sequence[Any], **options: str | None) -> SearchRequest:
    """What is asked for. Every picture is opened, so that a bad one fails before the model loads."""
    from_stdin = bool(words) and words[-1] == console.STDIN
    pictures = console.read_pictures(files, stdin_taken=from_stdin)
    if from_stdin or not (words or files):
        words = [*words[:-1], *console.read_messages([console.STDIN] if words else [], has_pictures=bool(files))]
    request = parse_request([word for word in words if word.strip()], pictures, **options)
    if not request.terms:
        raise MessageError("There is nothing to search for.", "Type something, or name a picture: --image FILE.")
    for term in request.terms:
        console.read_pictures([s.path for s in term.segments if isinstance(s, ImageSegment)])
    return request


def _with_pictures(load: LoadOptions, terms: Sequence[Term]) -> LoadOptions:
    """The options with a model that has pictures to find, unless the user names a model or an index."""
    if load.model is not None or load.index is not None:
        return load
    model = model_to_search([s.path for term in terms for s in term.segments if isinstance(s, ImageSegment)])
    return load if model == default_model() else replace(load, model=model)


def _as_data(
    request: SearchRequest, read: SearchRequest, hits: Sequence[Hit], facts: Sequence[Facts]
) -> dict[str, Any]:
    asked, taken_as = request.to_dict(), read.to_dict()
    images = [{**console.hit_data(hit), **_facts_data(known)} for hit, known in zip(hits, facts, strict=True)]
    return {"query": asked["terms"], "read_as": taken_as["terms"], "filters": asked["filters"], "images": images}


def _facts_data(facts: Facts) -> dict[str, Any]:
    """What is known of a picture as JSON data; the time of its file is in UTC."""
    modified = None
    if facts.modified_ns is not None:
        try:
            modified = datetime.fromtimestamp(facts.modified_ns // 10**9, UTC).isoformat()
        except (OverflowError, OSError, ValueError):  # no date of a calendar
            pass
    data = {"width": facts.width, "height": facts.height, "bytes": facts.file_bytes, "taken": facts.taken}
    return {name: value for name, value in {**data, "modified": modified}.items() if value is not None}


def _print(hits: Sequence[Hit], facts: Sequence[Facts], draw: Draw | None, request: SearchRequest) -> None:
    for rank, (hit, known) in enumerate(zip(hits, facts, strict=True), start=1):
        date = (date_of(known) or "")[:10] if request.sort == "date" else ""
        more = f"({more_alike(hit)})" if hit.alike else ""
        typer.echo("  ".join(filter(None, (f"{rank:>3}", date, console.hit_line(hit), more))))
        if draw is not None:
            draw(hit)
    if not hits:
        console.complain(_nothing(request))


def _warn(hits: Sequence[Hit], request: SearchRequest, match_score: float | None) -> None:
    """Says so where nothing fits, by the model's own threshold, which is for a text alone."""
    is_text = len(request.terms) == 1 and all(isinstance(segment, str) for segment in request.terms[0].segments)
    if is_text and match_score is not None and hits and max(hit.score for hit in hits) < match_score:
        console.complain("No picture here fits that well; the nearest are shown (--min-score auto leaves them out).")


def _nothing(request: SearchRequest) -> str:
    if request.filters:
        reached = " and reaches the threshold" if request.min_score is not None else ""
        return f"No picture passes the filters{reached}."
    return "No picture reaches the threshold." if request.min_score is not None else "The index has no pictures."


def _write_page(
    path: Path, request: SearchRequest, agent: Searcher, hits: Sequence[Hit], facts: Sequence[Facts]
) -> Path:
    entries = [Entry(load_hit(agent, hit), known) for hit, known in zip(hits, facts, strict=True)]
    write_sheet(path, contact_sheet(request.words(), entries))
    console.complain(f"{path} shows them.")
    return path


def _open(agent: Searcher, best: Hit, page: Path | None) -> None:
    """Opens the page, else the best picture, outside the terminal.

    Raises:
        FromageError: there is nothing to open it with.
    """
    if page is not None:
        if not webbrowser.open(page.absolute().as_uri()):
            raise FromageError("No browser could be started.", f"Open {page} yourself.")
        return
    try:
        open_outside(load_hit(agent, best))
    except FromageError as error:
        raise FromageError(error.message, "Its path is in the first line.") from error


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
    from tui.pictures.thumbnails import fit_box

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
