"""Help, theme, the way out, and scrolling."""

from __future__ import annotations

from index.pictures.images import one_line
from tui.input.commands import Key, command, key
from tui.screens.feature import Feature
from tui.screens.help import HelpScreen
from tui.screens.interface import TYPED


class Navigating(Feature):
    """What has nothing to do with the model."""

    @command("theme", "Dark to light and back, or the theme of that name", argument="[NAME]", completes="themes")
    async def theme(self, argument: str) -> None:
        app, name = self.chat.app, argument.strip().lower()
        if not name:
            self.chat.host.action_switch_theme()
        elif name in app.available_themes:
            app.theme = name
        else:
            known = ", ".join(sorted(app.available_themes))
            await self.chat.note(f"There is no theme '{one_line(argument, 60)}'; there are {known}.", "warning", TYPED)

    @command("help", "Keys and commands", key=Key("f1", "Keys and commands", "help"))
    async def help(self) -> None:
        app = self.chat.app
        keys = self.chat.host.preferences.keys
        await app.push_screen(HelpScreen(self.chat.commands, (type(self.chat), type(app)), keys))

    @command("quit", "Leave the chat", aliases=("exit",))
    async def quit(self) -> None:
        self.chat.app.exit()

    @key("pageup", "Scroll up", id="page-up")
    async def page_up(self) -> None:
        self.chat.transcript.scroll_page_up()

    @key("pagedown", "Scroll down", id="page-down")
    async def page_down(self) -> None:
        self.chat.transcript.scroll_page_down()

    @key("ctrl+home", "To the beginning", id="top")
    async def top(self) -> None:
        self.chat.transcript.scroll_home()

    @key("ctrl+end", "To the end", id="bottom")
    async def bottom(self) -> None:
        self.chat.transcript.anchor()
