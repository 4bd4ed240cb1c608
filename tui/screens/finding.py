"""`/find`: the pictures that fit words and pictures best, without a word from the model."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import get_args

from fromage_lite.chat.search import is_meant_as_path, told_as_read
from fromage_lite.config import AskBy
from fromage_lite.errors import MessageError
from fromage_lite.text.message import Segment, parse_message
from tui.input.attachments import refuse_folder, to_path
from tui.input.commands import command
from tui.screens.feature import Feature
from tui.screens.interface import LOADING_FIRST, TYPED
from tui.screens.sending import read_pictures
from tui.widgets.found import Found

FIND_COUNT = 8
WAITS = "The search waits for the model"
BY = "--by"
WAYS: tuple[AskBy, ...] = get_args(AskBy)


class Finding(Feature):
    """Searches beside the dialogue, which doesn't learn of it."""

    @command("find", "Search the pictures; attached ones count too", argument="WORDS", aliases=("search",))
    async def find(self, argument: str) -> None:
        argument, by = way_to_ask(argument)
        pictures = self.chat.composer.pictures
        attached = [picture.path for picture in pictures]
        if is_meant_as_path(argument):
            await asyncio.to_thread(refuse_folder, path := to_path(argument))
            attached, argument = [*attached, str((await read_pictures([path]))[0].path)], ""
        segments = parse_message(argument, attached)
        if not segments:
            await self.chat.note(
                "What are you looking for? /find WORDS, with or without attached pictures; "
                f"/find {BY} {'|'.join(WAYS)} WORDS says how to ask.",
                about=TYPED,
            )
        elif self.chat.conversation.agent is None:
            self.sending.after_loading(partial(self._find_later, segments, argument, by))
            self.chat.composer.pictures = ()
            self.chat.hint(WAITS if self.chat.busy else f"{WAITS} · /retry loads it", LOADING_FIRST)
        else:
            self.chat.begin("searching", partial(self._find, segments, argument, by))
            self.chat.composer.pictures = ()

    async def _find_later(self, segments: tuple[Segment, ...], words: str, by: AskBy | None) -> None:
        with self.chat.working("searching"):
            await self._find(segments, words, by)

    async def _find(self, segments: tuple[Segment, ...], words: str, by: AskBy | None) -> None:
        read = await self.chat.conversation.read_as(segments, by)
        if read != segments:
            await self.chat.note(told_as_read(read, by), about=TYPED)
        found = await self.chat.conversation.search(read, FIND_COUNT, by=by)
        await self.chat.transcript.add(Found(words, found, self.chat.mode))
        self.chat.conversation.note_search(words, found)


def way_to_ask(argument: str) -> tuple[str, AskBy | None]:
    """`--by WAY WORDS` -> the words and the way; without it, the model's own way (None).

    Raises:
        MessageError: there is no such way.
    """
    if argument.split(maxsplit=1)[:1] != [BY]:
        return argument, None
    _, name, words = [*argument.split(maxsplit=2), "", ""][:3]
    for by in WAYS:
        if name == by:
            return words, by
    raise MessageError(f"The pictures can't be searched by {name or 'nothing'}.", f"Say --by {', '.join(WAYS)}.")
