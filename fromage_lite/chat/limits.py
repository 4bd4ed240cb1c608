"""How long a message may be. No torch here: the command line reads it before it loads a model."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from fromage_lite.errors import MessageError
from fromage_lite.text.message import Segment

if TYPE_CHECKING:
    from fromage_lite.model.fromage import Fromage

# A message of more characters per position is refused unread: no tokenizer makes so few tokens of it.
MAX_CHARACTERS_PER_POSITION = 100


def check_length(model: Fromage, message: Sequence[Segment], rendered: Sequence[Segment], room: int) -> None:
    """Refuses what does not fit into `room` positions, before any picture is opened.

    Args:
        model: whose tokens are counted.
        message: what the user said.
        rendered: that as a prompt.
        room: positions that the prompt may take.

    Raises:
        MessageError: saying how long the message may be.
    """
    text = "".join(s for s in message if isinstance(s, str))
    if len(text) > room * MAX_CHARACTERS_PER_POSITION:
        raise _too_long(len(text), None, room)
    needed = model.prompt_length(rendered, add_bos=False)
    if needed > room:
        words = len(model.language.tokenize(text))
        raise _too_long(len(text), words, room - (needed - words))


def _too_long(characters: int, tokens: int | None, room: int) -> MessageError:
    """The error for a message that is too long, saying how long it may be."""
    if room <= 0:
        return MessageError("The message has more pictures than the language model can read at once.", "Send fewer.")
    allowed = room * 4 if tokens is None else room * characters // max(tokens, 1)
    digits = max(len(str(allowed)) - 2, 0)
    allowed = allowed // 10**digits * 10**digits
    return MessageError(
        f"The message is too long: it has {characters:,} characters, "
        f"and this language model takes up to about {allowed:,} in one message.",
        "Shorten it.",
    )
