"""Formatting, figures, /tokens, /why, /randvqa."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from PIL import Image

from fromage_lite.chat.events import ContextPart, ImagesFound, RetTrace
from fromage_lite.model.inspection import PatchGrid, TokenMatch
from fromage_lite.text.marks import RET
from tests.tui.driver import chatting
from tests.tui.fake_agent import FakeAgent, Gate, hit
from tui.widgets.formatted import Formatted, looks_formatted
from tui.widgets.inspection import bar, figure
from tui.widgets.token_map import Patches

TRACE = RetTrace(
    (0.01, 0.02, 0.5, 0.97, 0.0001),
    (" here", " you", " are.", RET, ""),
    (ContextPart(1, 34, ("/home/me/my cat.png",)), ContextPart(2, 12)),
)


@pytest.mark.parametrize(
    "text",
    [
        "a cat.",
        "two small dogs and a big tree on the beach.",
        "2 * 3 * 4 = 24",
        "snake_case_name and __init__",
        "a - b",
        "- well",
        "1. yes",
        "use * or #",
        "it costs 5 $ (or 6)",
        "[big cat small tree]",
        "a* b*",
        "~~",
    ],
)
def test_plain_text_is_not_taken_for_markdown(text: str) -> None:
    assert not looks_formatted(text)


@pytest.mark.parametrize(
    "text",
    [
        "so **bold** it is",
        "# Title\ntext",
        "- one\n- two",
        "1. one\n2. two",
        "use `code`",
        "```\nx = 1\n```",
        "| a | b |\n|---|---|\n| 1 | 2 |",
        "see [this](https://example.org/a)",
        "> said",
        "an *apple*",
    ],
)
def test_markdown_is_recognised(text: str) -> None:
    assert looks_formatted(text)


async def test_a_reply_is_formatted_once_it_is_complete_and_keeps_its_line_breaks() -> None:
    agent = FakeAgent([" **Cats**\nand `dogs`:\n\n- one [red]x[/red]", gate := Gate(), "\n- two \x1b[31m"])
    async with chatting(agent, size=(80, 30)) as chat:
        await chat.type("which?")
        await chat.until(gate.reached.is_set)
        await chat.until(lambda: "- one" in chat.text)
        assert "**Cats**" in chat.text and not chat.screen.query(Formatted)
        gate.open()
        await chat.ready()
        await chat.until(lambda: "**" not in chat.text)
        lines = [line.strip() for line in chat.text.splitlines()]
        assert any(line.endswith("Cats") for line in lines) and "and dogs:" in lines
        assert any("• one [red]x[/red]" in line for line in lines) and "\x1b" not in chat.text
        assert chat.replies == ["**Cats**\nand `dogs`:\n\n- one [red]x[/red]\n- two"]


async def test_a_plain_reply_looks_the_same_before_and_after_its_end() -> None:
    agent = FakeAgent([" a big cat, two small dogs and 3 * 4 trees_on the_beach.", gate := Gate()])
    async with chatting(agent) as chat:
        await chat.type("what is it?")
        await chat.until(lambda: "beach." in chat.text)
        before = next(line for line in chat.text.splitlines() if "beach." in line)
        gate.open()
        await chat.ready()
        after = next(line for line in chat.text.splitlines() if "beach." in line)
        assert before.split(maxsplit=1)[1] == after.split(maxsplit=1)[1]  # but for the wheel


async def test_a_very_long_reply_with_wide_characters_survives_resizing_while_it_streams() -> None:
    gates = [Gate(), Gate()]
    page = "猫は好きですか 😀👩‍👩‍👧 e\u0301 " + "word " * 40 + "x" * 300 + "\n"
    agent = FakeAgent([" begin\n", *[page] * 40, gates[0], *[page] * 40, gates[1], "the end"])
    async with chatting(agent) as chat:
        await chat.type("tell me everything")
        await chat.until(gates[0].reached.is_set)
        await chat.pilot.resize_terminal(40, 12)
        gates[0].open()
        await chat.until(gates[1].reached.is_set)
        await chat.pilot.resize_terminal(132, 40)
        gates[1].open()
        await chat.ready()
        await chat.until(lambda: "the end" in chat.text)
        assert len(chat.replies[0]) > 40_000
        assert chat.screen.transcript.scroll_y == chat.screen.transcript.max_scroll_y


async def test_figures_are_shown_under_each_reply_on_demand() -> None:
    async with chatting(FakeAgent([" one"], [" two"]), size=(100, 24)) as chat:
        await chat.say("1")
        line = "12 tokens read (30 known) · 9 said · first 0.21 s, then 34 tok/s · search 2.5 ms"
        assert line not in chat.text
        await chat.type("/stats")
        await chat.until(lambda: line in chat.text)
        await chat.say("2")
        assert chat.text.count("9 said") == 2
        await chat.pilot.press("f4")
        await chat.until(lambda: line not in chat.text)


async def test_why_shows_the_way_to_ret_and_what_was_read() -> None:
    agent = FakeAgent([" here you are.", ImagesFound((hit(1),)), TRACE])
    async with chatting(agent, size=(80, 40)) as chat:
        await chat.type("/why")
        assert "no reply yet" in chat.text
        await chat.say("show me a cat")
        await chat.type("/why")
        await chat.until(lambda: "Probability of [RET]" in chat.text)
        assert "▁▁▅█▁" in chat.text
        for words in (
            "peak  0.970 at token 4 of 5, after “here you are.”",
            "at token 4;",
            "turn 1: 34 tokens, with my cat.png",
            "turn 2: 12 tokens  (the message itself)",
            "up to [RET]: 3 tokens",
        ):
            assert words in chat.text


async def test_why_of_a_reply_without_a_trace_says_so() -> None:
    async with chatting(FakeAgent([" one"])) as chat:
        await chat.say("hello")
        await chat.type("/why")
        await chat.until(lambda: "/retry" in chat.text)


def test_bars_and_figures_are_honest_at_the_ends() -> None:
    assert [bar(p) for p in (0.0, 0.124, 0.126, 0.5, 0.999, 1.0)] == list("▁▁▂▅██")
    assert figure(0.00004) == "below 0.001" and figure(0.99999) == "above 0.999" and figure(0.5) == "0.500"


async def test_tokens_of_the_named_the_attached_and_the_last_picture(cat: Path, dog: Path) -> None:
    agent = FakeAgent([" a cat"])
    async with chatting(agent, size=(80, 40)) as chat:
        await chat.type("/tokens")
        await chat.until(lambda: "Which picture?" in chat.text)
        await chat.type(f"/tokens {cat}")
        await chat.until(lambda: agent.looked_at == [str(cat)])
        await chat.until(lambda: "3 visual tokens of cat.png" in chat.text)
        assert "·word0" in chat.text and ".90" in chat.text and ".80" in chat.text
        await chat.type(f"/image {dog}")
        await chat.until(lambda: chat.screen.composer.pictures)
        await chat.type("/tokens")
        await chat.until(lambda: agent.looked_at == [str(cat), str(dog)])
        await chat.ready()
        chat.screen.composer.pictures = ()
        await chat.say(f"{cat} what is it?")
        await chat.type("/tokens")
        await chat.until(lambda: agent.looked_at[2:] == [str(cat)])
        await chat.type("/tokens /no/such.png")
        await chat.until(lambda: "There is no file /no/such.png" in chat.text)
        await chat.ready()


def patches(rows: int, columns: int) -> PatchGrid:
    """A picture that is red above and blue below."""
    image = Image.new("RGB", (columns * 14, rows * 14), "red")
    image.paste("blue", (0, rows * 7, columns * 14, rows * 14))
    return PatchGrid(image, rows, columns)


async def test_tokens_of_patches_are_written_over_the_picture(cat: Path) -> None:
    agent = FakeAgent()
    agent.patches = patches(4, 6)
    agent.tokens_near = lambda path, count: [
        [TokenMatch(0, f" w{place}", 0.5), TokenMatch(1, "second", 0.25)] for place in range(24)
    ]
    async with chatting(agent, size=(80, 40)) as chat:
        await chat.type(f"/tokens {cat}")
        await chat.until(lambda: "4 × 6 patches of cat.png" in chat.text)
        await chat.ready()
        picture = chat.screen.query_one(Patches)
        assert chat.app.focused is picture and "row 1, column 1  ·w0 0.50  second 0.25" in chat.text
        lines = [line.split() for line in chat.text.replace("▀", " ").replace("▐", " ").splitlines()]
        for row in range(4):  # a line for each row of patches, with its words in their order
            assert [f"w{place}" for place in range(6 * row, 6 * row + 6)] in lines
        await chat.pilot.press("right", "down", "down", "up", "up", "up", "left", "down", "right", "right")
        await chat.until(lambda: "row 2, column 3  ·w8 0.50" in chat.text)
        await chat.pilot.press("h", "i")
        assert chat.typed == "hi"


@pytest.mark.parametrize(("size", "rows", "columns"), [((40, 20), 24, 24), ((80, 24), 27, 27), ((100, 30), 3, 9)])
async def test_patches_fit_into_every_terminal(size: tuple[int, int], rows: int, columns: int, cat: Path) -> None:
    agent = FakeAgent()
    agent.patches = patches(rows, columns)
    agent.tokens_near = lambda path, count: [[TokenMatch(0, " 猫 long word", 0.5)] for _ in range(rows * columns)]
    async with chatting(agent, size=size) as chat:
        await chat.type(f"/tokens {cat}")
        await chat.until(lambda: chat.screen.query(Patches) and not chat.screen.busy)
        picture = chat.screen.query_one(Patches)
        await chat.until(lambda: picture.region.width)
        assert picture.region.width % columns == 0 and picture.region.right <= chat.screen.transcript.region.right
        await chat.pilot.press(*["down"] * (rows - 1))
        await chat.until(lambda: f"row {rows}, column 1" in chat.text)


@pytest.fixture
def questions(tmp_path: Path, cat: Path) -> Path:
    path = tmp_path / "questions.json"
    path.write_text(
        json.dumps(
            {
                "images": [{"id": 5, "file_name": cat.name}],
                "questions": [{"question_id": 1, "image_id": 5, "question": "how many cats?"}],
                "annotations": [{"question_id": 1, "image_id": 5, "multiple_choice_answer": "two"}],
            }
        )
    )
    return path


async def test_randvqa_asks_and_then_tells_the_true_answer(questions: Path, cat: Path) -> None:
    agent = FakeAgent([" 2.", gate := Gate()], [" three."])
    async with chatting(agent, size=(80, 40)) as chat:
        await chat.type(f"/randvqa {questions}")
        await chat.until(gate.reached.is_set)
        assert "how many cats?" in chat.text and len(chat.cards) == 1
        assert "true answer" not in chat.text
        gate.open()
        await chat.until(lambda: "✓ true answer: two" in chat.text)
        await chat.ready()
        assert [getattr(s, "path", s) for s in agent.messages[0]] == [str(cat), "how many cats?"]
        await chat.type("/retry")
        await chat.until(lambda: "≠ true answer: two" in chat.text)


async def test_randvqa_without_a_file_takes_the_playgrounds(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    async with chatting(FakeAgent([" yes."]), size=(80, 40)) as chat:
        await chat.type("/randvqa")
        await chat.until(lambda: "true answer:" in chat.text)
        assert len(list(tmp_path.rglob("*.png"))) == 1


async def test_randvqa_of_a_bad_file_is_told(tmp_path: Path) -> None:
    path = tmp_path / "bad.json"
    path.write_text("{}")
    async with chatting() as chat:
        await chat.type(f"/randvqa {path}")
        await chat.until(lambda: "no annotations" in chat.text)


async def test_the_columns_of_the_nearest_words_stand_under_each_other(cat: Path) -> None:
    agent = FakeAgent()
    cosines = [[1.0, 0.97, -0.5], [0.5, 1.0, 0.25], [-1.0, -0.01, 1.0]]
    agent.tokens_near = lambda path, k: [
        [TokenMatch(n, f" word{n}", cosine) for n, cosine in enumerate(row)] for row in cosines
    ]
    async with chatting(agent, size=(100, 40)) as chat:
        await chat.type(f"/tokens {cat}")
        await chat.until(lambda: "word2" in chat.text)
        rows = [line for line in chat.text.splitlines() if "word2" in line]
        assert len(rows) == 3
        for column in range(3):
            assert len({row.index(f"word{column}") for row in rows}) == 1
        ends = [[match.end() for match in re.finditer(r"-?\d?\.\d\d", row)] for row in rows]
        assert ends[0] == ends[1] == ends[2] and len(ends[0]) == 3
        assert "1.00" in rows[0] and " .97" in rows[0] and "-.50" in rows[0] and "-1.00" in rows[2]
