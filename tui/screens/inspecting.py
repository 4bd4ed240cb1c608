"""Looking inside: words beside visual tokens, the way to `[RET]`, questions with known answers, figures."""

from __future__ import annotations

import asyncio
import random
from functools import partial
from pathlib import Path

from fromage_lite.evaluate.vqa import Question, VqaFile
from fromage_lite.text.message import ImageSegment
from index.pictures.images import one_line
from tui.input.attachments import paths_of_argument
from tui.input.commands import Key, command
from tui.pictures.files import file_of
from tui.pictures.thumbnails import Picture, load_file
from tui.screens.feature import Feature
from tui.screens.interface import LOADING_FIRST, NOT_LOADED, TYPED, Chat
from tui.screens.sending import Sending, read_pictures
from tui.widgets.composer import Draft
from tui.widgets.inspection import TokenTable, WhyView
from tui.widgets.picture import PictureCard
from tui.widgets.token_map import TokenMap

WORDS = 8  # nearest words asked for; as many as fit are shown


class Inspecting(Feature):
    """Commands that show what the model is doing."""

    def __init__(self, chat: Chat, sending: Sending) -> None:
        super().__init__(chat, sending)
        self._vqa: VqaFile | None = None
        self._vqa_source: tuple[str, ...] = ()

    # /tokens ----------------------------------------------------------------------------------------------------

    @command("tokens", "Words nearest to a picture's visual tokens", argument="[PATH]", completes="pictures")
    async def tokens(self, argument: str) -> None:
        if self.chat.conversation.agent is None:
            self.chat.hint(NOT_LOADED, LOADING_FIRST)
        else:
            self.chat.begin("looking inside", partial(self._tokens, argument))

    async def _tokens(self, argument: str) -> None:
        picture = await self._picture_meant(argument)
        if picture is None:
            await self.chat.note("Which picture? /tokens PATH, or attach one, or talk about one first.", about=TYPED)
            return
        path = await asyncio.to_thread(file_of, picture)
        tokens, patches = await self.chat.conversation.tokens_near(str(path), WORDS)
        name = one_line(picture.caption)
        if patches is None or len(tokens) != patches.rows * patches.columns:
            await self.chat.transcript.add(TokenTable(name, tokens))
            return
        view = TokenMap(name, tokens, patches)
        await self.chat.transcript.add(view)
        if not self.chat.composer.prompt.text:
            view.patches.focus()

    async def _picture_meant(self, argument: str) -> Picture | None:
        """The named one, else the last attached one, else the last one in the transcript."""
        if paths := paths_of_argument(argument):
            return (await read_pictures(paths[:1]))[0]
        if self.chat.composer.pictures:
            return self.chat.composer.pictures[-1]
        cards = list(self.chat.transcript.query(PictureCard))
        return cards[-1].picture if cards else None

    # /why -------------------------------------------------------------------------------------------------------

    @command("why", "How near the last reply was to a picture, word by word")
    async def why(self) -> None:
        turns = self.chat.turns
        trace = turns[-1].reply.trace if turns else None
        if trace is not None:
            await self.chat.transcript.add(WhyView(trace))
        elif turns:
            words = "The last reply was made before this session; /retry makes another one, which can tell."
            await self.chat.note(words, about=TYPED)
        else:
            await self.chat.note("There is no reply yet that could be looked into.", about=TYPED)

    # /randvqa ---------------------------------------------------------------------------------------------------

    @command("randvqa", "A random question with a known answer", argument="[FILE [FOLDER]]", completes="files")
    async def randvqa(self, argument: str) -> None:
        self.sending.check_free()
        self.sending.prepare(self._randvqa(argument))

    async def _randvqa(self, argument: str) -> None:
        question, path = await asyncio.to_thread(self._draw_question, argument)
        picture = await asyncio.to_thread(load_file, path)
        segments = (ImageSegment(str(path)), question.text)
        draft = Draft(question.text, (picture,))
        await self.sending.send(draft, segments, [picture, question.text], question.answer)

    def _draw_question(self, argument: str) -> tuple[Question, Path]:
        source = tuple(str(path) for path in paths_of_argument(argument))
        if self._vqa is None or (source and source != self._vqa_source):
            from fromage_lite.playground.vqa import open_questions

            self._vqa, self._vqa_source = open_questions(*source[:2]), source
        question = self._vqa.draw(random.Random())
        return question, self._vqa.picture(question)

    # /stats -----------------------------------------------------------------------------------------------------

    @command("stats", "Figures under each reply, on or off", key=Key("f4", "Figures under each reply", "stats"))
    async def stats(self) -> None:
        shown = self.chat.transcript.toggle_class("-stats").has_class("-stats")
        self.chat.hint("Figures under each reply" if shown else "No figures under the replies")
