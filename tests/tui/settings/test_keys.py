"""Every key can be sent by every terminal; the config file can change them."""

from __future__ import annotations

import string

import pytest
from textual.actions import parse

from tests.tui.driver import chatting
from tests.tui.fake_agent import FakeAgent, Gate
from tui.input.commands import actions_of
from tui.screens.chat import FEATURES, ChatScreen
from tui.screens.help import HelpScreen
from tui.screens.settings import SettingsPanel
from tui.settings.keys import check_keys, clashes, key_names, own_bindings, owners
from tui.settings.preferences import Preferences

# What a VT220 and its descendants send, each as bytes of its own. Ctrl+I, Ctrl+M, Ctrl+H and Ctrl+[ are Tab, Enter,
# Backspace and Escape there; Ctrl+B and Ctrl+A are the prefixes of tmux and screen; Ctrl+Z suspends,
# here too.
LEGACY = {
    "ctrl+z",
    "ctrl+underscore",
    *(f"ctrl+{letter}" for letter in set(string.ascii_lowercase) - set("imhabz")),
    *(f"f{number}" for number in range(1, 13)),
    *"up down left right home end pageup pagedown insert delete".split(),
    *"enter escape tab shift+tab backspace space tilde full_stop question_mark slash".split(),
    *"minus plus comma left_square_bracket right_square_bracket".split(),
    *"ctrl+home ctrl+end ctrl+up ctrl+down ctrl+left ctrl+right".split(),  # xterm and all that follow it
    *string.ascii_letters,
    *string.digits,
}
BINDINGS = [
    pytest.param(owner, binding, id=f"{owner.__name__}-{binding.key}")
    for owner in owners()
    for binding in own_bindings(owner)
]


@pytest.mark.parametrize(("owner", "binding"), BINDINGS)
def test_every_binding_has_a_key_that_every_terminal_can_send(owner, binding) -> None:
    assert {key.strip() for key in binding.key.split(",")} & LEGACY, f"{owner.__name__}: {binding.key}"


def test_every_binding_is_documented_and_ids_are_unique() -> None:
    ids = {(binding.description, binding.id) for owner in owners() for binding in own_bindings(owner) if binding.id}
    assert len({name for _, name in ids}) == len(ids), "one id for the same thing on several screens, not for several"
    assert all(binding.description for owner in owners() for binding in own_bindings(owner))
    assert {"send", "stop", "settings", "attach"} <= {name for _, name in ids}


def test_no_class_binds_a_key_twice() -> None:
    for owner in owners():
        keys = [key.strip() for binding in own_bindings(owner) for key in binding.key.split(",")]
        assert len(keys) == len(set(keys)), owner


def test_every_action_exists() -> None:
    """A binding whose action nobody has does nothing, and says nothing."""
    keys = {action.key.id for feature in FEATURES for action in actions_of(feature) if action.key}
    for binding in own_bindings(ChatScreen):
        _, name, arguments = parse(binding.action)
        assert name == "run" and set(arguments) <= keys and arguments, binding.action


def test_the_keys_of_the_chat_are_those_that_config_files_name_in_the_order_of_the_help() -> None:
    assert [(binding.id, binding.key) for binding in own_bindings(ChatScreen)] == [
        ("stop", "escape"),
        ("regenerate", "ctrl+r"),
        ("undo", "ctrl+t"),
        ("edit", "f3"),
        ("copy", "ctrl+y"),
        ("reset", "ctrl+n"),
        ("sessions", "ctrl+l"),
        ("attach", "ctrl+o"),
        ("settings", "f2"),
        ("stats", "f4"),
        ("help", "f1"),
        ("sample", "f5"),
        ("index-own", "f8"),
        ("page-up", "pageup"),
        ("page-down", "pagedown"),
        ("top", "ctrl+home"),
        ("bottom", "ctrl+end"),
    ]


def test_key_names() -> None:
    assert key_names("ctrl+j,shift+enter,alt+enter") == "Ctrl+J or Shift+Enter"
    assert key_names("pageup") == "PgUp" and key_names("full_stop") == "."


async def test_keys_can_be_changed_in_screens_and_in_the_composer() -> None:
    preferences = Preferences(keys={"settings": "f4", "send": "ctrl+x", "newline": "enter"})
    agent = FakeAgent()
    async with chatting(agent, preferences=preferences) as chat:
        await chat.pilot.press("f2")
        assert not isinstance(chat.app.screen, SettingsPanel)
        await chat.pilot.press("f4")
        await chat.until(lambda: isinstance(chat.app.screen, SettingsPanel))
        await chat.pilot.press("escape")
        await chat.until(lambda: chat.app.screen is chat.screen)
        await chat.pilot.press("a", "enter", "b")
        assert chat.typed == "a\nb"
        await chat.pilot.press("ctrl+x")
        await chat.until(lambda: agent.messages == [("a\nb",)])
        await chat.pilot.press("f1")
        await chat.until(lambda: isinstance(chat.app.screen, HelpScreen))
        assert "Ctrl+X" in chat.text


async def test_a_changed_stop_key_stops() -> None:
    agent = FakeAgent([" one", Gate(), " two"])
    async with chatting(agent, preferences=Preferences(keys={"stop": "ctrl+g"})) as chat:
        await chat.type("hi")
        await chat.until(lambda: "one" in chat.text)
        await chat.pilot.press("ctrl+g")
        await chat.ready()
        assert "stopped" in chat.text


def test_unknown_and_clashing_keys_are_told_and_left_aside() -> None:
    good, problems = check_keys({"settings": "f4", "setings": "f5", "regenerate": "f6", "undo": "f6"})
    assert good == {"settings": "f4", "regenerate": "f6"}
    assert "there is no action 'setings'" in problems[0] and "settings" in problems[0]
    assert "f6" in problems[1] and "'undo'" in problems[1]
    keys = {
        "settings": "ctrl+enter",
        "undo": "f4,question_mark",
        "help": "?",
        "attach": "ctrl+nonsense",
        "send": "cmd+x",
    }
    good, problems = check_keys(keys)
    assert set(good) == {"settings", "undo", "help"} and "no key 'ctrl+nonsense'" in problems[0] and len(problems) == 2
    assert check_keys({}) == ({}, [])


def test_a_key_that_two_actions_have_at_the_same_time_is_told() -> None:
    for keys, told in (
        ({"undo": "f4"}, ("f4", "stats", "undo")),  # on one screen
        ({"settings": "ctrl+v"}, ("ctrl+v", "paste", "settings")),  # the screen's and the composer's
        ({"picture-open": "f1"}, ("f1", "help", "picture-open")),
        ({"undo": "?", "help": "question_mark"}, ("question_mark", "help", "undo")),  # one key by two names
        ({"stats": "ctrl+q"}, ("ctrl+q", "quit", "stats")),  # the app's
        (
            {"stats": "ctrl+k"},
            ("ctrl+k", "delete to line end (not to be changed)", "stats"),
        ),  # Textual's own, where one writes
        ({"viewer-close": "o"}, ("o", "picture-open", "viewer-close")),
    ):
        key, first, second = told
        assert clashes(keys) == [f"{key} is the key of '{first}' and '{second}'; give one of them another."], keys
    # The same key in places that never are on the screen together, or passed on from one action to another.
    for keys in ({}, {"picture-open": "ctrl+v"}, {"undo": "f4", "stats": "ctrl+t"}, {"files-up": "a"}):
        assert clashes(keys) == [], keys


async def test_a_clash_of_keys_is_told_at_the_start() -> None:
    async with chatting(preferences=Preferences(keys={"undo": "f4"})) as chat:
        await chat.until(lambda: any("f4 is the key of 'stats' and 'undo'" in note for note in chat.notes))
