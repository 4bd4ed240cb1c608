"""Writes changed preferences a moment after the last change, off the UI thread."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

from textual.app import App
from textual.timer import Timer

from fromage_lite.errors import FromageError
from tui.settings.preferences import Preferences

DELAY_SECONDS = 0.5  # typing "0.75" is one change, not four


class PreferencesWriter:
    """Collects changes and writes them together."""

    def __init__(self, app: App[Any], preferences: Preferences) -> None:
        self._app = app
        self._preferences = preferences
        self._pending: dict[str, object] = {}
        self._timer: Timer | None = None
        self._told = False

    def write_soon(self, changes: Mapping[str, object]) -> None:
        """Values by name, as `Preferences.keep` takes them; written together a moment after the last."""
        if self._preferences.path is None or not changes:
            return
        self._pending.update(changes)
        if self._timer is not None:
            self._timer.stop()
        self._timer = self._app.set_timer(DELAY_SECONDS, self._write)

    async def _write(self) -> None:
        pending, self._pending = self._pending, {}
        try:
            await asyncio.to_thread(self._preferences.keep, pending)
        except FromageError as error:
            if not self._told:
                self._told = True
                self._app.notify(str(error), title="Not kept", severity="warning", markup=False)

    def flush(self) -> None:
        """Writes what is still waiting, for the end of the app."""
        pending, self._pending = self._pending, {}
        try:
            self._preferences.keep(pending)
        except FromageError:
            if not self._told:
                raise
