"""Whoever types means the composer, wherever the focus is. A picture's letters are keys only when they come alone."""

from __future__ import annotations

from textual import events
from textual.screen import ActiveBinding, Screen
from textual.timer import Timer

from tui.widgets.composer import PromptArea

ALONE_SECONDS = 0.25  # nothing typed for so long after a letter: it was a key, not the beginning of a word


class Typing:
    """Looks at the chat's keys before any widget does, in the order in which they come.

    Args:
        screen: the chat.
    """

    def __init__(self, screen: Screen[None]) -> None:
        self._screen = screen
        self._letter: tuple[str, ActiveBinding] | None = None  # a key of what has the focus, or a word's beginning
        self._timer: Timer | None = None

    @property
    def _prompt(self) -> PromptArea:
        return self._screen.query_one(PromptArea)

    async def take(self, event: events.Key | events.Paste) -> bool:
        """Whether this was the composer's, and is dealt with."""
        app, prompt = self._screen.app, self._prompt
        app.app_focus = True  # a terminal that says nothing of its focus is typed to all the same
        if self._screen.focused is None or isinstance(event, events.Paste):
            self._screen.set_focus(prompt)
        if isinstance(event, events.Paste) or self._screen.focused is prompt or not event.is_printable:
            await self._act()
            return False
        bound = self._screen.active_bindings.get(event.key)
        character = event.character or ""
        if self._letter is None and bound is not None:
            self._letter = character, bound
            # The app's timer: what was typed before it fires is dealt with before it.
            self._timer = app.set_timer(ALONE_SECONDS, self._act)
            return True
        first = self._forget()
        self._screen.set_focus(prompt)
        prompt.insert((first[0] if first is not None else "") + character)
        return True

    async def _act(self) -> None:
        """The letter was a key."""
        if (first := self._forget()) is not None:
            _, bound = first
            await self._screen.app.run_action(bound.binding.action, bound.node)

    def _forget(self) -> tuple[str, ActiveBinding] | None:
        first, self._letter = self._letter, None
        if self._timer is not None:
            self._timer.stop()
        return first
