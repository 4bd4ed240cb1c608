"""`search` for scripts: several things at once, thresholds, JSON, thumbnails."""

from __future__ import annotations

import base64
import io
import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fromage_lite.text.spelling import Spelling
from index.errors import ImageError
from index.pictures.facts import Facts
from index.store.filters import Filters
from tests.tui.command_line import assert_refused, call
from tests.tui.fake_agent import picture_bytes


def test_words_without_signs_are_one_text(agent):
    for arguments in (["a cat on the beach"], ["a", "cat", "on the", "beach"]):
        assert call("search", *arguments, "--top", "1").exit_code == 0
    np.testing.assert_array_equal(*agent.index.queries)


def test_words_and_pictures_are_mixed_by_signs_and_weights(agent, picture):
    result = call("search", "a cat", "+", f"2:{picture}", "-", "0.5:at night", "--json")
    assert result.exit_code == 0
    assert json.loads(result.stdout)["query"] == [
        {"weight": 1.0, "message": [{"text": "a cat"}]},
        {"weight": 2.0, "message": [{"image": picture}]},
        {"weight": -0.5, "message": [{"text": "at night"}]},
    ]
    call("search", "a cat")
    call("search", picture)
    call("search", "at night")
    mixed, cat, shown, night = agent.index.queries
    expected = cat + 2 * shown - 0.5 * night
    np.testing.assert_allclose(mixed, expected / np.linalg.norm(expected), rtol=1e-4, atol=1e-5)


def test_misspelt_words_are_looked_for_as_they_were_meant_and_that_is_told(agent):
    search = ("search", "--model", "playground")
    agent.model.spelling = Spelling(["elephant"])
    result = call(*search, "an elefant", "--json")
    assert result.stderr.strip() == "fromage-lite: Read as: an elephant"
    found = json.loads(result.stdout)
    assert found["query"] == [{"weight": 1.0, "message": [{"text": "an elefant"}]}]
    assert found["read_as"] == [{"weight": 1.0, "message": [{"text": "an elephant"}]}]
    assert call(*search, "an elephant").stderr == call(*search, "an elefant", "--raw").stderr == ""
    np.testing.assert_array_equal(*agent.index.queries[:2])
    assert not np.allclose(*agent.index.queries[1:])


def test_a_picture_option_is_one_more_thing_to_add(agent, picture):
    call("search", "a cat", "--image", picture)
    call("search", "a cat", "+", picture)
    np.testing.assert_array_equal(*agent.index.queries)


@pytest.mark.parametrize("arguments", [["-"], ["a dog", "+", "-"], []])
def test_words_from_the_standard_input(agent, arguments):
    assert call("search", *arguments, "--top", "1", stdin="a cat\n").exit_code == 0
    typed = [*arguments[:-1], "a cat"] if arguments else ["a cat"]
    assert call("search", *typed, "--top", "1").exit_code == 0
    np.testing.assert_array_equal(*agent.index.queries)


def test_a_picture_from_the_standard_input(agent, picture, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    assert call("search", "-i", "-", stdin=Path(picture).read_bytes()).exit_code == 0
    call("search", picture)
    np.testing.assert_array_equal(*agent.index.queries)
    assert_refused(call("search", "-", "-i", "-", stdin=b""), "once")


@pytest.mark.parametrize("arguments", [["a cat", "+"], ["+"], ["a cat", "-", "+", "a dog"], ["-", "+"], ["", " "]])
def test_signs_without_anything_are_refused_before_anything_loads(agent, arguments):
    assert_refused(call("search", *arguments, stdin=""))
    assert not agent.loads


def test_a_picture_in_a_term_is_looked_at_before_anything_loads(agent, tmp_path):
    broken = tmp_path / "broken.png"
    broken.write_bytes(b"no picture")
    assert_refused(call("search", str(broken)), "broken.png")
    assert_refused(call("search", "a cat", "+", f"<image:{tmp_path}/gone.png>"), "gone.png")
    assert not agent.loads


def test_a_threshold_leaves_out_what_fits_less(agent):
    result = call("search", "a cat", "--threshold", "0.75", "--json")
    assert [image["score"] for image in json.loads(result.stdout)["images"]] == [0.9, 0.8]
    result = call("search", "a cat", "--threshold", "0.95")
    assert result.exit_code == 0 and result.stdout == "" and "No picture reaches" in result.stderr
    assert_refused(call("search", "a cat", "--threshold", "2"), "between -1 and 1")


# --- thumbnails in the terminal ---


@pytest.fixture
def two_colours(agent):
    """An index of one picture, red above and blue below."""
    image = Image.new("RGB", (40, 40), "red")
    image.paste("blue", (0, 20, 40, 40))
    data = io.BytesIO()
    image.save(data, "PNG")
    agent.index.hits = agent.index.hits[:1]
    agent.index.thumbnail = lambda id: data.getvalue()
    return agent


def test_show_draws_the_picture_under_its_line(two_colours):
    result = call("search", "a cat", "--show", "--images", "halfblock")
    first, *drawn = result.stdout.splitlines()
    assert first == "  1  0.900  /pictures/0.png  picture number 0"
    assert 5 <= len(drawn) <= 12
    assert "38;2;255;0;0" in drawn[0] and "38;2;0;0;255" not in drawn[0]
    assert "38;2;0;0;255" in drawn[-1] and "38;2;255;0;0" not in drawn[-1]


def test_show_in_kittys_and_in_sixels_language(two_colours):
    placeholder = "\U0010eeee"  # stands in the text where Kitty draws; the picture itself goes past Python's stdout
    assert placeholder in call("search", "a cat", "--show", "--images", "kitty").stdout
    assert "\x1bP" in call("search", "a cat", "--show", "--images", "sixel").stdout
    assert "\x1b" not in call("search", "a cat", "--show", "--images", "none").stdout


def test_show_follows_the_environment(two_colours, monkeypatch):
    monkeypatch.setenv("FROMAGE_IMAGES", "halfblock")
    assert "38;2;255;0;0" in call("search", "a cat", "--show").stdout


def test_show_into_a_pipe_draws_nothing_and_says_so(two_colours):
    result = call("search", "a cat", "--show")
    assert result.stdout == "  1  0.900  /pictures/0.png  picture number 0\n"
    assert "only drawn in a terminal" in result.stderr


def test_a_picture_that_is_gone_is_a_line(agent):
    def gone(id):
        if id == 0:
            raise ImageError("It is \x1b[31mgone.")
        return picture_bytes()

    agent.index.thumbnail = gone
    result = call("search", "a cat", "--top", "2", "--show", "--images", "halfblock")
    assert result.exit_code == 0 and "(It is gone.)" in result.stdout
    assert "38;2;255;165;0" in result.stdout, "the next one is drawn"


def test_a_hit_whose_file_is_gone_says_so_to_people_and_to_programs(agent, script):
    first, second = agent.index.hits[:2]
    agent.index.hits = [replace(first, gone=True), second]
    lines = ["0.900  /pictures/0.png  picture number 0  (its file is gone)", "0.800  /pictures/1.png  picture number 1"]
    assert [line.split(maxsplit=1)[1] for line in call("search", "a cat").stdout.splitlines()] == lines
    images = json.loads(call("search", "a cat", "--json").stdout)["images"]
    assert [image.get("gone") for image in images] == [True, None]
    script.say("here.[RET]", "here.[RET]", "here.[RET]")
    assert lines[0] in call("ask", "a cat").stdout
    assert json.loads(call("ask", "a cat", "--json").stdout)["images"][0]["gone"] is True
    events = map(json.loads, call("ask", "a cat", "--events").stdout.splitlines())
    assert [e["images"][0]["gone"] for e in events if e["event"] == "images_found"] == [True]


def test_show_is_for_people(agent):
    assert_refused(call("search", "a cat", "--show", "--json"), "--show")
    assert_refused(call("search", "a cat", "--show", "--images", "ascii"), "ascii")
    assert not agent.loads


# --- which pictures, in what order, and where they are shown ---


@pytest.fixture
def catalogue(agent):
    """The agent's pictures with facts: the first two are alike, and each has a year of its own."""
    index = agent.index
    hashes = (0, 1, 2**40 - 1, 2**60 - 1, -1)
    known = [Facts(400 + id, 300, 1000, f"202{id}-05-17T10:00:00+02:00", hash) for id, hash in enumerate(hashes)]
    index.facts = lambda ids: [known[id] for id in ids]
    index.features = lambda ids: None
    index.selections = []

    def select(filters):
        index.selections.append(filters)
        return np.array([2, 3], dtype=np.int64)

    index.select = select
    return agent


def sources(result):
    return [line.split()[2] for line in result.stdout.splitlines()]


def test_filters_as_options_and_typed_are_one(catalogue):
    options = call("search", "a cat", "--folder", "holiday", "--after", "2024-05", "--min-size", "2mp")
    typed = call("search", "a cat folder:holiday after:2024-05 min-size:2mp")
    assert options.exit_code == typed.exit_code == 0
    assert sources(options) == sources(typed) == ["/pictures/2.png", "/pictures/3.png"]
    first, second = catalogue.index.selections
    assert first == second == Filters(folder="holiday", after="2024-05", min_size="2mp")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--after", "soon"], "2024-05-17"),
        (["--min-size", "big"], "2mp"),
        (["--orientation", "up"], "portrait"),
        (["--sort", "size"], "sorted"),
        (["--min-score", "high"], "between -1 and 1"),
        (["--html", "page.jpg"], ".html"),
        (["--html", "/no/such/folder/page.html"], "/no/such/folder"),
        (["folder:"], "folder:holiday"),
    ],
)
def test_what_can_t_be_meant_is_refused_before_anything_loads(agent, arguments, said):
    assert_refused(call("search", "a cat", *arguments), said)
    assert not agent.loads


def test_pictures_that_are_nearly_the_same_are_one_line(catalogue):
    result = call("search", "a cat", "--top", "2")
    assert result.stdout.splitlines()[0].endswith("picture number 0  (+1 alike)")
    assert sources(result) == ["/pictures/0.png", "/pictures/2.png"]
    assert sources(call("search", "a cat", "--top", "2", "--all")) == ["/pictures/0.png", "/pictures/1.png"]


def test_json_has_what_is_known(catalogue):
    found = json.loads(call("search", "a cat", "--json", "--top", "1", "--caption", "x").stdout)
    assert found["filters"] == {"caption": "x"}
    (image,) = found["images"]
    assert (image["width"], image["height"], image["bytes"]) == (402, 300, 1000)
    assert image["taken"] == "2022-05-17T10:00:00+02:00" and "modified" not in image and "alike" not in image


def test_sorted_by_date(catalogue):
    lines = call("search", "a cat", "--top", "3", "--sort", "date").stdout.splitlines()
    assert [line.split()[1] for line in lines] == ["2023-05-17", "2022-05-17", "2020-05-17"]


def test_the_page_holds_everything_and_trusts_nothing(catalogue, tmp_path):
    page = tmp_path / "page.html"
    nasty = '<script>alert("1")</script>'
    first, second, third, *_ = catalogue.index.hits
    catalogue.index.hits = [
        first,
        replace(second, source="https://example.org/a.png?x=1&y='", caption=nasty),
        replace(third, source="javascript:alert(1)"),
    ]
    catalogue.index.thumbnail = lambda id: picture_bytes("blue") if id == 0 else b"no picture"
    assert call("search", nasty, "--html", str(page), "--all").exit_code == 0
    text = page.read_text(encoding="utf-8")
    assert "<script" not in text and text.count("&lt;script&gt;") >= 3 and "javascript:" not in text.split("href")[1]
    (data,) = re.findall(r'src="data:image/jpeg;base64,([^"]+)"', text)
    assert Image.open(io.BytesIO(base64.b64decode(data))).getpixel((20, 20))[2] > 200
    assert re.findall(r'href="([^"]*)"', text) == [
        "file:///pictures/0.png",
        "https://example.org/a.png?x=1&amp;y=&#x27;",
    ]
    assert "default-src 'none'" in text and "prefers-color-scheme: dark" in text and "2020-05-17" in text
    assert not re.search(r'(src|href)="(?!data:image/jpeg|file:|https://example)', text)


def test_open_shows_the_best_one_or_the_page(catalogue, tmp_path, monkeypatch):
    opened = []
    monkeypatch.setattr("tui.cli.search.open_outside", lambda picture: opened.append(picture.path))
    monkeypatch.setattr("webbrowser.open", lambda address: opened.append(address) or True)
    page = tmp_path / "page.html"
    call("search", "a cat", "--open")
    call("search", "a cat", "--open", "--html", str(page))
    assert opened == ["/pictures/0.png", page.as_uri()]


def test_nothing_that_passes_is_said(catalogue):
    catalogue.index.select = lambda filters: np.array([], dtype=np.int64)
    result = call("search", "a cat", "--folder", "nowhere")
    assert result.exit_code == 0 and not result.stdout and "No picture passes the filters." in result.stderr
