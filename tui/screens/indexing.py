"""`/index`: other pictures to answer with. Folders and files of pictures are indexed first, while the chat goes on."""

from __future__ import annotations

import asyncio
import shlex
from contextlib import suppress
from functools import partial
from pathlib import Path

from textual.css.query import NoMatches

from fromage_lite.choice import Choice, lasting_name, model_for_folder, sight, sources_to_look_at
from fromage_lite.config import PHOTOS
from fromage_lite.errors import FromageError, StoreError
from index.building.failures import BAD_LIST
from index.milvus.server import is_milvus
from index.paths import index_of, pictures_folder, shortened
from index.pictures.images import one_line, sanitize
from index.sources.recognise import open_sources
from index.store.manifest import INDEX_MANIFEST, ROWS
from tui.conversation import DEFAULT_INDEX
from tui.index_build import IndexBuild, Progress, build_command
from tui.input.attachments import exists, to_path
from tui.input.commands import command, key
from tui.pictures.own_folder import OwnFolder, find_own_folder
from tui.screens.feature import Feature
from tui.screens.interface import INDEX, INDEXING, LOADING_FIRST, MODEL, NOT_LOADED, TYPED, Chat
from tui.screens.sending import Sending
from tui.widgets.greeting import Greeting

Sources = tuple[Path, ...]
"""Folders and files of pictures, absolute once they are being indexed."""

STOP = "stop"
INDEX_OWN, INDEX_OWN_KEY = "index-own", "f8"
WORDS = ("none", DEFAULT_INDEX)
OPENING = "opening the index"
USAGE = (
    "Which pictures? /index FOLDER takes an index, or indexes a folder of pictures, or several, or tars and tables; "
    "/index none; /index default for the model's own."
)


class Indexing(Feature):
    """What the chat does when its pictures change."""

    def __init__(self, chat: Chat, sending: Sending) -> None:
        super().__init__(chat, sending)
        self._build: IndexBuild | None = None
        self._sources: Sources = ()  # that are being indexed
        self._is_unwanted = False

    @command(
        "index",
        "Answer with other pictures: an index, or folders or files of pictures, to be indexed; none, default; stop",
        argument="FOLDER",
        completes="files",
    )
    async def change_index(self, argument: str) -> None:
        if not argument:
            await self.chat.note(f"{self._going_on()}{USAGE}", about=TYPED)
        elif argument == STOP:
            if not self.stop():
                await self.chat.note("No folder is being indexed.", about=TYPED)
        elif argument not in WORDS and (sources := await asyncio.to_thread(_to_index, argument)):
            self.index_pictures(*sources)
        elif self.chat.conversation.agent is None:
            self.chat.hint(NOT_LOADED, LOADING_FIRST)
        else:
            self.chat.begin(OPENING, partial(self._change_index, str(to_path(argument))))

    async def _change_index(self, index: str) -> None:
        await self.chat.conversation.use_index(index)
        self.chat.show_agent()
        agent = self.chat.conversation.agent
        size = agent.index_size if agent is not None else 0
        await self.chat.note(
            f"Pictures come from this index now: {size:,}." if size else "Answers come without pictures now.",
            about=INDEX,
        )

    @key(INDEX_OWN_KEY, "Index your folder of pictures", id=INDEX_OWN)
    async def index_own(self) -> None:
        folder = await asyncio.to_thread(pictures_folder)
        if folder is None:
            words = "There is no folder of pictures (~/Pictures). /index FOLDER names another one."
            await self.chat.note(words, about=TYPED)
        else:
            self.index_pictures(folder)

    def greet(self) -> None:
        """Brings the welcome up to date with what answers, and with what could be indexed."""
        self.chat.start(self._greet(), "greeting")

    async def _greet(self) -> None:
        conversation = self.chat.conversation
        agent, sees = conversation.agent, conversation.sees
        has_pictures = agent is not None and agent.index_size > 0
        offer: OwnFolder | None = None
        if sees == PHOTOS and not conversation.fixed and not self._sources and self.chat.transcript.shows_welcome:
            offer = await asyncio.to_thread(find_own_folder, sees)
        words = sanitize(offer.words) if offer is not None else ""
        if sees == conversation.sees:
            await self.chat.transcript.greet(Greeting(sees, has_pictures, words))

    # In the background ------------------------------------------------------------------------------------------

    def index_pictures(self, *sources: Path) -> None:
        """Indexes folders and files of pictures in the background and then answers with them; begins once a model is
        loaded."""
        if self.chat.conversation.agent is None:
            self.chat.hint("It is indexed as soon as the model is loaded", LOADING_FIRST)
            self.sending.after_loading(partial(self._begin, *sources))
        else:
            self.chat.start(self._index(tuple(source.absolute() for source in sources)), "index")

    async def _begin(self, *sources: Path) -> None:
        self.index_pictures(*sources)

    def stop(self) -> bool:
        """Stops the build; False if there is none."""
        if self._build is not None:
            self._build.stop()
        self._is_unwanted = bool(self._sources)  # while its pictures are looked at, there is no build yet
        return self._is_unwanted

    def end(self) -> None:
        """The app ends."""
        if self._build is not None:
            self._build.end()

    def _going_on(self) -> str:
        return f"{_named(self._sources)} is being indexed; /index stop ends that. " if self._sources else ""

    async def _index(self, sources: Sources) -> None:
        conversation = self.chat.conversation
        if conversation.fixed:
            raise FromageError(conversation.fixed, "Name an index at the start: --index.")
        if self._sources:
            await self.chat.note(f"{self._going_on()}One folder at a time.", "warning", TYPED)
            return
        self._sources, self._is_unwanted = sources, False
        self.chat.forget(INDEXING)
        self.greet()
        try:
            choice = await asyncio.to_thread(_look_at, sources)
            model = await self._choose(choice)
            await self._build_index(sources, index_of(_given(sources), model), model)
        except FromageError as error:
            await self.chat.note_error(error, about=INDEXING)
        finally:
            self._sources, self._build = (), None
            self._say("")
        self.greet()  # one that was stopped is offered again

    async def _choose(self, choice: Choice) -> str:
        """The model that is to find the pictures of a folder, by what they seem to be for."""
        conversation = self.chat.conversation
        if conversation.sees and not choice.fits:
            what = "These are photographs; the model here knows its pictograms only."
            await self.chat.note(what, "warning", MODEL)
        if not conversation.sees or choice.model == conversation.sees:
            return lasting_name(conversation.model_path)
        if self.sending.following.may_switch:
            return choice.model
        what = f"{sight(choice.model, 2)}: the model {choice.model} would fit better than {conversation.sees}."
        await self.chat.note(what, "warning", MODEL)
        return lasting_name(conversation.model_path)

    async def _build_index(self, sources: Sources, out: Path, model: str) -> None:
        name = _named(sources)
        known = await asyncio.to_thread((out / INDEX_MANIFEST).is_file)
        if known:  # what has changed since is seen to meanwhile
            try:
                await self._open(sources, out, model, f"Pictures come from {name} now")
            except FromageError:  # of an earlier version of the model, or damaged: it is made anew
                known = False
        agent = self.chat.conversation.agent
        device = agent.device if agent is not None else "auto"
        self._build = IndexBuild(build_command(_given(sources), out, model, device), self._show)
        self._show(Progress())
        if not known:
            words = f"{name} is being indexed; go on meanwhile. Esc or /index stop ends it."
            await self.chat.note(words, about=INDEXING)
        built = None if self._is_unwanted else await self._build.run()
        if built is None:
            words = f"{name} is not indexed to its end. /index goes on where it stopped."
            await self.chat.note(words, about=INDEXING)
        elif built.changed or not known:
            unread = ""
            if built.bad:
                files = "1 file" if built.bad == 1 else f"{built.bad:,} files"
                unread = f" {files} can't be read: {one_line(shortened(out / BAD_LIST))}."
            await self._open(sources, out, model, f"{name} is indexed", unread)

    async def _open(self, sources: Sources, out: Path, model: str, what: str, more: str = "") -> None:
        """Opens the index as soon as the agent is free."""
        conversation = self.chat.conversation
        async with self.chat.turn(OPENING):
            if lasting_name(conversation.model_path) != model and self.sending.following.may_switch:
                if not await self.sending.following.switch(model):
                    return
                more += f" The model {one_line(model)} answers from here on: it sees such pictures."
            if lasting_name(conversation.model_path) != model:
                again = f"/index {' '.join(one_line(shortened(source)) for source in sources)}"
                words = f"{what} for the model {one_line(model)}; once that answers, {again} opens it."
                await self.chat.note(words, about=INDEXING)
                return
            await conversation.use_index(str(out))
            self.chat.forget(INDEXING)
            self.chat.show_agent()
            agent = conversation.agent
            size = agent.index_size if agent is not None else 0
            await self.chat.note(f"{what}: {size:,} picture{'s' * (size != 1)} to find.{more}", about=INDEX)

    def _show(self, progress: Progress) -> None:
        name = sanitize(self._sources[0].name) if self._sources else ""
        words = f"indexing {name}"
        if progress.total:
            words += f" {progress.done:,} of {progress.total:,}"
        if progress.seconds_left is not None and progress.seconds_left >= 60:
            words += f", {progress.seconds_left / 60:.0f} min left"
        self._say(words)

    def _say(self, words: str) -> None:
        with suppress(NoMatches):  # the app ends
            self.chat.status.work = words


def _named(sources: Sources) -> str:
    more = f" and {len(sources) - 1} more" if len(sources) > 1 else ""
    return f"{one_line(shortened(sources[0]))}{more}"


def _given(sources: Sources) -> Path | Sources:
    return sources[0] if len(sources) == 1 else sources


def _to_index(argument: str) -> Sources:
    """What is to be indexed of what was typed: a folder or file that is there and no index, or several of them; nothing
    where it is an index, or is not there."""
    path = to_path(argument)
    if exists(argument):
        return () if _is_index(path) else (path,)
    try:
        paths = tuple(map(to_path, shlex.split(argument)))
        return paths if len(paths) > 1 and all(path.exists() and not _is_index(path) for path in paths) else ()
    except (OSError, ValueError):  # an open quotation mark, a name that is none
        return ()


def _is_index(folder: Path) -> bool:
    """Whether it is the folder of an index, finished or not, or one that Milvus Lite calls a file."""
    return is_milvus(folder) or any((folder / name).is_file() for name in (INDEX_MANIFEST, ROWS))


def _look_at(sources: Sources) -> Choice:
    """The model for pictures.

    Raises:
        StoreError: there are none.
    """
    listed = sources_to_look_at(open_sources(sources))
    if not listed:
        name = sanitize(str(sources[0]))
        raise StoreError(f"There are no pictures in {name}, and no index.", "Name another folder.")
    return model_for_folder(listed)
