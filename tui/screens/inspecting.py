"""Looking inside: words beside visual tokens, the way to `[RET]`, questions with known answers, figures."""

from __future__ import annotations

import asyncio
import random
from functools import partial
from pathlib import Path
from typing import Any

from textual.worker import Worker, WorkerState

from fromage_lite.errors import FromageError
from fromage_lite.evaluate.vqa import Question, VqaFile
from fromage_lite.text.message import ImageSegment
from index.images import one_line
from tui.conversation import unexpected
from tui.input.attachments import paths_of_argument
from tui.pictures.files import file_of
from tui.pictures.thumbnails import Picture, load_file
from tui.screens.dialogue import STOP_FIRST, DialogueScreen
from tui.widgets.composer import Draft
from tui.widgets.inspection import TokenTable, WhyView
from tui.widgets.picture import PictureCard
from tui.widgets.token_map import TokenMap

WORDS = 8  # nearest words asked for; as many as fit are shown


class InspectingScreen(DialogueScreen):
    """The dialogue screen with commands that show what the model is doing."""

    _vqa: VqaFile | None = None
    _vqa_source: tuple[str, ...] = ()

    # Nothing that a worker does may end the app -----------------------------------------------------------------

    def run_worker(self, work: Any, *args: Any, **options: Any) -> Worker[Any]:
        options.setdefault("exit_on_error", False)
        return super().run_worker(work, *args, **options)

    async def on_worker_state_changed(self, event: Worker.StateChanged) -> None:
        error = event.worker.error
        if event.state is WorkerState.ERROR and isinstance(error, Exception):
            self.busy = "" if event.worker.group == "agent" else self.busy
            await self.note_error(
                error if isinstance(error, FromageError) else unexpected("Something went wrong", error)
            )

    # /tokens ----------------------------------------------------------------------------------------------------

    async def command_tokens(self, argument: str = "") -> None:
        if self.conversation.agent is None:
            self.hint("The model isn't loaded yet")
        elif self.busy:
            self.hint(STOP_FIRST if self.busy == "replying" else "Not now, please wait")
        else:
            self.busy = "searching"
            self.run_worker(self._tokens(argument), group="agent")

    async def _tokens(self, argument: str) -> None:
        try:
            picture = await self._picture_meant(argument)
            if picture is None:
                await self.note("Which picture? /tokens PATH, or attach one, or talk about one first.")
                return
            path = await asyncio.to_thread(file_of, picture)
            tokens, patches = await self.conversation.tokens_near(str(path), WORDS)
            name = one_line(picture.caption)
            if patches is None or len(tokens) != patches.rows * patches.columns:
                await self.transcript.add(TokenTable(name, tokens))
                return
            view = TokenMap(name, tokens, patches)
            await self.transcript.add(view)
            if not self.composer.prompt.text:
                view.patches.focus()
        except FromageError as error:
            await self.note_error(error, "")
        finally:
            self.busy = ""

    async def _picture_meant(self, argument: str) -> Picture | None:
        """The named one, else the last attached one, else the last one in the transcript."""
        if paths := paths_of_argument(argument):
            return (await self.read(paths[:1]))[0]
        if self.composer.pictures:
            return self.composer.pictures[-1]
        cards = list(self.transcript.query(PictureCard))
        return cards[-1].picture if cards else None

    # /why -------------------------------------------------------------------------------------------------------

    async def command_why(self, argument: str = "") -> None:
        trace = self.turns[-1].reply.trace if self.turns else None
        if trace is not None:
            await self.transcript.add(WhyView(trace))
        elif self.turns:
            await self.note("The last reply was made before this session; /retry makes another one, which can tell.")
        else:
            await self.note("There is no reply yet that could be looked into.")

    # /randvqa ---------------------------------------------------------------------------------------------------

    async def command_randvqa(self, argument: str = "") -> None:
        if self.busy in ("replying", "searching") or self.waiting is not None:
            self.hint(STOP_FIRST if self.busy == "replying" else "Not now, please wait")
        else:
            self.run_worker(self._randvqa(argument), group="submit", exclusive=True)

    async def _randvqa(self, argument: str) -> None:
        try:
            question, path = await asyncio.to_thread(partial(self._draw_question, argument))
            picture = await asyncio.to_thread(load_file, path)
        except FromageError as error:
            await self.note_error(error, "")
            return
        if self.busy in ("replying", "searching"):
            return
        segments = (ImageSegment(str(path)), question.text)
        await self._send(Draft(question.text, (picture,)), segments, [picture, question.text])
        if (turn := self.transcript.last_turn) is not None:
            turn.true_answer = question.answer

    def _draw_question(self, argument: str) -> tuple[Question, Path]:
        source = tuple(str(path) for path in paths_of_argument(argument))
        if self._vqa is None or (source and source != self._vqa_source):
            from fromage_lite.playground.vqa import open_questions

            self._vqa, self._vqa_source = open_questions(*source[:2]), source
        question = self._vqa.draw(random.Random())
        return question, self._vqa.picture(question)

    # /stats -----------------------------------------------------------------------------------------------------

    async def command_stats(self, argument: str = "") -> None:
        self.action_stats()

    def action_stats(self) -> None:
        shown = self.transcript.toggle_class("-stats").has_class("-stats")
        self.hint("Figures under each reply" if shown else "No figures under the replies")
