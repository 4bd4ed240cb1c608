"""An agent here, one in another process, and the tests' own: whatever the screen asks of one, all of them have.

That their types fit is for the type checker: `tui.app.run`, `tui.serving.visitor.make_app` and `fitting` below hand
them to code that is typed with the protocols.
"""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING

import pytest

from fromage_lite.chat.agent import Agent
from fromage_lite.chat.dialogue import Dialogue
from fromage_lite.chat.protocol import ChatAgent, ChatDialogue
from tests.tui.fake_agent import FakeAgent, FakeDialogue
from tui.serving.remote import RemoteAgent, RemoteDialogue

if TYPE_CHECKING:

    def fitting(agents: tuple[Agent, RemoteAgent], dialogues: tuple[Dialogue, RemoteDialogue]) -> None:
        typed: tuple[ChatAgent, ChatAgent] = agents
        also: tuple[ChatDialogue, ChatDialogue] = dialogues
        del typed, also


def public(protocol: type) -> set[str]:
    names = {*vars(protocol), *protocol.__annotations__}
    return {name for name in names if not name.startswith("_")}


AGENT = {
    "model_name",
    "device",
    "index_size",
    "index_path",
    "use_index",
    "dialogue",
    "read_as",
    "search",
    "look_up",
    "row",
    "thumbnail",
    "is_at_hand",
    "tokens_near",
    "patch_grid",
}
DIALOGUE = {
    "settings",
    "turns",
    "excluded",
    "reply",
    "regenerate",
    "undo",
    "reset",
    "exclude",
    "include",
    "look_up",
    "pictures_left",
}


def test_the_protocols_are_whole():
    assert public(ChatAgent) == AGENT
    assert public(ChatDialogue) == DIALOGUE


def attributes(cls: type) -> set[str]:
    """Names on the class, and those that its constructor assigns."""
    assigned = set(inspect.getsource(cls.__init__).replace("=", " ").replace(",", " ").split())
    return {*dir(cls), *(name.removeprefix("self.").rstrip(":") for name in assigned if name.startswith("self."))}


@pytest.mark.parametrize(
    ("cls", "protocol"),
    [(cls, ChatAgent) for cls in (Agent, RemoteAgent, FakeAgent)]
    + [(cls, ChatDialogue) for cls in (Dialogue, RemoteDialogue, FakeDialogue)],
    ids=lambda cls: cls.__name__,
)
def test_every_kind_has_all_of_it(cls, protocol):
    assert public(protocol) <= attributes(cls)
    for name in public(protocol):
        asked = getattr(protocol, name, None)
        if inspect.isfunction(asked):
            wanted, given = (list(inspect.signature(f).parameters.values()) for f in (asked, getattr(cls, name)))
            assert [p.name for p in given] == [p.name for p in wanted], name
            # What may be left out of a call by the protocol may be left out of one to the class.
            assert not [p.name for p, w in zip(given, wanted, strict=True) if w.default != p.empty == p.default], name


def test_nothing_public_is_in_one_of_the_two_alone_that_the_other_process_would_need():
    beyond = {name for name in attributes(RemoteAgent) if not name.startswith("_")} - AGENT
    assert beyond == {"keep"}, "what came along with a reply, for `RemoteDialogue`"
    beyond = {name for name in attributes(RemoteDialogue) if not name.startswith("_")} - DIALOGUE
    assert beyond == {"agent"}
