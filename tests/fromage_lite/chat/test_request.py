"""One form of a search, whether it is typed in the app, given on a command line or sent to another process."""

from __future__ import annotations

import json

import pytest

from fromage_lite.chat.request import SearchRequest, parse_request
from fromage_lite.chat.search import Term
from fromage_lite.errors import DataError, FilterError, MessageError
from fromage_lite.text.message import ImageSegment
from index.store.filters import Filters


def text(words: str, weight: float = 1.0) -> Term:
    return Term(weight, (words,))


def picture(path: str, weight: float = 1.0) -> Term:
    return Term(weight, (ImageSegment(path),))


@pytest.mark.parametrize(
    ("typed", "terms"),
    [
        ("a cat on the beach", [text("a cat on the beach")]),
        ("cat.jpg + at night - people", [picture("cat.jpg"), text("at night"), text("people", -1)]),
        ('cat.jpg + "at night" - 2:"many people"', [picture("cat.jpg"), text("at night"), text("many people", -2)]),
        ('"rock + roll"', [text("rock + roll")]),
        ("a t-shirt, size 5+", [text("a t-shirt, size 5+")]),
        ('a 5" pipe', [text('a 5" pipe')]),
        ("the cat's tail", [text("the cat's tail")]),
        ("<image:my - cat.png> at night", [Term(1.0, (ImageSegment("my - cat.png"), "at night"))]),
        ("note: a cat at 12:30", [text("note: a cat at 12:30")]),
    ],
)
def test_a_typed_line_and_the_words_of_a_command_line_are_one(typed, terms):
    assert parse_request([typed]).terms == tuple(terms)
    assert parse_request([typed], ["x.png"]).terms == (*terms, picture("x.png"))


def test_words_of_a_command_line_that_the_shell_kept_together():
    assert parse_request(["a cat", "-", "at night"]).terms == (text("a cat"), text("at night", -1))
    assert parse_request(["a", "cat", "-", "at night"]).terms == (text("a cat"), text("at night", -1))


def test_the_name_of_a_file_that_is_there_stays_whole(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "Artist - Title after:2024.jpg").touch()
    request = parse_request(["Artist - Title after:2024.jpg", "+", "at night"])
    assert request.terms == (picture("Artist - Title after:2024.jpg"), text("at night")) and not request.filters


def test_keys_may_stand_anywhere_and_options_count_more():
    request = parse_request(['folder:"my holiday" a cat After:2024-05 caption:sun caption:sea'], before="2025")
    assert request.terms == (text("a cat"),)
    assert request.filters == Filters(folder="my holiday", after="2024-05", before="2025", caption="sun sea")
    request = parse_request(["a cat folder:a sort:date all:yes top:20 min-score:0.5 min-size:2mp"], folder="b")
    assert request.filters == Filters(folder="b", min_size="2mp")
    assert (request.sort, request.fold, request.top, request.min_score) == ("date", False, 20, 0.5)
    assert parse_request(["a cat"], min_score="auto").min_score == "auto"
    assert parse_request(["a cat"]) == SearchRequest((text("a cat"),))


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        ("a cat +", "follows"),
        ("a cat - + a dog", "empty"),
        ("a cat folder:", "folder:holiday"),
        ("a cat sort:size", "sorted"),
        ("a cat min-score:2", "between"),
        ("a cat all:maybe", "all"),
        ("a cat top:0", "1000"),
        ("a cat top:99999999999999999999", "1000"),
    ],
)
def test_what_is_wrong_is_said(typed, said):
    with pytest.raises(MessageError, match=said):
        try:
            parse_request([typed])
        except MessageError as error:
            raise MessageError(str(error)) from error


def test_a_wrong_filter_is_said():
    with pytest.raises(FilterError, match="date"):
        parse_request(["a cat after:soon"])


def test_a_request_travels_as_plain_data():
    request = parse_request(["cat.jpg - 2:people folder:x after:2024 sort:date all:yes top:3 min-score:auto"])
    data = json.loads(json.dumps(request.to_dict()))
    assert data["terms"][1] == {"weight": -2.0, "message": [{"text": "people"}]}
    assert SearchRequest.from_dict(data) == request
    for change in ({"sort": "size"}, {"terms": [{}]}, {"filters": {"after": "soon"}}, {"min_score": "high"}):
        with pytest.raises(DataError):
            SearchRequest.from_dict({**data, **change})


def test_a_request_has_a_title():
    assert parse_request(["/pics/cat.jpg - people folder:x"]).words() == "cat.jpg - people folder: x"
