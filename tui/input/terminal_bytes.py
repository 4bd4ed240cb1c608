"""What Textual's drivers make of a terminal's bytes where they are too strict, or too patient.

A byte that is no UTF-8 (a Latin-1 terminal's umlaut, Alt in 8-bit mode, an old mouse report) ends the thread that
reads, and the app with it. The end of the input (the window is closed, the connection lost) is read again and again, on
a whole core, by an app that nobody sees any more.
"""

from __future__ import annotations

import codecs
import os
import sys
from functools import partial

from textual.driver import Driver

DECODER = "getincrementaldecoder"  # under this name the modules of Textual's drivers have it from `codecs`
HUNG_UP = 129  # exit code: what a shell tells of a process that a hang-up has ended


class TerminalDecoder(codecs.getincrementaldecoder("utf-8")):  # type: ignore[misc]
    """Reads what is no UTF-8 as U+FFFD: one sees that something came, and the text around it stays whole.

    Args:
        encoding: what the driver asks for; always UTF-8.
        is_terminal: whether reading nothing means that the terminal is gone. Then the process ends at once: the
            screen's thread may wait for ever to write to it. What was said is in the database already.
    """

    def __init__(self, encoding: str, *, is_terminal: bool) -> None:
        super().__init__(errors="replace")
        self._is_terminal = is_terminal

    def decode(self, data: bytes, final: bool = False) -> str:
        if self._is_terminal and not data and not final:
            os._exit(HUNG_UP)
        return str(super().decode(data, final))


def forgive_bytes(driver: Driver) -> None:
    """Has a driver decode so. The name is replaced in the driver's module, for the loop that uses it is one long
    method."""
    module = vars(sys.modules[type(driver).__module__])
    if DECODER in module:  # Windows' driver gets characters, and decodes nothing
        is_terminal = sys.__stdin__ is not None and sys.__stdin__.isatty()  # a browser's driver has a pipe
        module[DECODER] = lambda encoding: partial(TerminalDecoder, encoding, is_terminal=is_terminal)
