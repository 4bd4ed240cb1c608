"""Another model in the middle of a conversation. The words said so far stay."""

from __future__ import annotations

import asyncio
from functools import partial

from fromage_lite.catalogue import Model, catalogue
from fromage_lite.choice import lasting_name
from index.pictures.images import sanitize
from tui.input.attachments import to_path
from tui.input.commands import command
from tui.model_names import DEFAULT
from tui.screens.feature import Feature
from tui.screens.following import load_model
from tui.screens.interface import INDEX, MODEL, TYPED
from tui.screens.models import ChooseModel


class Switching(Feature):
    """What the chat does when the model changes."""

    @command(
        "model",
        "Talk with another model: its short name, folder or Hugging Face id; without one, choose from a list",
        argument="[NAME]",
        completes="folders",
    )
    async def change_model(self, argument: str) -> None:
        if argument:
            self._begin(str(to_path(argument)))
            return
        conversation = self.chat.conversation
        # An encoder without a bridge can't talk.
        models = [model for model in await asyncio.to_thread(catalogue) if model.kind != "encoder"]
        await self.chat.app.push_screen(ChooseModel(models, lasting_name(conversation.model_path)), self._chosen)

    def _chosen(self, model: Model | None) -> None:
        if model is not None:
            self.chat.start(self._take(model), "model")

    async def _take(self, model: Model) -> None:
        if model.is_here:
            self._begin(model.name)
        else:
            await self.chat.note(f"{model.name} is not here yet. To get it: {model.get}", about=TYPED)

    def _begin(self, model: str) -> None:
        self.chat.begin("loading another model", partial(self._change_model, model))

    async def _change_model(self, model: str) -> None:
        conversation = self.chat.conversation
        before = conversation.agent.index_path if conversation.agent is not None else None
        if not await load_model(self.chat, model):
            return
        conversation.is_model_named = conversation.names.is_first_named if model == DEFAULT else True
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
