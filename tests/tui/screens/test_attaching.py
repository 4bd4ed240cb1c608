"""The file browser, the clipboard, and the history of prompts on disk."""

from __future__ import annotations

import json
import os
import stat
import sys
from pathlib import Path

import pytest

from fromage_lite.errors import ImageError
from tests.tui.driver import Driver, chatting
from tests.tui.fake_agent import FakeAgent, Gate, image_paths, loader, picture_bytes
from tui.input.clipboard import MOST_KEPT, clipboard_pictures
from tui.input.prompt_history import MOST_PROMPTS, PromptHistory, read_prompts
from tui.pictures.image_mode import ImageMode
from tui.screens.browser import FileBrowser
from tui.sessions.archive import Archive
from tui.widgets.composer import Chip
from tui.widgets.picture import PictureCard


@pytest.fixture
def album(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory: a folder with two pictures, two more, a text, something hidden."""
    for name in ("cats/tabby.png", "cats/tom.jpg", "rex.png", "zoo.png", ".secret.png", "broken.png"):
        path = tmp_path / "album" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"no picture" if "broken" in name else picture_bytes())
    (tmp_path / "album" / "notes.txt").write_text("x")
    monkeypatch.chdir(tmp_path / "album")
    return tmp_path / "album"


def browser(chat: Driver) -> FileBrowser:
    assert isinstance(chat.app.screen, FileBrowser)
    return chat.app.screen


def shown(chat: Driver) -> list[str]:
    tree = browser(chat).tree_widget
    return [str(tree.get_node_at_line(line).label) for line in range(1, tree.last_line + 1)]


async def open_browser(chat: Driver, key: bool = True) -> None:
    if key:
        await chat.pilot.press("ctrl+o")
    else:
        await chat.type("/image")
    await chat.until(lambda: isinstance(chat.app.screen, FileBrowser) and shown(chat))


async def test_browsing_shows_folders_and_pictures_and_takes_one_by_keyboard(album: Path, tmp_path: Path) -> None:
    agent = FakeAgent()
    async with chatting(agent, state=tmp_path / "state") as chat:
        await open_browser(chat)
        assert shown(chat) == ["cats", "broken.png", "rex.png", "zoo.png"]
        await chat.pilot.press("down", "enter")
        await chat.until(lambda: "tabby.png" in shown(chat))
        await chat.pilot.press("down")
        await chat.until(lambda: "64 × 48" in chat.text and "▀▀▀" in chat.text)
        await chat.pilot.press("enter")
        await chat.until(lambda: chat.screen.query(Chip))
        assert chat.app.screen is chat.screen and chat.screen.composer.prompt.has_focus
        await chat.say("what is it?")
        assert image_paths(agent.messages[0]) == [str(album / "cats" / "tabby.png")]
        await chat.app.workers.wait_for_complete()
    async with chatting(state=tmp_path / "state") as chat:  # the next run begins in the same folder
        await open_browser(chat, key=False)
        assert shown(chat) == ["tabby.png", "tom.jpg"]


async def test_several_are_marked_and_letters_find_names(album: Path) -> None:
    async with chatting() as chat:
        await open_browser(chat)
        await chat.pilot.press("r", "space", "z", "enter")
        await chat.until(lambda: len(chat.screen.query(Chip)) == 2)
        assert [chip.picture.caption for chip in chat.screen.query(Chip)] == ["rex.png", "zoo.png"]


async def test_escape_changes_nothing(album: Path) -> None:
    async with chatting() as chat:
        chat.screen.composer.prompt.fill("words")
        await open_browser(chat)
        await chat.pilot.press("down", "space", "escape")
        await chat.until(lambda: chat.app.screen is chat.screen)
        assert chat.typed == "words" and not chat.screen.query(Chip)


async def test_up_hidden_files_and_a_picture_that_is_none(album: Path) -> None:
    async with chatting() as chat:
        await open_browser(chat)
        await chat.pilot.press("b")
        await chat.until(lambda: "✗" in chat.text)
        await chat.pilot.press("full_stop")
        await chat.until(lambda: ".secret.png" in shown(chat))
        await chat.pilot.press("backspace")
        await chat.until(lambda: "album" in shown(chat))
        assert browser(chat).folder == album.parent


async def test_names_reach_the_screen_without_control_characters(album: Path) -> None:
    (album / "evil\x1b[2J.png").write_bytes(picture_bytes())
    async with chatting() as chat:
        await open_browser(chat)
        assert "evil.png" in shown(chat) and "\x1b" not in chat.text


@pytest.mark.parametrize("size", [(40, 20), (80, 24), (120, 40)])
async def test_the_browser_fits(album: Path, size: tuple[int, int]) -> None:
    async with chatting(size=size, mode=ImageMode.HALFBLOCK) as chat:
        await open_browser(chat)
        await chat.pilot.press("r")
        await chat.until(lambda: "64 × 48" in chat.text)
        preview = chat.app.screen.query_one(".preview-picture").region
        assert preview.right <= size[0] and preview.bottom <= size[1]
        assert len(shown(chat)) == 4 and "rex.png" in chat.text


# The clipboard ----------------------------------------------------------------------------------------------------


@pytest.fixture
def desktop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that is all of PATH, and an X11 desktop."""
    if not sys.platform.startswith("linux"):
        pytest.skip("other systems are asked through Pillow")
    tools = tmp_path / "tools"
    tools.mkdir()
    monkeypatch.setenv("PATH", str(tools))
    monkeypatch.setenv("DISPLAY", ":0")
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    return tools


def clipboard_holds(tools: Path, kind: str, data: bytes, tool: str = "xclip") -> None:
    """Puts a script in the place of the clipboard's tool."""
    (tools / "types").write_text(f"TARGETS\n{kind}\n")
    (tools / "data").write_bytes(data)
    script = tools / tool
    asks_types = "*TARGETS*|*list-types*"
    script.write_text(
        f'#!/bin/sh\ncase "$*" in {asks_types}) /bin/cat {tools}/types;; *) /bin/cat {tools}/data;; esac\n'
    )
    script.chmod(0o755)


@pytest.mark.parametrize("tool", ["xclip", "wl-paste"])
def test_a_picture_in_the_clipboard_becomes_a_file(
    desktop: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tool: str
) -> None:
    if tool == "wl-paste":
        monkeypatch.setenv("WAYLAND_DISPLAY", "wayland-0")
    clipboard_holds(desktop, "image/png", picture_bytes("green"), tool)
    (first,) = clipboard_pictures(tmp_path / "cache")
    assert first.read_bytes() == picture_bytes("green") and first.suffix == ".png"
    assert stat.S_IMODE(first.stat().st_mode) == 0o600
    assert clipboard_pictures(tmp_path / "cache") == [first]
    clipboard_holds(desktop, "image/png", picture_bytes("blue"), tool)
    assert clipboard_pictures(tmp_path / "cache") != [first] and first.exists()


def test_a_copied_file_is_taken_as_it_is(desktop: Path, tmp_path: Path, dog: Path) -> None:
    clipboard_holds(desktop, "text/uri-list", f"{dog.as_uri()}\r\n".encode())
    assert clipboard_pictures(tmp_path / "cache") == [dog]


def test_pasted_pictures_do_not_pile_up(desktop: Path, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    cache.mkdir()
    for number in range(MOST_KEPT + 20):
        old = cache / f"pasted-{number:04}.png"
        old.write_bytes(b"x")
        os.utime(old, (number, number))
    clipboard_holds(desktop, "image/png", picture_bytes())
    (new,) = clipboard_pictures(cache)
    assert new.exists() and len(list(cache.iterdir())) == MOST_KEPT
    assert not (cache / "pasted-0000.png").exists()


@pytest.mark.parametrize(
    ("kind", "data", "words"),
    [
        ("text/plain", b"hello", "no picture in the clipboard"),
        ("image/png", b"broken", "not a picture"),
        ("image/png", b"", "empty"),
        ("text/uri-list", b"file:///nowhere/x.png", "no picture in the clipboard"),
    ],
)
def test_a_clipboard_without_a_picture_is_told(
    desktop: Path, tmp_path: Path, kind: str, data: bytes, words: str
) -> None:
    clipboard_holds(desktop, kind, data)
    with pytest.raises(ImageError, match=words):
        clipboard_pictures(tmp_path / "cache")


def test_no_tool_and_no_desktop_are_told_apart(desktop: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ImageError, match="neither wl-paste nor xclip"):
        clipboard_pictures(tmp_path)
    monkeypatch.delenv("DISPLAY")
    with pytest.raises(ImageError, match="no clipboard here"):
        clipboard_pictures(tmp_path)


async def test_paste_makes_a_chip_and_ctrl_v_falls_back_to_text(cat: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    content: list[Path] = [cat]

    def fake(folder: Path) -> list[Path]:
        if not content:
            raise ImageError("There is no picture in the clipboard.", "Copy one.")
        return content

    monkeypatch.setattr("tui.screens.attaching.clipboard_pictures", fake)
    async with chatting() as chat:
        await chat.type("/paste")
        await chat.until(lambda: len(chat.screen.query(Chip)) == 1)
        await chat.pilot.press("ctrl+v")
        await chat.until(lambda: len(chat.screen.query(Chip)) == 2)
        content.clear()
        await chat.type("/paste")
        await chat.until(lambda: chat.notes)
        assert "no picture in the clipboard" in chat.notes[0] and "Copy one." in chat.notes[0]
        hints: list[str] = []
        monkeypatch.setattr(chat.screen, "hint", hints.append)
        await chat.pilot.press("ctrl+v")
        await chat.until(lambda: hints == ["There is no picture in the clipboard."])
        chat.app.copy_to_clipboard("copied words")
        await chat.pilot.press("ctrl+v")
        await chat.until(lambda: chat.typed == "copied words")


# Earlier prompts --------------------------------------------------------------------------------------------------


async def test_prompts_are_there_in_the_next_run(tmp_path: Path) -> None:
    for words in ("first", "two\nlines 猫 😀"):
        async with chatting(state=tmp_path) as chat:
            await chat.say(words)
            await chat.app.workers.wait_for_complete()
    async with chatting(state=tmp_path) as chat:
        await chat.pilot.press("up")
        assert chat.typed == "two\nlines 猫 😀"
        await chat.pilot.press("up", "up")
        assert chat.typed == "first"


async def test_no_save_knows_earlier_prompts_and_keeps_no_new_ones(tmp_path: Path) -> None:
    PromptHistory(tmp_path / "prompts.jsonl").keep("earlier")
    async with chatting(state=tmp_path, archive=Archive(tmp_path / "sessions.db", save=False)) as chat:
        await chat.say("a secret")
        await chat.app.workers.wait_for_complete()
        await chat.pilot.press("up", "up")
        assert chat.typed == "earlier"
    assert read_prompts(tmp_path / "prompts.jsonl") == ["earlier"]


def test_the_file_is_bounded_private_and_joined_by_several_runs(tmp_path: Path) -> None:
    path = tmp_path / "state" / "prompts.jsonl"
    one, other = PromptHistory(path), PromptHistory(path)
    one.keep("from one")
    other.keep("from the other")
    assert read_prompts(path) == ["from one", "from the other"]
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    path.write_text("".join(json.dumps(f"old {number}") + "\n" for number in range(MOST_PROMPTS + 50)))
    one.keep("new")
    prompts = read_prompts(path)
    assert len(prompts) == MOST_PROMPTS and prompts[-1] == "new" and prompts[0] == "old 51"
    one.keep("x" * 1_000_000)
    assert read_prompts(path) == prompts


def test_a_damaged_file_loses_only_what_is_damaged(tmp_path: Path) -> None:
    path = tmp_path / "prompts.jsonl"
    path.write_bytes(b'"good"\n{"a": 1}\n\xff\xfe\n"half\n""\n' + b"[" * 100_000 + b'\n"also good"\n')
    assert read_prompts(path) == ["good", "also good"]
    assert read_prompts(tmp_path / "none") == []


def test_a_history_that_cannot_be_written_does_no_harm(tmp_path: Path) -> None:
    (tmp_path / "state").write_text("a file, not a folder")
    history = PromptHistory(tmp_path / "state" / "prompts.jsonl")
    assert history.add("words")
    history.keep("words")
    assert history.move(-1, "") == "words"


async def test_several_pictures_of_a_message_stand_side_by_side(tmp_path: Path) -> None:
    for number in range(30):
        (tmp_path / f"{number}.png").write_bytes(picture_bytes())
    async with chatting(size=(100, 40)) as chat:
        await chat.type(f"/image {' '.join(str(tmp_path / f'{number}.png') for number in range(30))}")
        await chat.until(lambda: len(chat.screen.composer.pictures) == 30)
        await chat.say("what are these?")
        message = chat.screen.turns[0].message
        await chat.until(lambda: message.region.height)
        cards = [card.region for card in message.query(PictureCard)]
        assert len(cards) == 30
        rows = sorted({card.y for card in cards})
        assert len(rows) <= 8, "at least four in a row of 100 columns"
        assert message.region.height <= 8 * 12
        for upper, lower in zip(rows, rows[1:], strict=False):
            tallest = max(card.height for card in cards if card.y == upper)
            assert lower >= upper + tallest
        assert "30. 29.png" in "\n".join(str(caption.render()) for caption in message.query(".caption"))


async def test_one_picture_of_a_message_is_as_large_as_before_and_pictures_between_words_stay_there(cat, dog) -> None:
    async with chatting(size=(100, 40)) as chat:
        await chat.say(f"{cat} what is it?")
        await chat.until(lambda: chat.cards[0].query_one(".box").region.width > 30)
        await chat.say(f"is <image:{cat}> like <image:{dog}> to you?")
        parts = [type(child).__name__ for child in chat.screen.turns[1].message.children]
        assert parts == ["Static", "PictureGrid", "Static", "PictureGrid", "Static"]
        captions = [str(card.query_one(".caption").render()) for card in chat.screen.turns[1].query(PictureCard)]
        assert captions == ["1. cat.png", "2. my dog.png"]


@pytest.mark.parametrize(
    ("typed", "told"),
    [
        ("{folder}", "is a folder, not a picture"),
        ("{folder}/", "is a folder, not a picture"),
        ("/tmp", "/tmp is a folder, not a picture"),
        ("{folder}/nosuch", "nosuch"),
        ("nosuch.jfif", "nosuch.jfif"),
        ("{folder}/nosuch.png", "nosuch.png"),
        ("/find nosuch.png", "nosuch.png"),
        ("/find {folder}", "is a folder, not a picture"),
    ],
)
async def test_a_path_that_is_no_picture_is_named_not_chatted_about(album: Path, typed: str, told: str) -> None:
    agent = FakeAgent()
    async with chatting(agent) as chat:
        await chat.type(typed.format(folder=album / "cats"))
        await chat.until(lambda: any(told in note for note in chat.notes))
        assert not agent.messages and not agent.searches


@pytest.mark.parametrize("typed", ["cats", "and/or", "~ is a tilde", "./run it", "what is a .png file?", "..."])
async def test_words_stay_words(album: Path, typed: str) -> None:
    agent = FakeAgent()
    async with chatting(agent) as chat:
        await chat.say(typed)
        assert agent.messages == [(typed,)]


async def test_a_picture_of_a_rarer_kind_is_one(album: Path) -> None:
    (album / "photo.jfif").write_bytes(picture_bytes())
    agent = FakeAgent()
    async with chatting(agent) as chat:
        await chat.type("photo.jfif")
        await chat.until(lambda: chat.screen.composer.pictures)
        await chat.pilot.press("ctrl+u")
        await chat.type("/find photo.jfif")
        await chat.until(lambda: agent.searches)
        assert [Path(path).name for path in image_paths(agent.searches[0])] == ["photo.jfif"]


async def test_a_folder_given_to_image_opens_there(album: Path) -> None:
    async with chatting() as chat:
        await chat.type(f"/image {album / 'cats'}")
        await chat.until(lambda: isinstance(chat.app.screen, FileBrowser))
        await chat.until(lambda: "tabby.png" in chat.text and "rex.png" not in chat.text)


async def test_numbers_in_names_are_in_their_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("10.png", "9.png", "img2b.png", "img10a.png", "IMG1.png", "a.png"):
        (tmp_path / name).write_bytes(picture_bytes())
    async with chatting() as chat:
        await chat.pilot.press("ctrl+o")
        await chat.until(lambda: "img10a.png" in chat.text)
        order = sorted(("9.png", "10.png", "a.png", "IMG1.png", "img2b.png", "img10a.png"), key=chat.text.index)
        assert order == ["9.png", "10.png", "a.png", "IMG1.png", "img2b.png", "img10a.png"]


async def test_a_chip_keeps_its_mark_however_long_the_name_is(tmp_path: Path) -> None:
    for name in ("a-name-that-goes-on-and-on-and-on-for-ever.png", "猫" * 40 + ".png"):
        (tmp_path / name).write_bytes(picture_bytes())
        async with chatting() as chat:
            await chat.type(f"/image {tmp_path / name}")
            await chat.until(lambda: chat.screen.composer.pictures)
            await chat.until(lambda: "[Image #1]" in chat.text)
            (line,) = (line for line in chat.text.splitlines() if "[Image #1]" in line)
            assert ".png ✕" in line and "…" in line


async def test_the_composer_says_how_many_more_pictures_fit(cat: Path, dog: Path) -> None:
    agent = FakeAgent()
    agent.room = 3
    async with chatting(agent, size=(40, 24)) as chat:
        assert "fit" not in chat.text
        await chat.type(f"/image {cat}")
        await chat.until(lambda: "2 more pictures fit" in chat.text)
        chat.screen.composer.prompt.fill(f"is it like <image:{dog}>?")
        await chat.until(lambda: "1 more picture fits" in chat.text)
        await chat.pilot.press("ctrl+u")
        await chat.until(lambda: "fit" not in chat.text)


async def test_attaching_one_too_many_says_so_at_once(cat: Path, dog: Path) -> None:
    agent = FakeAgent()
    agent.room = 1
    async with chatting(agent) as chat:
        await chat.type(f"/image {cat}")
        await chat.until(lambda: "no more pictures fit" in chat.text)
        await chat.type(f"/image {dog}")
        await chat.until(lambda: "1 picture too many" in chat.text and "doesn't fit any more" in chat.text)
        await chat.type(f"/image {dog}")
        await chat.until(lambda: "2 pictures too many" in chat.text)
        await chat.pilot.press("home", "backspace", "backspace")
        await chat.until(lambda: "no more pictures fit" in chat.text)


async def test_pictures_are_counted_as_soon_as_the_model_is_there(cat: Path) -> None:
    agent, gate = FakeAgent(["one"]), Gate()
    agent.room = 4
    async with chatting(load=loader(agent, gate), wait=False) as chat:
        await chat.type(f"/image {cat}")
        await chat.until(lambda: chat.screen.query(Chip))
        assert "fit" not in chat.text
        gate.open()
        await chat.until(lambda: "3 more pictures fit" in chat.text)
