"""Events as JSON and back."""

from __future__ import annotations

import json

import pytest

from fromage_lite.chat.event_data import event_from_dict, event_to_dict
from fromage_lite.chat.events import ContextPart, Done, Failed, ImagesFound, Notice, RetTrace, Statistics, TextDelta
from fromage_lite.errors import DataError, FromageError
from index.search.hits import Hit

CAT = Hit(7, 0.123456789012345, "/pictures/a \u202e cat.png", "a cat")

EVENTS = [
    TextDelta("ein Käse\n"),
    ImagesFound((CAT,), (Hit(8, -0.5, "https://example.org/b.png"),)),
    ImagesFound(()),
    Notice("The oldest turn is out of view."),
    RetTrace((0.25, 1e-9), ("a", "[RET]"), (ContextPart(1, 12, ("x.png",)), ContextPart(2, 3))),
    Statistics(1, 2, 3, 0.25, 4.5, 0.0),
    Done("a cat", "length"),
]


@pytest.mark.parametrize("event", EVENTS, ids=lambda event: type(event).__name__)
def test_an_event_comes_back_as_it_was(event):
    assert event_from_dict(json.loads(json.dumps(event_to_dict(event)))) == event


def test_an_error_keeps_its_words():
    event = event_from_dict(json.loads(json.dumps(event_to_dict(Failed(DataError("It is gone.", "Look elsewhere."))))))
    assert isinstance(event, Failed) and isinstance(event.error, FromageError)
    assert (event.error.message, event.error.hint) == ("It is gone.", "Look elsewhere.")


def test_the_form_that_programs_rely_on():
    assert event_to_dict(TextDelta("a")) == {"event": "text_delta", "text": "a"}
    assert event_to_dict(ImagesFound((CAT,))) == {
        "event": "images_found",
        "images": [{"id": 7, "path": CAT.source, "score": CAT.score, "caption": "a cat"}],
        "more": [],
    }
    assert event_to_dict(Done("a", "stop")) == {"event": "done", "text": "a", "reason": "stop"}


@pytest.mark.parametrize(
    "data",
    [
        {},
        {"event": "explode"},
        {"event": "text_delta"},
        {"event": "done", "text": "a", "reason": "stop", "more": 1},
        {"event": "images_found", "images": [{"id": "x"}], "more": []},
        {"event": "images_found", "images": 3, "more": []},
    ],
)
def test_other_data_is_refused(data):
    with pytest.raises(DataError):
        event_from_dict(data)
