"""Hits as plain data."""

import json

import pytest

from index.search.hits import FOREIGN, Hit

CAT = Hit(7, 0.125, "/pictures/a cat.png", "a cat")


def test_a_hit_has_one_json_form():
    assert CAT.to_dict() == {"id": 7, "path": "/pictures/a cat.png", "score": 0.125, "caption": "a cat"}
    assert Hit.from_dict(json.loads(json.dumps(CAT.to_dict()))) == CAT


def test_a_hit_says_whether_its_file_is_gone():
    gone = Hit(7, 0.125, "/pictures/a cat.png", "a cat", gone=True)
    assert gone.to_dict() == {**CAT.to_dict(), "gone": True}
    assert Hit.from_dict(gone.to_dict()) == gone


@pytest.mark.parametrize(
    "text, hit",
    [
        ('{"id": 7, "score": 0.125, "source": "/pictures/a cat.png", "caption": "a cat"}', CAT),
        ('{"id": -1, "score": 0, "source": "http://example.org/b.png"}', Hit(FOREIGN, 0.0, "http://example.org/b.png")),
        ('{"id": 7, "path": "/pictures/a cat.png", "score": 0.125, "caption": "a cat", "more": 1}', CAT),
    ],
)
def test_what_earlier_versions_saved_is_read(text, hit):
    assert Hit.from_dict(json.loads(text)) == hit


@pytest.mark.parametrize(
    "text",
    [
        "{}",
        '{"id": 7, "score": 0.5}',
        '{"id": "7", "score": 0.5, "path": "/a"}',
        '{"id": true, "score": 0.5, "path": "/a"}',
        '{"id": 7, "score": null, "path": "/a"}',
        '{"id": 7, "score": "0.5", "path": "/a"}',
        '{"id": 7, "score": 0.5, "path": null}',
        '{"id": 7, "score": 0.5, "path": "/a", "caption": 3}',
        '{"id": 7, "score": 0.5, "path": "/a", "gone": 1}',
        '{"id": 7, "score": 0.5, "path": "/a", "alike": "/b"}',
        '{"id": 7, "score": 0.5, "path": "/a", "alike": [1]}',
        "[1]",
        f'{{"id": 7, "score": {10**400}, "path": "/a"}}',
    ],
)
def test_what_is_no_hit_is_refused(text):
    with pytest.raises((KeyError, TypeError, OverflowError)):
        Hit.from_dict(json.loads(text))


def test_a_hit_names_the_pictures_that_it_stands_for():
    stands = Hit(7, 0.125, "/pictures/a cat.png", "a cat", alike=("/pictures/copy.png",))
    assert stands.to_dict() == {**CAT.to_dict(), "alike": ["/pictures/copy.png"]}
    assert Hit.from_dict(json.loads(json.dumps(stands.to_dict()))) == stands
