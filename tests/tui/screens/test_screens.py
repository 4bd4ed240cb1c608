"""Help, palette, themes, sizes."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import pytest
from rich.color import Color, ColorSystem
from textual.theme import Theme
from textual.widgets import Static

from fromage_lite.chat.events import ImagesFound
from tests.tui.driver import chatting
from tests.tui.fake_agent import FakeAgent, hit, picture_bytes
from tui.screens.chat import ChatScreen
from tui.screens.help import HelpScreen
from tui.settings.keys import key_names, own_bindings, owners
from tui.themes import DARK, LIGHT, preferred_theme

COMMANDS = ChatScreen.COMMAND_TABLE


async def test_help_lists_every_key_and_command() -> None:
    async with chatting(size=(100, 80)) as chat:
        await chat.pilot.press("f1")
        await chat.until(lambda: isinstance(chat.app.screen, HelpScreen))
        await chat.until(lambda: "Ctrl+J or Shift+Enter" in chat.text and "Send the message" in chat.text)
        rows = {str(line.render()) for line in chat.app.screen.query(Static)}
        for command in COMMANDS:
            assert command.usage in rows and any(row.startswith(command.help) for row in rows)
        for binding in (binding for owner in owners() for binding in own_bindings(owner)):
            assert binding in own_bindings(HelpScreen) or {binding.description, key_names(binding.key)} <= rows
        await chat.pilot.press("escape")
        await chat.until(lambda: chat.app.screen is chat.screen)
        await chat.type("/help")
        await chat.until(lambda: isinstance(chat.app.screen, HelpScreen))


async def test_the_palette_runs_commands() -> None:
    agent = FakeAgent([" one"])
    async with chatting(agent) as chat:
        await chat.say("hello")
        commands = {entry.title: entry.callback for entry in chat.app.get_system_commands(chat.screen)}
        assert {command.usage for command in COMMANDS} <= set(commands)
        await commands["/undo"]()
        assert chat.screen.turns == []
        await commands["/find WORDS"]()
        assert chat.typed == "/find "


async def test_set_shows_and_changes_how_replies_are_made() -> None:
    async with chatting() as chat:
        await chat.type("/set temperature 0.7")
        assert chat.app.conversation.settings.temperature == 0.7
        await chat.type("/set")
        assert "temperature" in chat.text and "0.7" in chat.text
        await chat.type("/set top_p 3")
        assert "top_p must be" in chat.text and chat.app.conversation.settings.top_p == 1.0


async def test_the_theme_switches_between_dark_and_light(monkeypatch: pytest.MonkeyPatch) -> None:
    async with chatting() as chat:
        assert chat.app.theme == DARK.name
        await chat.type("/theme")
        assert chat.app.theme == LIGHT.name
    monkeypatch.setenv("COLORFGBG", "0;15")
    assert preferred_theme() == LIGHT.name


async def test_a_theme_is_chosen_by_its_name() -> None:
    async with chatting(size=(120, 30)) as chat:
        await chat.type("/theme nord")
        assert chat.app.theme == "nord"
        await chat.type("/theme no-such-theme")
        assert chat.app.theme == "nord"
        assert "There is no theme 'no-such-theme'" in chat.notes[-1] and "fromage-light, gruvbox" in chat.notes[-1]
        await chat.pilot.press("ctrl+u", *"/theme dracu")
        await chat.until(lambda: "❯ dracula" in chat.text or "  dracula" in chat.text)
        await chat.pilot.press("tab", "enter")
        await chat.until(lambda: chat.app.theme == "dracula")


@pytest.mark.parametrize("size", [(40, 24), (80, 24), (200, 60)])
async def test_a_conversation_fits_every_size_and_survives_a_resize(size: tuple[int, int], cat) -> None:
    agent = FakeAgent([" Here:", ImagesFound((hit(1),)), ImagesFound((hit(2), hit(3), hit(4)))])
    agent.thumbnails = {1: picture_bytes(size=(8, 8)), 2: picture_bytes(size=(1, 400)), 3: picture_bytes(size=(400, 1))}
    async with chatting(agent, size=size) as chat:
        await chat.say(
            f"{cat} 猫は好きですか 😀 and a rather long question, which has to be wrapped where it is narrow?"
        )
        for columns, rows in (size, (40, 12), (132, 40), size):
            await chat.pilot.resize_terminal(columns, rows)
            await chat.pilot.pause()
            feed = chat.screen.transcript.feed.region
            for box in chat.screen.transcript.query(".box"):
                assert feed.x <= box.region.x and box.region.right <= feed.right
                assert 0 < box.region.height <= max(7, rows)
            assert chat.screen.status.region.bottom == rows
            assert chat.screen.composer.prompt.region.height >= 1


async def test_the_welcome_says_what_the_playground_is_and_offers_a_picture_to_ask_about() -> None:
    agent = FakeAgent()
    async with chatting(agent) as chat:
        words = " ".join(chat.text.translate(dict.fromkeys(map(ord, "▀▄"))).split())
        assert "small world of pictograms: photographs mean nothing to it" in words and "F5" in words
        assert chat.text.count("❯") == 3  # nothing is cut off
        await chat.pilot.press("f5")
        await chat.until(lambda: chat.screen.composer.pictures)
        assert chat.typed == "what is in this picture?"
        await chat.pilot.press("enter")
        await chat.until(lambda: agent.messages)
        picture, words = agent.messages[0]
        assert Path(picture.path).is_file() and words == "what is in this picture?"


async def test_the_welcome_of_another_model_promises_no_small_world() -> None:
    async with chatting(model="facebook/opt-125m") as chat:
        assert "pictograms" not in chat.text and "It sees your pictures" in chat.text


async def test_the_welcome_follows_the_model(tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    async with chatting() as chat:
        assert "pictograms" in chat.text
        chat.app.conversation.load_other = lambda model, progress: FakeAgent()
        await chat.type(f"/model {tmp_path / 'other'}")
        await chat.until(lambda: "pictograms" not in chat.text)
        assert "It sees your pictures" in chat.text and chat.screen.transcript.shows_welcome
        await chat.say("hello")
        await chat.type("/reset")
        await chat.until(lambda: chat.screen.transcript.shows_welcome)
        assert "pictograms" not in chat.text
        await chat.type("/model default")
        await chat.until(lambda: "pictograms" in chat.text)


async def test_welcome_fits_forty_columns() -> None:
    async with chatting(size=(40, 24)) as chat:
        assert "fromage_lite" in chat.text and "/image PATH" in chat.text
        assert all(len(line) <= 40 for line in chat.text.splitlines())


@pytest.mark.parametrize("size", [(40, 30), (60, 30), (80, 40), (100, 40), (120, 50)])
async def test_gaps_between_pictures_are_even_and_names_whole(size: tuple[int, int]) -> None:
    names = ["IMG_20240131_174502_from_the_old_camera_of_grandmother_Hildegard (2).jpeg", "b.png", "a cat by the sea"]
    hits = [hit(n, names[n % 3]) for n in range(8)]
    async with chatting(FakeAgent(hits=hits), size=size) as chat:
        await chat.type("/find cats")
        await chat.until(lambda: len(chat.cards) == 8 and not chat.screen.busy)
        await chat.pilot.pause()
        rows: dict[int, list[int]] = {}
        for card in chat.cards:
            rows.setdefault(card.region.y, []).append(card.region.x)
        steps = {right - left for row in rows.values() for left, right in pairwise(row)}
        assert len(steps) == 1, "every picture is as far from the next one"
        assert {card.region.width for card in chat.cards} == {16}
        for card, name in zip(chat.cards, names * 3, strict=False):
            caption = card.query_one(".caption", Static)
            drawn = "".join(strip.text.strip() for strip in caption.render_lines(caption.region.reset_offset))
            assert name.replace(" ", "") in drawn.replace(" ", "")


@pytest.mark.parametrize("theme", [DARK, LIGHT], ids=lambda theme: theme.name)
@pytest.mark.parametrize("colours", [ColorSystem.TRUECOLOR, ColorSystem.EIGHT_BIT], ids=lambda colours: colours.name)
def test_scrollbars_can_be_seen_with_256_colours(theme: Theme, colours: ColorSystem) -> None:
    """The contrast ratio of WCAG 2, after what Rich makes of a colour in such a terminal."""

    def luminance(name: str) -> float:
        rgb = Color.parse(name).downgrade(colours).get_truecolor()
        linear = [v / 12.92 if v <= 0.04045 else ((v + 0.055) / 1.055) ** 2.4 for v in (c / 255 for c in rgb)]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    ground = luminance(theme.variables["scrollbar-background"])
    bars = [luminance(theme.variables[name]) for name in ("scrollbar", "scrollbar-hover")]
    ratios = [(max(bar, ground) + 0.05) / (min(bar, ground) + 0.05) for bar in bars]
    assert ratios[0] >= 1.8 and ratios[1] > ratios[0] + 0.5


@pytest.mark.parametrize("width", [40, 50])
async def test_the_help_of_a_narrow_screen_has_its_words_under_the_keys(width: int) -> None:
    async with chatting(size=(width, 30)) as chat:
        await chat.pilot.press("f1")
        await chat.until(lambda: isinstance(chat.app.screen, HelpScreen) and "Send the message" in chat.text)
        for row in chat.app.screen.query(".help-row"):
            key, words = row.query_one(".help-key"), row.query_one(".help-text")
            assert words.region.y == key.region.bottom and words.region.width >= width - 12


async def test_the_choice_of_a_message_is_a_sheet_over_the_chat() -> None:
    async with chatting(FakeAgent([" one reply"])) as chat:
        await chat.say("hello")
        await chat.pilot.press("f3")
        await chat.until(lambda: "Change which message?" in chat.text)
        sheet = chat.app.screen.query_one("#messages").region
        assert abs((24 - sheet.bottom) - sheet.y) <= 1 and sheet.y > 4, "in the middle"
        assert chat.app.screen.styles.background.a < 1, "with the chat under it"
