"""What can be done with the last message and the whole conversation: stop, another reply, take back, begin anew."""

from __future__ import annotations

from tui.input.commands import Key, command, key
from tui.screens.busy import REPLYING
from tui.screens.feature import Feature


class Replying(Feature):
    """The dialogue, on the screen and in the model's memory alike."""

    @key("escape", "Stop the reply", id="stop")
    async def stop(self) -> None:
        chat = self.chat
        if chat.composer.completion.dismiss():
            return
        if chat.busy == REPLYING:
            chat.conversation.stop()
            chat.status.state = "stopping"
        elif chat.waiting is not None:
            await self.sending.take_back_waiting()
        chat.composer.prompt.focus()

    @command(
        "regenerate",
        "Another reply to your last message",
        aliases=("retry",),
        key=Key("ctrl+r", "Another reply", "regenerate"),
    )
    async def regenerate(self) -> None:
        chat = self.chat
        chat.check_free()
        if chat.conversation.agent is None:
            self.sending.start_loading()
        elif chat.failed is not None:
            outgoing, chat.failed = chat.failed, None
            if chat.composer.prompt.text == outgoing.draft.text:  # it was handed back, and is on its way again
                chat.composer.take(outgoing.draft)
            self.sending.retry(outgoing)
        elif chat.turns:
            self.sending.regenerate(chat.turns[-1])
        else:
            chat.hint("There is no reply yet")

    @command(
        "undo", "Take the last message and its reply back", key=Key("ctrl+t", "Take the last message back", "undo")
    )
    async def undo(self) -> None:
        chat = self.chat
        if chat.waiting is not None:
            await self.sending.take_back_waiting()
            return
        chat.check_free()
        if chat.failed is not None:
            await chat.failed.view.remove()
            chat.failed = None
            chat.conversation.forget_unfinished()
            await chat.transcript.settle()
        elif not chat.turns:
            chat.hint("There is nothing to take back")
        else:
            await chat.conversation.undo()
            await chat.turns.pop().remove()
            await chat.transcript.settle()
            chat.hint("Taken back · ↑ brings your words back")

    @command(
        "reset", "Start a new conversation", aliases=("new", "clear"), key=Key("ctrl+n", "New conversation", "reset")
    )
    async def reset(self) -> None:
        await self.sending.start_anew()
