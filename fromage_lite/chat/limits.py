"""How long a message may be. No torch here: the command line imports it before it loads a model."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from fromage_lite.errors import MessageError
from fromage_lite.text.message import ImageSegment, Segment

if TYPE_CHECKING:
    from fromage_lite.model.fromage import Fromage

# A message with more characters per position is refused before tokenizing: no tokenizer makes so few tokens of it.
MAX_CHARACTERS_PER_POSITION = 100
EXAMPLE = ImageSegment("")  # one more picture: all of them take the same room


def check_length(
    model: Fromage, message: Sequence[Segment], rendered: Sequence[Segment], room: int, *, add_bos: bool
) -> None:
    """Refuses a message that does not fit into `room` positions, before any picture is opened.

    Args:
        model: whose tokens are counted.
        message: what the user said.
        rendered: the same as a prompt.
        room: positions that the prompt may take.
        add_bos: whether the prompt begins a text; what begins one counts.

    Raises:
        MessageError: it does not fit; the error says how long the message may be.
    """
    text = "".join(s for s in message if isinstance(s, str))
    if len(text) > room * MAX_CHARACTERS_PER_POSITION:
        raise _too_long(len(text), None, room)
    needed = model.prompt_length(rendered, add_bos)
    if needed > room:
        words = len(model.language.tokenize(text))
        raise _too_long(len(text), words, room - (needed - words))


def pictures_left(
    model: Fromage,
    render: Callable[[Sequence[Segment]], Sequence[Segment]],
    message: Sequence[Segment],
    room: int,
    *,
    add_bos: bool,
) -> int:
    """How many more pictures fit into a message; -n if it has n too many, or as much too many words.

    Args:
        model: whose tokens are counted.
        render: a message as a prompt.
        message: what is to be said.
        room: positions that the prompt may take.
        add_bos: whether the prompt begins a text.
    """
    if sum(len(s) for s in message if isinstance(s, str)) > room * MAX_CHARACTERS_PER_POSITION:
        return -1
    none, one, two = (model.prompt_length(render((*(EXAMPLE,) * count, *message)), add_bos) for count in range(3))
    each = two - one  # the first may cost more: something may stand between it and the words
    if one <= room:
        return 1 + (room - one) // each
    return min(0, (room - none) // each)


def _too_long(characters: int, tokens: int | None, room: int) -> MessageError:
    """The error that says how long the message is, and how long it may be."""
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
