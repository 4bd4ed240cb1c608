"""Text from data that is safe on a screen."""

from __future__ import annotations

import re

_ESCAPE_SEQUENCE = re.compile(
    r"(?:\x1b\[|\x9b)[0-?]*[ -/]*[@-~]"  # CSI: colours, cursor, modes
    r"|(?:\x1b[\]PX^_]|[\x90\x98\x9d-\x9f])[^\x07\x1b\x9c\n]*(?:\x07|\x1b\\|\x9c)"  # OSC, DCS and their like
    r"|\x1b[ -/]*[0-~]"  # the short ones
)
# C0 (but tab and newline), DEL, C1, line separators, bidi marks, overrides and isolates, byte order mark.
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff]")
_SURROGATE = re.compile(r"[\ud800-\udfff]")


def sanitize(text: str) -> str:
    """Make text from data (captions, file names) safe for a terminal.

    Escape sequences and control characters go, bidi overrides too (they make a name read as another); tabs and
    newlines stay; lone surrogates, which can't be printed, become U+FFFD.
    """
    return _SURROGATE.sub("\ufffd", _CONTROL.sub("", _ESCAPE_SEQUENCE.sub("", text)))


def one_line(text: str, limit: int = 10_000) -> str:
    """Sanitised text on one line, cut to `limit` characters: how captions are kept."""
    return " ".join(sanitize(text[: 2 * limit]).split())[:limit]
