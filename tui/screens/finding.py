"""`/find`: the pictures that fit words and pictures best, without a word from the model."""

from __future__ import annotations

from functools import partial

from fromage_lite.text.message import Segment, parse_message
from tui.input.commands import command
from tui.screens.feature import Feature
from tui.screens.interface import NOT_LOADED
from tui.widgets.found import Found

FIND_COUNT = 8


class Finding(Feature):
    """Searches beside the dialogue, which doesn't learn of it."""

    @command("find", "Search the pictures; attached ones count too", argument="WORDS", aliases=("search",))
    async def find(self, argument: str) -> None:
        pictures = self.chat.composer.pictures
        segments = parse_message(argument, (picture.path for picture in pictures))
        if not segments:
            await self.chat.note("What are you looking for? /find WORDS, with or without attached pictures.")
        elif self.chat.conversation.agent is None:
            self.chat.hint(NOT_LOADED)
        else:
            self.chat.begin("searching", partial(self._find, segments, argument))
            self.chat.composer.pictures = ()

    async def _find(self, segments: tuple[Segment, ...], words: str) -> None:
        found = await self.chat.conversation.search(segments, FIND_COUNT)
        await self.chat.transcript.add(Found(words, found, self.chat.mode))
        self.chat.conversation.note_search(words, found)
