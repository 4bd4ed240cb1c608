"""`/find`: the pictures that fit words and pictures best, without a word from the model."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from functools import partial

from fromage_lite.chat.request import SearchRequest, parse_request
from fromage_lite.chat.search import Term, is_meant_as_path, told_as_read
from fromage_lite.errors import MessageError
from fromage_lite.text.message import ImageSegment
from tui.input.attachments import refuse_folder, to_path
from tui.input.commands import command
from tui.screens.feature import Feature
from tui.screens.interface import LOADING_FIRST, TYPED
from tui.screens.sending import read_pictures
from tui.widgets.found import Found

FIND_COUNT = 8
WAITS = "The search waits for the model"
ADVICE = "What are you looking for? /find WORDS, with or without attached pictures."


class Finding(Feature):
    """Searches beside the dialogue, which doesn't learn of it."""

    @command("find", "Search the pictures; attached ones count too", argument="WORDS", aliases=("search",))
    async def find(self, argument: str) -> None:
        attached = [picture.path for picture in self.chat.composer.pictures]
        words = str(to_path(argument)) if is_meant_as_path(argument) else argument
        if not words and not attached:
            await self.chat.note(ADVICE, about=TYPED)
            return
        request = await self._with_paths(parse_request([words], attached))
        if not request.terms:
            raise MessageError("There is nothing to search for, only which pictures may be found.", ADVICE)
        if self.chat.conversation.agent is None:
            self.sending.after_loading(partial(self._find_later, request, argument))
            self.chat.composer.pictures = ()
            self.chat.hint(WAITS if self.chat.busy else f"{WAITS} · /retry loads it", LOADING_FIRST)
        else:
            self.chat.begin("searching", partial(self._find, request, argument))
            self.chat.composer.pictures = ()

    async def _with_paths(self, request: SearchRequest) -> SearchRequest:
        """The request with the whole paths of its pictures, every one of which can be read."""
        return replace(request, terms=tuple([await self._with_path(term) for term in request.terms]))

    async def _with_path(self, term: Term) -> Term:
        if term.picture is None:
            return term
        await asyncio.to_thread(refuse_folder, path := to_path(term.picture))
        return replace(term, segments=(ImageSegment((await read_pictures([path]))[0].path),))

    async def _find_later(self, request: SearchRequest, words: str) -> None:
        with self.chat.working("searching"):
            await self._find(request, words)

    async def _find(self, request: SearchRequest, words: str) -> None:
        read = await self.chat.conversation.read_as(request)
        if read != request:
            looked_for = [segment for term in read.terms for segment in term.segments]
            await self.chat.note(told_as_read(looked_for, request.by), about=TYPED)
        found = await self.chat.conversation.search(read, FIND_COUNT)
        await self.chat.transcript.add(Found(words, found, self.chat.mode))
        self.chat.conversation.note_search(words, found)
