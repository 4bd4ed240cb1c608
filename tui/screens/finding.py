"""`/find`: the pictures that fit words and pictures best, without a word from the model."""

from __future__ import annotations

import asyncio
from functools import partial

from fromage_lite.chat.search import is_meant_as_path
from fromage_lite.text.message import Segment, parse_message
from fromage_lite.text.spelling import told
from tui.input.attachments import refuse_folder, to_path
from tui.input.commands import command
from tui.screens.feature import Feature
from tui.screens.interface import LOADING_FIRST, TYPED
from tui.screens.sending import read_pictures
from tui.widgets.found import Found

FIND_COUNT = 8
WAITS = "The search waits for the model"


class Finding(Feature):
    """Searches beside the dialogue, which doesn't learn of it."""

    @command("find", "Search the pictures; attached ones count too", argument="WORDS", aliases=("search",))
    async def find(self, argument: str) -> None:
        pictures = self.chat.composer.pictures
        attached = [picture.path for picture in pictures]
        if is_meant_as_path(argument):
            await asyncio.to_thread(refuse_folder, path := to_path(argument))
            attached, argument = [*attached, str((await read_pictures([path]))[0].path)], ""
        segments = parse_message(argument, attached)
        if not segments:
            await self.chat.note(
                "What are you looking for? /find WORDS, with or without attached pictures.", about=TYPED
            )
        elif self.chat.conversation.agent is None:
            self.sending.after_loading(partial(self._find_later, segments, argument))
            self.chat.composer.pictures = ()
            self.chat.hint(WAITS if self.chat.busy else f"{WAITS} · /retry loads it", LOADING_FIRST)
        else:
            self.chat.begin("searching", partial(self._find, segments, argument))
            self.chat.composer.pictures = ()

    async def _find_later(self, segments: tuple[Segment, ...], words: str) -> None:
        with self.chat.working("searching"):
            await self._find(segments, words)

    async def _find(self, segments: tuple[Segment, ...], words: str) -> None:
        read = await self.chat.conversation.read_as(segments)
        if read != segments:
            await self.chat.note(told(read), about=TYPED)
        found = await self.chat.conversation.search(read, FIND_COUNT)
        await self.chat.transcript.add(Found(words, found, self.chat.mode))
        self.chat.conversation.note_search(words, found)
