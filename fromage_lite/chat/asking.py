"""Ways to ask that belong to a dialogue: in its context, and, where a bridge has no `[RET]`, by the text tower."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from dataclasses import replace

from torch import Tensor

from fromage_lite.chat.context import Context
from fromage_lite.chat.engine import Engine
from fromage_lite.chat.search import lone_picture, picture_embeds
from fromage_lite.chat.tower import Tower
from fromage_lite.chat.turns import Turn
from fromage_lite.config import GenerationSettings
from fromage_lite.errors import MessageError
from fromage_lite.text.message import Segment, clean
from fromage_lite.text.queries import requested


class DialogueQuery:
    """Asks in a dialogue's context: what is looked for is read as the next message, and the `[RET]` of the reply is the
    query, as in the chat. A picture alone is its own embedding. The dialogue stays as it is.

    Args:
        context: what the language model has read of the dialogue.
        turns: of the dialogue.
        settings: how its replies are made.
    """

    def __init__(self, context: Context, turns: Sequence[Turn], settings: GenerationSettings) -> None:
        self._context, self._turns = context, turns
        self._settings = replace(settings, ret_mode="always", max_images=max(settings.max_images, 1))

    def embeds(self, segments: Sequence[Segment]) -> Tensor:
        """As `Asking.embeds`."""
        if (path := lone_picture(segments)) is not None:
            return picture_embeds(self._context.engine, path)
        if not (message := clean(segments)):
            raise MessageError("There is nothing to search for.", "Type something, or name a picture.")
        prompt = self._context.prepare(self._turns, message, self._settings.max_new_tokens)
        try:
            with closing(self._context.stream(prompt, self._settings, None, len(self._turns))) as tokens:
                for token in tokens:
                    if token.query_embeds is not None:
                        return token.query_embeds
        finally:
            self._context.rollback()
        raise MessageError("The dialogue has no room left for a search.", "Begin a new one.")


def asks_tower(engine: Engine, settings: GenerationSettings) -> Tower | None:
    """What finds the pictures of replies where the bridge has no `[RET]`, if the settings want any; None where there is
    no index, or no text tower.

    Raises:
        ConfigError: the index keeps no features of this encoder.
    """
    if engine.ways != ("text-tower",) or engine.index is None or settings.ret_mode == "off":
        return None
    return engine.tower if settings.max_images > 0 else None


def wanted_words(message: Sequence[Segment], settings: GenerationSettings) -> str:
    """What a text tower is to look for after a message: what the message asks to see; where every reply must have a
    picture, all of its words; "" for nothing."""
    text = " ".join(part for part in message if isinstance(part, str)).strip()
    return requested(text) or (text if settings.ret_mode == "always" else "")
