"""How special tokens are written in a text, so that nothing that a user types can become one."""

from __future__ import annotations

import re

RET = "[RET]"  # how the retrieval token is written in a text

# Control characters that enclose a special token of a template: no text of a user or a model has them.
MARK_OPEN, MARK_CLOSE = "\x02", "\x03"

NO_BOS = MARK_OPEN + MARK_CLOSE  # a text that begins so gets no beginning-of-text token: its template has seen to that

_MARKED = re.compile(f"{MARK_OPEN}([^{MARK_CLOSE}]*){MARK_CLOSE}")


def special(token: str) -> str:
    """A special token of the tokenizer, marked so that it counts as one."""
    return f"{MARK_OPEN}{token}{MARK_CLOSE}"


def split_marks(text: str) -> list[tuple[str, bool]]:
    """The parts of a text, and whether each is a marked special token."""
    return [(part, position % 2 == 1) for position, part in enumerate(_MARKED.split(text)) if part or position % 2]


def without_marks(text: str) -> str:
    """A foreign text, from which no special token can be made."""
    return text.replace(MARK_OPEN, "").replace(MARK_CLOSE, "")
