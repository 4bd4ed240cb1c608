"""Counting failures: millions of them in little memory, and hostile texts."""

from __future__ import annotations

import json

import pytest

from index.building.failures import BAD_LIST, FAILURES, OTHER, BadPicture, Failures


@pytest.fixture
def failures():
    found = Failures()
    yield found
    found.close()


def test_causes_are_counted_with_the_first_example(failures, tmp_path):
    for number in range(5):
        failures.add(BadPicture(f"/{number}.png", f"/{number}.png is empty.", "empty" if number else "missing"))
    failures.write(tmp_path, tried=9)
    assert json.loads((tmp_path / FAILURES).read_text()) == {
        "pictures": 9,
        "failed": 5,
        "causes": [
            {"cause": "empty", "count": 4, "example": "/1.png", "reason": "/1.png is empty."},
            {"cause": "missing", "count": 1, "example": "/0.png", "reason": "/0.png is empty."},
        ],
    }
    assert (tmp_path / BAD_LIST).read_text().splitlines()[4] == "/4.png\t/4.png is empty."


def test_a_flood_of_failures_and_of_causes_is_bounded_in_memory_and_whole_on_disk(failures, tmp_path, monkeypatch):
    monkeypatch.setattr("index.building.failures.MOST_KEPT", 10)
    monkeypatch.setattr("index.building.failures.MOST_CAUSES", 3)
    monkeypatch.setattr("index.building.failures._SPOOL", 100)
    for number in range(50):
        failures.add(BadPicture(f"/{number}.png", "no", f"cause {number}"))
    assert (len(failures), len(failures.first)) == (50, 10)
    assert [(cause.cause, cause.count) for cause in failures.causes()][:2] == [(OTHER, 47), ("cause 0", 1)]
    failures.write(tmp_path, tried=50)
    assert len((tmp_path / BAD_LIST).read_text().splitlines()) == 50


def test_texts_from_data_are_cleaned(failures, tmp_path):
    failures.add(BadPicture("a\x1b[31m\ud800.png", "no", "cause\x1b]0;owned\x07\nof two lines"))
    failures.write(tmp_path, tried=1)
    (cause,) = json.loads((tmp_path / FAILURES).read_text())["causes"]
    assert (cause["cause"], cause["example"]) == ("cause of two lines", "a\ufffd.png")


def test_without_failures_earlier_reports_go(failures, tmp_path):
    for name in (BAD_LIST, FAILURES):
        (tmp_path / name).write_text("old")
    failures.write(tmp_path, tried=3)
    assert list(tmp_path.iterdir()) == []
