"""Another index or another model in the middle of a conversation. The words said so far stay."""

from __future__ import annotations

from functools import partial

from fromage_lite.chat.events import Notice
from fromage_lite.errors import FromageError
from index.images import sanitize
from tui.input.attachments import to_path
from tui.input.commands import command
from tui.screens.feature import Feature
from tui.screens.interface import INDEX, LOADING_FIRST, MEMORY, MODEL, NOT_LOADED, TYPED


class Switching(Feature):
    """What the chat does when the model or its pictures change."""

    @command(
        "index",
        "Answer with other pictures: an index's folder, none or default",
        argument="FOLDER",
        completes="folders",
    )
    async def change_index(self, argument: str) -> None:
        if not argument:
            await self.chat.note(
                "Which index? /index FOLDER, /index none, or /index default for the model's own.", about=TYPED
            )
        elif self.chat.conversation.agent is None:
            self.chat.hint(NOT_LOADED, LOADING_FIRST)
        else:
            self.chat.begin("opening the index", partial(self._change_index, str(to_path(argument))))

    async def _change_index(self, index: str) -> None:
        await self.chat.conversation.use_index(index)
        self.chat.show_agent()
        agent = self.chat.conversation.agent
        size = agent.index_size if agent is not None else 0
        await self.chat.note(
            f"Pictures come from this index now: {size:,}." if size else "Answers come without pictures now.",
            about=INDEX,
        )

    @command(
        "model",
        "Talk with another model: its folder, its Hugging Face id, or default for the one of the start",
        argument="FOLDER",
        completes="folders",
    )
    async def change_model(self, argument: str) -> None:
        if not argument:
            await self.chat.note(
                "Which model? /model FOLDER, a Hugging Face id, or /model default for the first one.", about=TYPED
            )
        else:
            self.chat.begin("loading another model", partial(self._change_model, str(to_path(argument))))

    async def _change_model(self, model: str) -> None:
        conversation = self.chat.conversation
        self.chat.forget(MEMORY)
        before = conversation.agent.index_path if conversation.agent is not None else None
        try:
            async for text in conversation.use_model(model):
                if isinstance(text, Notice):
                    await self.chat.note(sanitize(text.message), about=MEMORY)
                else:
                    self.chat.status.state = sanitize(text)
        except FromageError as error:
            has_model = conversation.agent is not None
            advice = "The model before goes on." if has_model else "/retry tries again."
            await self.chat.note_error(error, advice, MODEL)
            return
        self.chat.show_agent()
        self.chat.host.small_world = conversation.is_shipped
        await self.chat.transcript.set_small_world(conversation.is_shipped)
        self.chat.forget(INDEX)
        for problem in conversation.problems:
            await self.chat.note(problem, "warning", INDEX)
        assert conversation.agent is not None
        turns = len(self.chat.turns)
        kept = f" It reads the {turns} message{'s' * (turns > 1)} so far with your next one." if turns else ""
        size, path = conversation.agent.index_size, conversation.agent.index_path
        pictures = ""
        if size and path != before:
            pictures = f", with its own pictures ({size:,})"
        await self.chat.note(f"{sanitize(conversation.agent.model_name)} answers now{pictures}.{kept}", about=MODEL)
