"""What can be completed, and with what."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.tui.driver import Driver, chatting
from tests.tui.fake_agent import FakeAgent, image_paths, picture_bytes
from tui.input.completion import Query, complete_command, complete_path, complete_picture, find_query
from tui.pictures.scan import scan
from tui.screens.chat import ChatScreen
from tui.widgets.completions import Completions
from tui.widgets.composer import Chip

COMMANDS = ChatScreen.COMMAND_TABLE


@pytest.fixture
def album(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory: two folders with pictures, a text, something hidden."""
    for name in ("cats/tabby.png", "cats/old/tom.jpg", "dogs/rex.png", "cover.png", ".secret/x.png", "my dog.png"):
        path = tmp_path / "album" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(picture_bytes())
    (tmp_path / "album" / "notes.txt").write_text("x")
    monkeypatch.chdir(tmp_path / "album")
    return tmp_path / "album"


@pytest.mark.parametrize(
    ("line", "row", "expected"),
    [
        ("/", 0, Query("command", 0, "/")),
        ("/re", 0, Query("command", 0, "/re")),
        ("/re", 1, None),
        ("/image ", 0, Query("path", 7, "", "pictures")),
        ("/attach a b", 0, Query("path", 8, "a b", "pictures")),
        ("/model x", 0, Query("path", 7, "x", "folders")),
        ("/find x", 0, None),
        ("what is <image:ph", 3, Query("path", 15, "ph", "pictures", ">")),
        ("what is <image:ph> an", 0, None),
        ("is @ca", 2, Query("picture", 3, "ca")),
        ("@", 0, Query("picture", 0, "")),
        ("me@home.org", 0, None),
        ("hello", 0, None),
        ("/home/me", 0, None),
    ],
)
def test_what_can_be_completed(line: str, row: int, expected: Query | None) -> None:
    assert find_query(line, COMMANDS, row) == expected


def test_commands_by_their_beginning_then_by_alias_then_by_a_part() -> None:
    assert [choice.label for choice in complete_command("/un", COMMANDS)] == ["/undo"]
    assert [choice.text for choice in complete_command("/ret", COMMANDS)] == ["/regenerate"]
    labels = [choice.label.split()[0] for choice in complete_command("/se", COMMANDS)]
    assert labels.index("/settings") < labels.index("/find")  # an alias of it is /search
    assert complete_command("/zzz", COMMANDS) == []
    (image,) = complete_command("/imag", COMMANDS)
    assert image.text == "/image " and image.detail


def names(text: str, wants: str = "pictures", closing: str = "") -> list[str]:
    return [choice.text for choice in complete_path(Query("path", 0, text, wants, closing))]


def test_paths_are_folders_and_pictures(album: Path) -> None:
    assert names("") == ["cats/", "dogs/", "cover.png", "my dog.png"]
    assert names("c") == ["cats/", "cover.png"]
    assert names("CO") == ["cover.png"]
    assert names("cats/") == ["cats/old/", "cats/tabby.png"]
    assert names(f"{album}/do") == [f"{album}/dogs/"]
    assert names("og") == ["dogs/", "my dog.png"]  # in the middle, if nowhere at the beginning
    assert names(".s") == [".secret/"]
    assert names("", "folders") == ["cats/", "dogs/"]
    assert names("", "files")[-1] == "notes.txt"
    assert names("my", closing=">") == ["my dog.png>"]
    assert names("'my") == ["'my dog.png'"] and names(r"my\ d") == ["my dog.png"]
    assert names("nowhere/x") == names("cover.png/") == names("\0") == []


def test_home_is_completed(album: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(album))
    assert names("~") == ["~/"]
    assert names("~/do") == ["~/dogs/"]


def test_names_that_could_harm_the_screen_are_not_offered(album: Path) -> None:
    (album / "evil\x1b[2J.png").write_bytes(b"")
    (album / "a<b>.png").write_bytes(b"")
    assert "evil\x1b[2J.png" not in names("")
    assert "a<b>.png" in names("") and names("a<", closing=">") == []


def test_pictures_are_found_by_letters_in_their_order() -> None:
    paths = ["cats/tabby.png", "dogs/rex.png", "old/tabs.png", "x/cat/b.png"]
    assert [choice.text for choice in complete_picture("tab", paths)] == ["old/tabs.png", "cats/tabby.png"]
    assert [choice.text for choice in complete_picture("cat", paths)] == ["cats/tabby.png", "x/cat/b.png"]
    assert [choice.text for choice in complete_picture("DRX", paths)] == ["dogs/rex.png"]
    assert complete_picture("zq", paths) == []
    assert len(complete_picture("", paths)) == 4


def test_a_scan_finds_pictures_nearest_first_and_skips_what_is_hidden(album: Path) -> None:
    (album / "node_modules").mkdir()
    (album / "node_modules" / "logo.png").write_bytes(b"")
    (album / "loop").symlink_to(album)
    found = scan(album)
    assert found.is_complete
    assert sorted(found.paths) == ["cats/old/tom.jpg", "cats/tabby.png", "cover.png", "dogs/rex.png", "my dog.png"]
    assert set(found.paths[:2]) == {"cover.png", "my dog.png"} and found.paths[-1] == "cats/old/tom.jpg"


def test_a_scan_ends_at_each_of_its_limits(album: Path) -> None:
    for limits in ({"most_entries": 2}, {"most_pictures": 1}, {"most_seconds": -1.0}):
        found = scan(album, **limits)
        assert not found.is_complete and len(found.paths) <= 2
    assert scan(album / "nowhere").paths == ()


# On the screen ----------------------------------------------------------------------------------------------------


def popup(chat: Driver) -> Completions:
    return chat.screen.query_one(Completions)


async def test_a_slash_lists_the_commands_and_enter_runs_the_chosen_one() -> None:
    async with chatting(FakeAgent([" one"])) as chat:
        await chat.say("hello")
        await chat.pilot.press("/")
        assert "❯ /image [PATH]" in chat.text and "Attach a picture" in chat.text
        await chat.pilot.press("u", "n")
        assert "❯ /undo" in chat.text and "/image" not in chat.text
        await chat.pilot.press("enter")
        await chat.until(lambda: not chat.screen.turns)
        assert chat.typed == "" and not popup(chat).is_open


async def test_arrows_choose_and_a_command_with_an_argument_waits_for_it() -> None:
    async with chatting() as chat:
        await chat.pilot.press("/", "up", "up", "down", "down")
        assert popup(chat).place == 0
        await chat.pilot.press("f", "i", "enter")
        assert chat.typed == "/find " and not popup(chat).is_open


async def test_escape_closes_the_list_and_history_is_not_disturbed_by_it() -> None:
    async with chatting(FakeAgent([" a"], [" b"])) as chat:
        await chat.say("first")
        await chat.type("/set temperature 0.5")
        await chat.pilot.press("/", "s", "escape")
        assert not popup(chat).is_open and chat.typed == "/s"
        chat.screen.composer.prompt.fill("")
        await chat.pilot.press("up")
        assert chat.typed == "/set temperature 0.5"
        await chat.pilot.press("up")
        assert chat.typed == "first"


async def test_tab_completes_a_path_step_by_step(album: Path) -> None:
    agent = FakeAgent()
    async with chatting(agent) as chat:
        chat.screen.composer.prompt.fill("/image d")
        await chat.pilot.press("tab")  # perhaps before the folder was read
        await chat.until(lambda: chat.typed == "/image dogs/")
        await chat.until(lambda: popup(chat).is_open)
        await chat.pilot.press("tab")
        await chat.until(lambda: chat.typed == "/image dogs/rex.png")
        await chat.pilot.press("enter")
        await chat.until(lambda: chat.screen.query(Chip))
        assert chat.typed == ""


async def test_tab_goes_as_far_as_all_choices_agree_then_offers_one_after_another(album: Path) -> None:
    for name in ("shot-1.png", "shot-2.png"):
        (album / name).write_bytes(picture_bytes())
    async with chatting() as chat:
        chat.screen.composer.prompt.fill("what is <image:sh")
        await chat.until(lambda: len(popup(chat).choices) == 2)
        await chat.pilot.press("tab")
        assert chat.typed == "what is <image:shot-"
        await chat.until(lambda: len(popup(chat).choices) == 2)
        await chat.pilot.press("tab", "down", "tab")
        assert chat.typed == "what is <image:shot-2.png>"


async def test_an_at_sign_finds_a_picture_below_the_working_directory(album: Path) -> None:
    agent = FakeAgent()
    async with chatting(agent) as chat:
        await chat.pilot.press("@", "t", "a", "b", "b")
        await chat.until(lambda: popup(chat).is_open)
        assert "tabby.png" in chat.text and "cats" in chat.text
        await chat.pilot.press("enter")
        await chat.until(lambda: chat.screen.query(Chip))
        assert chat.typed == "" and agent.messages == []
        chat.screen.composer.prompt.fill("is it like @rex")
        await chat.until(lambda: popup(chat).is_open)
        await chat.pilot.press("tab")
        assert chat.typed == "is it like <image:dogs/rex.png> "
        await chat.say(chat.typed + "or not?")
        assert image_paths(agent.messages[0]) == ["cats/tabby.png", "dogs/rex.png"]


async def test_an_at_sign_that_is_no_picture_is_sent_as_it_is(album: Path) -> None:
    agent = FakeAgent()
    async with chatting(agent) as chat:
        await chat.say("see you @noon-tomorrow")
        assert agent.messages == [("see you @noon-tomorrow",)]


async def test_the_list_fits_a_narrow_screen() -> None:
    async with chatting(size=(40, 20)) as chat:
        await chat.pilot.press("/")
        assert popup(chat).size.height <= 5
        assert all(len(line) <= 40 for line in chat.text.splitlines())
        assert chat.screen.composer.prompt.region.bottom < 20


async def test_a_click_takes_a_choice() -> None:
    async with chatting() as chat:
        await chat.pilot.press("/", "f")
        await chat.pilot.click(Completions, offset=(4, 0))
        assert chat.typed == "/find " and chat.screen.composer.prompt.has_focus
