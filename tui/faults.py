"""Where every exception ends that nothing has caught: in workers and threads, message handlers, timers, callbacks,
drawing. Textual ends the app on any of them. Here it goes on: the fault is shown, and what can't be drawn is hidden.
"""

from __future__ import annotations

import logging
import time
import traceback
from typing import Any

from textual.app import App
from textual.dom import DOMNode
from textual.message import Message
from textual.screen import Screen
from textual.widget import Widget
from textual.worker import WorkerFailed

QUIET_SECONDS = 2.0  # a fault that comes again and again is shown once

log = logging.getLogger(__name__)


class LastingApp(App[None]):
    """An app that no fault ends once its first screen is there. One that keeps it from starting does end it.

    Its hooks into Textual are private names there, as Textual has no public ones.
    """

    def __init__(self) -> None:
        super().__init__()
        self._last_fault: tuple[str, float] = ("", 0.0)

    def show_fault(self, error: Exception) -> bool:
        """Tells the user of a fault; False if there is nothing yet to tell it on."""
        return False

    def _handle_exception(self, error: Exception) -> None:
        # Textual calls this in every one of its loops.
        if isinstance(error, WorkerFailed) and isinstance(error.error, Exception):
            error = error.error
        if self._exit:
            log.error("A fault while the app ended", exc_info=error)
            return
        if (culprit := undrawable(error)) is not None:
            culprit.display = False
        if not self._is_repeated(error) and not self.show_fault(error):
            super()._handle_exception(error)

    def _is_repeated(self, error: Exception) -> bool:
        before, when = self._last_fault
        self._last_fault = repr(error), time.monotonic()
        return repr(error) == before and time.monotonic() - when < QUIET_SECONDS

    # A handler that raises would end its widget's loop, and leave it deaf.

    def _register_child(self, parent: DOMNode, child: Widget, before: int | None, after: int | None) -> None:
        if child not in self._registry:
            dispatch = child._dispatch_message

            async def guarded(message: Message) -> None:
                try:
                    await dispatch(message)
                except Exception as error:
                    self._handle_exception(error)

            child._dispatch_message = guarded  # type: ignore[method-assign]
        super()._register_child(parent, child, before, after)

    async def _dispatch_message(self, message: Message) -> None:
        try:
            await super()._dispatch_message(message)
        except Exception as error:
            self._handle_exception(error)


def undrawable(error: Exception) -> Widget | None:
    """The widget that could not be drawn or measured; None if the error came from elsewhere."""
    culprit, drawing = None, False
    for frame, _ in traceback.walk_tb(error.__traceback__):
        drawing = drawing or frame.f_globals.get("__name__") == "textual._compositor"
        owner: Any = frame.f_locals.get("self")
        if drawing and isinstance(owner, Widget) and not isinstance(owner, Screen):
            culprit = owner
    return culprit
