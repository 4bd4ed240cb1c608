"""Bytes from the terminal that are no UTF-8: a Latin-1 terminal's umlaut, Alt in 8-bit mode, an old mouse report.

Textual's drivers decode what comes in strictly, on a thread that ends at the first such byte, and the app with it.
"""

from __future__ import annotations

import codecs
import sys
from functools import partial

from textual.driver import Driver

DECODER = "getincrementaldecoder"  # under this name the modules of Textual's drivers have it from `codecs`


def forgive_bytes(driver: Driver) -> None:
    """Lets a driver read such a byte as U+FFFD: one sees that something came, and the text around it stays whole.

    The name is replaced in the driver's module, for the loop that uses it is one long method.
    """
    module = vars(sys.modules[type(driver).__module__])
    if DECODER in module:  # Windows' driver gets characters, and decodes nothing
        module[DECODER] = _decoder


def _decoder(encoding: str) -> partial[codecs.IncrementalDecoder]:
    return partial(codecs.getincrementaldecoder(encoding), errors="replace")
