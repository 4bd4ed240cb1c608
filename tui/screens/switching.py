"""Another index or another model in the middle of a conversation."""

from __future__ import annotations

from fromage_lite.chat.events import Notice
from fromage_lite.errors import FromageError
from index.images import sanitize
from tui.input.attachments import to_path
from tui.screens.dialogue import STOP_FIRST, DialogueScreen


class SwitchingScreen(DialogueScreen):
    """What the chat does when the model or its pictures change. The words said so far stay."""

    async def command_index(self, argument: str) -> None:
        if not argument:
            await self.note("Which index? /index FOLDER, /index none, or /index default for the model's own.")
        elif self.conversation.agent is None:
            self.hint("The model isn't loaded yet")
        elif self._is_free():
            self.busy = "searching"  # nothing else may ask the agent meanwhile
            self.run_worker(self._change_index(str(to_path(argument))), group="agent")

    async def _change_index(self, argument: str) -> None:
        self.status.state = "opening the index"
        try:
            await self.conversation.use_index(argument)
        except FromageError as error:
            await self.note_error(error, "")
        else:
            self.show_agent()
            agent = self.conversation.agent
            size = agent.index_size if agent is not None else 0
            said = f"Pictures come from this index now: {size:,}." if size else "Answers come without pictures now."
            await self.note(said)
        finally:
            self.busy = ""

    async def command_model(self, argument: str) -> None:
        if not argument:
            await self.note("Which model? /model FOLDER, or a Hugging Face id.")
        elif self._is_free():
            self.busy = "searching"  # nothing else may ask the agent meanwhile
            self.run_worker(self._change_model(str(to_path(argument))), group="agent")

    async def _change_model(self, argument: str) -> None:
        self.status.state = "loading another model"
        try:
            async for text in self.conversation.use_model(argument):
                if isinstance(text, Notice):
                    await self.note(sanitize(text.message))
                else:
                    self.status.state = sanitize(text)
        except FromageError as error:
            has_model = self.conversation.agent is not None
            await self.note_error(error, "The model before goes on." if has_model else "/retry tries again.")
            return
        finally:
            self.busy = ""
        self.show_agent()
        for problem in self.conversation.problems:
            await self.note(problem, "warning")
        agent = self.conversation.agent
        assert agent is not None
        turns = len(self.turns)
        kept = f" It reads the {turns} message{'s' * (turns > 1)} so far with your next one." if turns else ""
        await self.note(f"{sanitize(agent.model_name)} answers now.{kept}")

    def _is_free(self) -> bool:
        if self.busy:
            self.hint(STOP_FIRST if self.busy == "replying" else "Not now, please wait")
        return not self.busy
