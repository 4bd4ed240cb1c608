"""The model follows the pictures: photographs are answered by the model that sees photographs, scenes of the playground
by the playground's. Loading another model in the middle of a conversation."""

from __future__ import annotations

import asyncio
from pathlib import Path

from fromage_lite.chat.events import Notice
from fromage_lite.choice import model_for_pictures, sight
from fromage_lite.errors import FromageError
from index.pictures.images import sanitize
from tui.pictures.thumbnails import Picture
from tui.screens.interface import INDEX, MEMORY, MODEL, Chat
from tui.widgets.turn import TurnView


async def load_model(chat: Chat, model: str) -> bool:
    """Loads another model, and says in the status line what it is doing. False if it can't be loaded: that is told, and
    the model before goes on."""
    conversation = chat.conversation
    chat.forget(MEMORY)
    try:
        async for text in conversation.use_model(model):
            if isinstance(text, Notice):
                await chat.note(sanitize(text.message), about=MEMORY)
            else:
                chat.status.state = sanitize(text)
    except FromageError as error:
        has_model = conversation.agent is not None
        advice = "The model before goes on." if has_model else "/retry tries again."
        await chat.note_error(error, advice, MODEL)
        return False
    chat.show_agent()
    chat.forget(MODEL)
    chat.forget(INDEX)
    return True


class Following:
    """Looks at the pictures of each message before it is answered.

    Args:
        chat: the screen.
    """

    def __init__(self, chat: Chat) -> None:
        self._chat = chat
        self._told: set[tuple[str, str]] = set()  # (what answers, what would fit)
        self._indices: dict[str, Path] = {}  # of the models that were left

    @property
    def may_switch(self) -> bool:
        """Whether the model may be changed unasked."""
        chat = self._chat
        conversation = chat.conversation
        can = conversation.load_other is not None and not conversation.fixed
        return can and not conversation.is_model_named and chat.host.follow_pictures

    async def follow(self, view: TurnView) -> None:
        """Switches to the model that is for the pictures of a message, or says which one it is."""
        conversation = self._chat.conversation
        pictures = [part.image or part.path for part in view.message.parts if isinstance(part, Picture)]
        if not pictures or not conversation.sees:  # others than the shipped models see what they were trained on
            return
        wanted = await asyncio.to_thread(model_for_pictures, pictures)
        if wanted in ("", conversation.sees):
            return
        if self.may_switch:
            view.reply.wait_for(f"loading the model {wanted}")
            if await self.switch(wanted):
                await view.apply(Notice(self._switched(wanted, len(pictures))))
        elif conversation.fixed or conversation.load_other is not None:
            await self._tell(wanted, len(pictures), view)

    async def switch(self, model: str) -> bool:
        """Loads another shipped model, with the pictures that it had before. False if it can't be loaded."""
        chat, conversation = self._chat, self._chat.conversation
        before, agent = conversation.model_path, conversation.agent
        if agent is not None and agent.index_path is not None:
            self._indices[before] = agent.index_path
        if not await load_model(chat, model):
            return False
        agent, index = conversation.agent, self._indices.get(conversation.model_path)
        if agent is not None and index is not None and agent.index_path != index:
            try:
                await conversation.use_index(str(index))
            except FromageError:  # gone meanwhile: it keeps its own
                pass
        chat.show_agent()
        chat.status.state = chat.busy
        return True

    def _switched(self, model: str, count: int) -> str:
        agent = self._chat.conversation.agent
        words = f"{sight(model, count)}: the model {model} answers from here on."
        if agent is not None and not agent.index_size:
            words += " It has no pictures to answer with yet: /index FOLDER."
        return words

    async def _tell(self, wanted: str, count: int, view: TurnView) -> None:
        conversation = self._chat.conversation
        if (conversation.sees, wanted) in self._told:
            return
        self._told.add((conversation.sees, wanted))
        how = "" if conversation.fixed else f" /model {wanted} loads it."
        fits = f"the model {wanted} would fit better than {conversation.sees}."
        await view.apply(Notice(f"{sight(wanted, count)}: {fits}{how}"))
