"""Exports, read back with parsers that are not ours; imports, fed with what nobody should import."""

from __future__ import annotations

import base64
import io
import json
import os
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote

import pytest
from markdown_it import MarkdownIt
from PIL import Image

from fromage_lite.chat.events import ImagesFound
from fromage_lite.text.message import ImageSegment
from index.search.hits import Hit
from tests.tui.fake_agent import STATISTICS, FakeAgent, picture_bytes
from tests.tui.sessions.test_sessions import back, kept, sessions, words
from tui.sessions.dialogs import Confirm
from tui.sessions.export import check_target, export, session_data
from tui.sessions.importing import MAX_BYTES, read_session
from tui.sessions.markdown import escape
from tui.sessions.records import SavedSearch, SavedTurn, Session, SessionError, SessionInfo
from tui.sessions.restore import draw

EVIL = [
    "<script>alert(1)</script> & <img src=x onerror=y> \"quoted\" 'too'",
    "# no heading\n- no list\n1. none either\n> no quote\n---\n***\n| a | b |\n|---|---|",
    "[no](http://example.com) ![link](x.png) `code` **bold** _it_ ~~gone~~ \\ back &amp; <b>",
    "```\nfence\n```\n\n    indented\n====\nunder",
]


@pytest.fixture
def session(tmp_path: Path, cat: Path) -> Session:
    found = tmp_path / "found (1).png"
    found.write_bytes(picture_bytes("green", (900, 600)))
    hits = (Hit(1, 0.91, str(found), "a <green> [thing]"), Hit(2, 0.5, "/gone/2.png", "a lost one"))
    turns = (
        SavedTurn(
            (ImageSegment(str(cat)), EVIL[0]), (EVIL[1], hits, EVIL[2]), "stop", 1_700_000_000.0, STATISTICS, (hits,)
        ),
        SavedTurn((EVIL[3],), ("half",), None, 1_700_000_060.0),
        SavedTurn(("\x1b[31mred\x1b[0m 猫",), ("stopped",), "cancelled", 1_700_000_090.0),
    )
    return Session(
        SessionInfo(3, "A <title> & *more*", 1_700_000_000.0, 1_700_000_100.0, "playground", "pics", 3), turns
    )


def write(session: Session, path: Path) -> str:
    export(session, draw(None, session.items), path)
    return path.read_text(encoding="utf-8")


class Page(HTMLParser):
    """Tags, texts and pictures of a page; complains about tags that are not closed."""

    VOID = {"meta", "img", "br"}

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[str] = []
        self.texts: list[str] = []
        self.attributes: list[tuple[str, dict[str, str | None]]] = []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if data.strip():
            self.texts.append(data)


def test_html_is_one_page_that_loads_and_runs_nothing(session: Session, tmp_path: Path) -> None:
    text = write(session, tmp_path / "talk.html")
    page = Page(text)
    assert {"script", "link", "iframe", "b"} & set(page.tags) == set() and page.tags.count("img") == 2
    said = [words for turn in session.turns for words in (turn.message[-1], *turn.reply) if isinstance(words, str)]
    for one in said[:-2]:
        assert one in page.texts
    assert "red 猫" in page.texts and "\x1b" not in text
    assert page.texts[0] == "A <title> & *more*"
    assert "a <green> [thing]" in page.texts and "match 0.91" in " ".join(page.texts) and "a lost one" in page.texts
    assert "(interrupted)" in page.texts and "(stopped)" in page.texts
    pictures = [attributes for tag, attributes in page.attributes if tag == "img"]
    assert [picture["alt"] for picture in pictures] == ["cat.png", "a <green> [thing]"]
    for picture in pictures:
        head, data = picture["src"].split(",")
        assert head == "data:image/jpeg;base64"
        assert max(Image.open(io.BytesIO(base64.b64decode(data, validate=True))).size) <= 512
    for _, attributes in page.attributes:
        assert not any(name.startswith("on") or name in {"href", "srcset"} for name in attributes)


def plain(tokens) -> str:
    """The words that a Markdown parser sees, without any markup."""
    out = []
    for token in tokens or ():
        if token.type in {"text", "code_inline"}:
            out.append(token.content)
        elif token.type in {"softbreak", "hardbreak"}:
            out.append("\n")
        else:
            assert token.type in {"em_open", "em_close", "strong_open", "strong_close", "image"}, token.type
    return "".join(out)


@pytest.mark.parametrize(
    "text", [*EVIL, "a  b\n\n\nc", "+ plus\n2) two\n=\n-", "www.example.com http://x.y", "$x$ #1 ~a~"]
)
def test_words_in_markdown_are_only_words(text: str) -> None:
    tokens = MarkdownIt("gfm-like", {"linkify": False}).parse(escape(text))
    assert {token.type for token in tokens} <= {"paragraph_open", "inline", "paragraph_close"}
    read = "\n".join(plain(token.children) for token in tokens if token.type == "inline")
    assert read.split() == text.split()
    lines = [" ".join(line.split()) for line in text.splitlines() if line.strip()]
    assert [line for line in read.split("\n") if line] == lines


def test_markdown_has_its_pictures_beside_it(session: Session, tmp_path: Path) -> None:
    folder = tmp_path / "out (1)"
    folder.mkdir()
    text = write(session, folder / "my talk.md")
    tokens = MarkdownIt("gfm-like", {"linkify": False}).parse(text)
    assert [t.tag for t in tokens if t.type == "heading_open"] == ["h1"]
    images = [child for t in tokens if t.type == "inline" for child in t.children if child.type == "image"]
    assert [image.content.replace("\\", "") for image in images] == ["cat.png", "a <green> [thing]"]
    sizes = []
    for image in images:
        file = folder / unquote(image.attrs["src"])
        assert file.parent.name == "my talk-pictures"
        sizes.append(Image.open(file).size)
    assert sizes == [(64, 48), (900, 600)]
    assert "a lost one" in text and "no file /gone/2.png" in text.replace("\\", "")
    before = {file: file.stat().st_mtime_ns for file in (folder / "my talk-pictures").iterdir()}
    write(session, folder / "my talk.md")
    assert {file: file.stat().st_mtime_ns for file in (folder / "my talk-pictures").iterdir()} == before


def test_json_comes_back_the_same(session: Session, tmp_path: Path) -> None:
    path = tmp_path / "talk.json"
    data = json.loads(write(session, path))
    assert data["turns"][0]["message"] == [{"image": session.turns[0].message[0].path}, {"text": EVIL[0]}]
    assert data["turns"][1]["reason"] is None and data["title"] == session.info.title
    again = read_session(path)
    assert again.turns[:2] == session.turns[:2] and again.turns[2].message == ("red 猫",)
    assert (again.info.title, again.info.model, again.info.created) == (
        session.info.title,
        "playground",
        1_700_000_000.0,
    )


def test_searches_are_exported_between_the_turns_and_come_back(session: Session, tmp_path: Path, cat: Path) -> None:
    searches = (
        SavedSearch("first <of> all", (Hit(7, 0.75, str(cat), "a cat"),), created=5.0, after=0),
        SavedSearch("a cat", (), like=True, created=6.0, after=2),
        SavedSearch("", (), created=7.0, after=3),
    )
    whole = replace(session, searches=searches)
    first, second, third = session.turns
    assert whole.items == (searches[0], first, second, searches[1], third, searches[2])
    path = tmp_path / "talk.json"
    export(whole, draw(None, whole.items), path)
    assert json.loads(path.read_text())["items"][0] == {
        "kind": "search",
        "after": 0,
        "created": 5.0,
        "words": "first <of> all",
        "like": False,
        "hits": [{"id": 7, "path": str(cat), "score": 0.75, "caption": "a cat"}],
    }
    assert read_session(path).searches == searches
    texts = Page(write(whole, tmp_path / "talk.html")).texts
    places = [
        texts.index(t) for t in ("Searched for: “first <of> all”", "(interrupted)", "Searched for: more like “a cat”")
    ]
    assert places == sorted(places) and "match 0.75 · cat.png" in texts
    plain_text = write(whole, tmp_path / "talk.md").replace("\\", "")
    assert plain_text.index("Searched for: “first <of> all”") < plain_text.index("**You**")
    assert "Searched for: pictures like one's own" in plain_text


def test_only_pictures_are_ever_copied(tmp_path: Path) -> None:
    """A session from anybody can name any file; what is no picture must not travel on with an export."""
    secret = tmp_path / "id_rsa"
    secret.write_text("PRIVATE KEY")
    turn = SavedTurn(
        (ImageSegment(str(secret)),), ((Hit(1, 0.5, str(secret), "x"), Hit(2, 0.5, "/dev/zero", "y")),), "stop"
    )
    shown = Session(SessionInfo(1, "t", 0.0, 0.0), (turn,))
    for name in ("a.html", "a.md"):
        assert "PRIVATE" not in write(shown, tmp_path / name)
    assert not (tmp_path / "a-pictures").exists()


def test_places_where_no_export_can_go(tmp_path: Path) -> None:
    (tmp_path / "folder.md").mkdir()
    os.mkfifo(tmp_path / "pipe.md")
    for name, complaint in (
        ("talk", "no kind of export"),
        ("talk.docx", "no kind of export"),
        ("folder.md", "is a folder"),
        ("pipe.md", "no regular file"),
        ("none/talk.md", "no folder"),
        ("x" * 300 + ".md", "can't be written"),
    ):
        with pytest.raises(SessionError, match=complaint):
            check_target(tmp_path / name)


def test_a_failed_export_leaves_the_old_file(session: Session, tmp_path: Path, monkeypatch) -> None:
    path = tmp_path / "talk.html"
    path.write_text("the old one")
    monkeypatch.setattr("os.fsync", lambda descriptor: (_ for _ in ()).throw(OSError(28, "No space left on device")))
    with pytest.raises(SessionError, match="No space left"):
        write(session, path)
    assert path.read_text() == "the old one" and [f.name for f in tmp_path.glob(".*")] == []


GOOD = {
    "format": "fromage-lite session",
    "version": 1,
    "turns": [{"message": [{"text": "hello"}], "reply": [{"text": "hi"}], "reason": "stop"}],
}
HIT = {"id": 1, "score": 0.5, "source": "/p/1.png", "caption": "one"}


def changed(**fields: object) -> dict:
    return {**GOOD, **fields}


def with_turn(**fields: object) -> dict:
    return changed(turns=[{**GOOD["turns"][0], **fields}])


def with_hit(**fields: object) -> dict:
    return with_turn(reply=[{"hits": [{**HIT, **fields}]}])


def test_pictures_are_read_as_they_are_written_and_as_earlier_versions_wrote_them(tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    now = {"id": 1, "path": "/p/1.png", "score": 0.5, "caption": "one"}
    for hits in (HIT, now):
        path.write_text(json.dumps(with_turn(reply=[{"hits": [hits]}])))
        assert read_session(path).turns[0].reply == ((Hit(1, 0.5, "/p/1.png", "one"),),)
    assert session_data(read_session(path))["turns"][0]["reply"] == [{"hits": [now]}]


@pytest.mark.parametrize(
    "data",
    [
        [],
        "text",
        None,
        {},
        changed(format="other"),
        changed(version=2),
        changed(version=True),
        changed(turns={}),
        changed(turns=[]),
        changed(turns=[3]),
        changed(title=["x"]),
        changed(created="yesterday"),
        changed(created=1e300),
        changed(created=-1),
        with_turn(message="hello"),
        with_turn(message=[{"text": 5}]),
        with_turn(message=[{"text": "a", "image": "b"}]),
        with_turn(message=[{"image": ""}]),
        with_turn(message=[{"image": "a\0b"}]),
        with_turn(message=[{"image": "x" * 5000}]),
        with_turn(message=[{}] * 2000),
        with_turn(reply=None),
        with_turn(reply=[{"hits": {}}]),
        with_turn(reason="because"),
        with_turn(reason=["stop"]),
        with_hit(id=2**64),
        with_hit(id=True),
        with_hit(id="1"),
        with_hit(score=None),
        with_hit(score=10**400),
        with_hit(source=None),
        with_hit(caption=7),
    ],
)
def test_what_is_no_export_is_refused(data: object, tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    path.write_text(json.dumps(data))
    with pytest.raises(SessionError, match="no exported conversation"):
        read_session(path)


@pytest.mark.parametrize(
    "content",
    [b"", b"\xff\xfe", b"{", b"[" * 200_000, b'{"a": ' * 5000, json.dumps(GOOD).encode() + b"x", b"9" * 5000],
    ids=["empty", "utf-16", "cut", "deep list", "deep object", "more after it", "long number"],
)
def test_broken_json_is_refused(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    path.write_bytes(content)
    with pytest.raises(SessionError, match="Nothing was imported"):
        read_session(path)


def test_numbers_that_are_none_are_refused(tmp_path: Path) -> None:
    for number in ("NaN", "Infinity", "1e999"):
        path = tmp_path / "x.json"
        path.write_text(json.dumps(with_hit(score=0.25)).replace("0.25", number))
        with pytest.raises(SessionError, match="no exported conversation"):
            read_session(path)


def test_files_that_cannot_be_imported(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.json")
    with (tmp_path / "large.json").open("wb") as file:
        file.truncate(MAX_BYTES + 1)
    for name, complaint in (
        ("none.json", "No such file"),
        ("pipe.json", "no regular file"),
        ("large.json", "larger than"),
        (".", "no regular file"),
    ):
        with pytest.raises(SessionError, match=complaint):
            read_session(tmp_path / name)


def test_statistics_of_a_foreign_file_are_taken_only_whole(tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    path.write_text(json.dumps(with_turn(statistics={**vars(STATISTICS), "new_tokens": "many"})))
    assert read_session(path).turns[0].statistics is None
    path.write_text(json.dumps(with_turn(statistics=vars(STATISTICS))))
    assert read_session(path).turns[0].statistics == STATISTICS


# In the app -------------------------------------------------------------------------------------------------------


async def test_export_and_import_by_command(tmp_path: Path, cat: Path) -> None:
    path, out = tmp_path / "sessions.db", tmp_path / "talk.json"
    agent = FakeAgent(["a cat"], ["here", ImagesFound((Hit(1, 0.9, str(cat), "found"),))], ["more"])
    async with kept(path, agent, size=(100, 40)) as chat:
        await chat.type(f"/export {out}")
        await chat.until(lambda: "nothing to export" in " ".join(chat.notes))
        await chat.say(f"{cat} what is this?")
        await chat.say("show me")
        await chat.type("/export talk.pdf")
        await chat.until(lambda: "no kind of export" in chat.notes[-1])
        await chat.type(f"/export {out}")
        await chat.until(lambda: "Exported to" in chat.notes[-1])
        before = out.read_bytes()
        out.write_bytes(b"mine")
        await chat.type(f"/export {out}")
        await chat.until(lambda: isinstance(chat.app.screen, Confirm))
        await chat.pilot.press("escape")
        await back(chat)
        assert out.read_bytes() == b"mine"
        await chat.type(f"/export {out}")
        await chat.until(lambda: isinstance(chat.app.screen, Confirm))
        await chat.pilot.press("right", "enter")
        await chat.until(lambda: out.read_bytes() != b"mine")
        assert json.loads(out.read_bytes())["turns"] == json.loads(before)["turns"]
        await chat.type("/reset")
        await chat.type(f"/import {out}")
        await chat.until(lambda: len(chat.screen.turns) == 2)
        assert chat.replies[0] == "a cat" and [card.picture.caption for card in chat.cards] == ["cat.png", "found"]
        await chat.say("go on")
        assert len(chat.app.conversation.dialogue.turns) == 3
        await chat.type("/import nowhere.json")
        await chat.until(lambda: any("No such file" in note for note in chat.notes))
    assert [len(turns) for _, turns in sessions(path)] == [3, 2]
    assert words(path)[0][:2] == words(path)[1]


async def test_without_saving_what_was_said_can_still_be_exported_and_imported(tmp_path: Path) -> None:
    path, out = tmp_path / "sessions.db", tmp_path / "talk.json"
    async with kept(path, FakeAgent(["hi"], ["ho"]), save=False) as chat:
        await chat.say("hello")
        await chat.type(f"/export {out}")
        await chat.until(lambda: chat.notes and "Exported to" in chat.notes[-1])
        await chat.type("/reset")
        await chat.type(f"/import {out}")
        await chat.until(lambda: chat.replies == ["hi"])
        await chat.say("again")
        assert len(chat.app.conversation.dialogue.turns) == 2
    assert not path.exists()
