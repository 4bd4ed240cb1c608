"""What can be done with the last message and the whole conversation: stop, another reply, take back, change, copy,
begin anew."""

from __future__ import annotations

from functools import partial

from tui.input.commands import Key, command, key
from tui.screens.busy import REPLYING
from tui.screens.earlier import ChooseMessage
from tui.screens.feature import Feature
from tui.sessions.restore import draft_of
from tui.widgets.composer import Draft
from tui.widgets.turn import TurnView


class Replying(Feature):
    """The dialogue, on the screen and in the model's memory alike."""

    @key("escape", "Take a waiting message back, else stop the reply, else indexing a folder", id="stop")
    async def stop(self) -> None:
        chat = self.chat
        if chat.composer.completion.dismiss():
            return
        if chat.waiting is not None:
            await self.sending.take_back_waiting()
        elif chat.busy == REPLYING:
            chat.conversation.stop()
            chat.status.state = "stopping"
        elif chat.composer.prompt.has_focus and not chat.composer.prompt.text:
            chat.stop_indexing()
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
        if views := chat.transcript.turns:
            draft = await self._take_back(views[-1])
            is_there = chat.composer.restore(draft)
            chat.hint("Taken back; its words are in the composer" if is_there else "Taken back")
        else:
            chat.hint("There is nothing to take back")

    async def _take_back(self, view: TurnView) -> Draft:
        """Removes the last visible turn, of whatever kind; what was sent."""
        chat = self.chat
        if chat.failed is not None and chat.failed.view is view:
            draft, chat.failed = chat.failed.draft, None
            chat.conversation.forget_unfinished()
        else:
            draft = Draft(*draft_of(view.message.parts))
            if chat.turns and chat.turns[-1] is view:
                await chat.conversation.undo()
                chat.turns.pop()
            elif (kept := chat.left.pop(view, None)) is not None:
                chat.conversation.forget(kept)
        await view.remove()
        await chat.transcript.settle()
        return draft

    @command(
        "edit",
        "Change an earlier message and go on from there",
        key=Key("f3", "Change an earlier message and go on from there", "edit"),
    )
    async def edit(self) -> None:
        chat = self.chat
        chat.check_free()
        if views := chat.transcript.turns:
            messages = [draft_of(view.message.parts)[0] or "(a picture)" for view in views]
            await chat.app.push_screen(ChooseMessage(messages), partial(self._edit, views))
        else:
            chat.hint("There is no message yet")

    def _edit(self, views: list[TurnView], place: int | None) -> None:
        if place is not None:
            self.chat.start(self._go_back_to(views[place]), "edit")

    async def _go_back_to(self, view: TurnView) -> None:
        chat = self.chat
        with chat.working("taking back"):
            count = 0
            while (views := chat.transcript.turns) and view in views:
                draft = await self._take_back(views[-1])
                count += 1
        if count:
            chat.composer.replace(draft)
            chat.composer.prompt.focus()
            chat.hint(f"{count:,} message{'s' * (count > 1)} taken back · Enter goes on from here")

    @command("copy", "Copy the last reply's words", key=Key("ctrl+y", "Copy the last reply", "copy"))
    async def copy(self) -> None:
        said = next((text for view in reversed(self.chat.transcript.turns) if (text := view.reply.text)), "")
        if said:
            self.chat.app.copy_to_clipboard(said)
        self.chat.hint("Reply copied" if said else "There is no reply yet")

    @command(
        "reset", "Start a new conversation", aliases=("new", "clear"), key=Key("ctrl+n", "New conversation", "reset")
    )
    async def reset(self) -> None:
        await self.sending.start_anew()
