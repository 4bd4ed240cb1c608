"""What the features of the chat have in common."""

from __future__ import annotations

from tui.screens.interface import Chat
from tui.screens.sending import Sending


class Feature:
    """Some of what the chat can do: methods that `command` and `key` mark, and what they need.

    Args:
        chat: the screen.
        sending: the way from a message to its reply, for features that lead to one.
    """

    def __init__(self, chat: Chat, sending: Sending) -> None:
        self.chat, self.sending = chat, sending
