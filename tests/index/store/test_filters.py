"""Filters give exactly the pictures that pass, also in stores of an earlier version."""

from __future__ import annotations

import sqlite3
import time
from datetime import datetime

import numpy as np
import pytest

from index.errors import FilterError
from index.pictures.facts import Facts
from index.store.feature_store import FeatureStore, FeatureStoreWriter, NewRow
from index.store.filters import Filters


def seconds(*date: int) -> int:
    return int(time.mktime((*date, 12, 0, 0, 0, 0, -1))) * 10**9


# (source, caption, taken, modified, width, height, bytes)
ROWS = [
    (
        "/pics/holiday/a.jpg",
        "A cat on the beach.",
        "2024-05-03T14:22:05+02:00",
        seconds(2026, 1, 1),
        4000,
        3000,
        3_000_000,
    ),
    ("/pics/holiday/b.jpg", "Two dogs", None, seconds(2024, 5, 20), 3000, 4000, 900_000),
    ("/pics/Holiday 2/c.jpg", "Überfluss an Straßen", "2023-12-31T23:59:59", seconds(2024, 5, 20), 800, 800, 80_000),
    ("/pics/work/d.png", "category theory", "2024-06-01T00:00:00", None, None, None, None),
    ("/data/00003.tar#holiday%2Fe.jpg", "sunset, sunrise", None, None, 1000, 500, 400_000),
    ("https://example.org/holiday/f.jpg", "sun_day 100%", None, None, 640, 480, None),
    ("/pics/holiday.jpg", "", "2022-01-01T08:00:00", None, 10, 10, 100),
    ("/pics/holiday2/g.jpg", "cat", "2024-05-31T23:59:59-10:00", None, 1920, 1080, 500_000),
]


def write(path, rows):
    with FeatureStoreWriter(path, 2, "e") as writer:
        new = [
            NewRow(
                source=source,
                caption=caption,
                stamp=(size or 1, modified) if modified else None,
                facts=Facts(width, height, size, taken),
            )
            for source, caption, taken, modified, width, height, size in rows
        ]
        writer.append(np.ones((len(rows), 2)), new, [b""] * len(rows))


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    path = tmp_path_factory.mktemp("filters")
    write(path, [*ROWS, ("/pics/holiday/gone.jpg", "cat", "2024-05-03T14:22:05", None, 4000, 3000, 5)])
    with FeatureStoreWriter(path, 2, "e") as writer:
        writer.remove([len(ROWS)])
    opened = FeatureStore.open(path)
    yield opened
    opened.close()


@pytest.mark.parametrize(
    ("filters", "letters"),
    [
        (Filters(), "abcdef.g"),
        (Filters(folder="/pics/holiday"), "ab"),
        (Filters(folder="/pics/holiday/"), "ab"),
        (Filters(folder="/pics"), "abcd.g"),
        (Filters(folder="holiday"), "abf"),
        (Filters(folder="HOLIDAY"), "abf"),
        (Filters(folder="holiday 2"), "c"),
        (Filters(folder="pics/holiday"), "ab"),
        (Filters(folder="holi_ay"), ""),
        (Filters(folder="/data/00003.tar"), "e"),
        (Filters(folder="00003.tar"), "e"),
        (Filters(folder="https://example.org/"), "f"),
        (Filters(date="2024-05"), "abg"),
        (Filters(after="2024-05", before="2024-06"), "abg"),
        (Filters(after="2024-05-04"), "bdg"),
        (Filters(before="2024"), "c."),
        (Filters(after="2024-05-03T14:22:05", before="2024-05-03T14:22:06"), "a"),
        (Filters(date="2024-05-20"), "b"),
        (Filters(date="2024", after="2024-06"), "d"),
        (Filters(after="2030"), ""),
        (Filters(before="0001"), ""),
        (Filters(caption="cat"), "ag"),
        (Filters(caption="CAT beach"), "a"),
        (Filters(caption="cat*"), "adg"),
        (Filters(caption="überfluss"), "c"),
        (Filters(caption="STRASSEN"), "c"),
        (Filters(caption="sun*"), "ef"),
        (Filters(caption="sun"), ""),
        (Filters(caption="100%"), "f"),
        (Filters(min_size="1920x1080"), "abg"),
        (Filters(min_size="1080x1920"), "abg"),
        (Filters(min_size="1000"), "abeg"),
        (Filters(min_size="2mp"), "abg"),
        (Filters(min_size="12 MP"), "ab"),
        (Filters(min_size="500kB"), "abg"),
        (Filters(max_size="500kb"), "ce.g"),
        (Filters(min_size="0.5mb", max_size="1mb"), "bg"),
        (Filters(orientation="landscape"), "aefg"),
        (Filters(orientation="Portrait"), "b"),
        (Filters(orientation="square"), "c."),
        (Filters(folder="holiday", after="2024", orientation="portrait"), "b"),
    ],
    ids=str,
)
def test_exactly_the_pictures_that_pass(store, filters, letters):
    ids = store.select(filters)
    assert ids.dtype == np.int64 and list(ids) == sorted(ids)
    assert "".join("abcdef.g"[id] for id in ids) == letters


def test_a_path_may_start_at_home_or_here(store, monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", "/pics")
    assert list(store.select(Filters(folder="~/holiday"))) == [0, 1]
    (tmp_path / "sub").mkdir()
    monkeypatch.chdir(tmp_path)
    assert list(store.select(Filters(folder="./holiday"))) == []


@pytest.mark.parametrize(
    "wrong",
    [
        {"after": "soon"},
        {"min_size": "big"},
        {"max_size": "-3"},
        {"orientation": "diagonal"},
        {"caption": "..."},
    ],
    ids=str,
)
def test_what_can_t_be_understood_is_said(wrong):
    with pytest.raises(FilterError):
        Filters(**wrong)


def test_a_folder_s_name_is_never_read_as_sql(store):
    assert list(store.select(Filters(folder="'; DROP TABLE rows; --"))) == []
    assert len(store.select(Filters())) == len(ROWS)


def test_filters_travel_as_plain_data():
    filters = Filters(folder="holiday", after="2024-05", min_size="2mp")
    assert filters.to_dict() == {"folder": "holiday", "after": "2024-05", "min_size": "2mp"}
    assert Filters.from_dict(filters.to_dict()) == filters
    assert filters and not Filters()
    for bad in ({"colour": "red"}, {"after": 2024}, {"after": "never"}):
        with pytest.raises(FilterError):
            Filters.from_dict(bad)


def test_dates_are_looked_up_in_an_index(store):
    rows = sqlite3.connect(store.path / "rows.sqlite")
    (condition, values), *_ = Filters(date="2024-05").clauses()
    plan = rows.execute(f"EXPLAIN QUERY PLAN SELECT id FROM rows WHERE removed = 0 AND {condition}", values).fetchall()
    words = " ".join(row[3] for row in plan)
    assert "row_taken" in words and "row_modified" in words and "SCAN" not in words


def older(path) -> None:
    """Makes the store one of an earlier version: its rows end with the hash of the file."""
    rows = sqlite3.connect(path / "rows.sqlite")
    with rows:
        for index in ("row_taken", "row_modified"):
            rows.execute(f"DROP INDEX {index}")
        for column in ("width", "height", "bytes", "taken", "phash"):
            rows.execute(f"ALTER TABLE rows DROP COLUMN {column}")
        rows.execute("DELETE FROM meta WHERE name = 'facts'")
    rows.close()


def test_an_older_store_knows_what_it_knows(tmp_path):
    write(tmp_path, ROWS)
    older(tmp_path)
    store = FeatureStore.open(tmp_path)
    assert store.facts([1]) == [Facts(file_bytes=900_000, modified_ns=seconds(2024, 5, 20))]
    assert list(store.select(Filters(folder="/pics/holiday"))) == [0, 1]
    assert list(store.select(Filters(date="2024-05"))) == [1, 2], "by the date of the file"
    assert list(store.select(Filters(min_size="1mp"))) == []
    assert list(store.select(Filters(min_size="1mb"))) == [0]
    assert datetime.fromtimestamp(seconds(2024, 5, 20) // 10**9).day == 20
    store.close()
