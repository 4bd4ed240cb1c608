"""The list of conversations when it is longer than the screen."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.tui.driver import chatting
from tests.tui.fake_agent import FakeAgent
from tui.sessions.archive import Archive
from tui.sessions.screen import SessionsScreen


@pytest.mark.parametrize(
    ("size", "count"), [((80, 24), 3), ((80, 24), 10), ((100, 30), 14), ((40, 24), 12), ((120, 50), 30)]
)
async def test_every_row_has_its_title_and_its_preview(tmp_path: Path, size: tuple[int, int], count: int) -> None:
    agent = FakeAgent(*([f" preview {number:02}"] for number in range(count)))
    async with chatting(agent, archive=Archive(tmp_path / "sessions.db", save=True), size=size) as chat:
        for number in range(count):
            await chat.say(f"title {number:02}, and many more words, so that the row is full up to its last column")
            await chat.type("/reset")
        await chat.pilot.press("ctrl+l")
        await chat.until(lambda: isinstance(chat.app.screen, SessionsScreen) and f"preview {count - 1:02}" in chat.text)
        for _ in range(3):  # at the top, further down, at the end
            lines = chat.text.splitlines()
            rows = [row for row, line in enumerate(lines) if "title " in line]
            assert len(rows) >= 3
            for row in rows:
                number = lines[row].partition("title ")[2][:2]
                if "╰" not in lines[row + 1]:  # cut off by the frame
                    assert f"preview {number}" in lines[row + 1], chat.text
            await chat.pilot.press("pagedown")
