"""Dates as people type them."""

from __future__ import annotations

from datetime import datetime

import pytest

from index.errors import FilterError
from index.store.dates import period


@pytest.mark.parametrize(
    ("typed", "start", "end"),
    [
        ("2024", (2024, 1, 1), (2025, 1, 1)),
        ("2024-02", (2024, 2, 1), (2024, 3, 1)),
        ("2024-12", (2024, 12, 1), (2025, 1, 1)),
        ("2024-1", (2024, 1, 1), (2024, 2, 1)),
        ("2024-02-29", (2024, 2, 29), (2024, 3, 1)),
        ("2024-12-31", (2024, 12, 31), (2025, 1, 1)),
        ("2024-05-17T14:30", (2024, 5, 17, 14, 30), (2024, 5, 17, 14, 31)),
        ("2024-05-17 14:30:59", (2024, 5, 17, 14, 30, 59), (2024, 5, 17, 14, 31)),
        ("may 2024", (2024, 5, 1), (2024, 6, 1)),
        ("September 2024", (2024, 9, 1), (2024, 10, 1)),
        ("2024 Sept", (2024, 9, 1), (2024, 10, 1)),
        ("17 may 2024", (2024, 5, 17), (2024, 5, 18)),
    ],
)
def test_a_date_is_a_time_from_its_first_moment_to_the_next(typed, start, end):
    assert period(typed) == (datetime(*start), datetime(*end))


@pytest.mark.parametrize(
    "typed", ["", "soon", "may", "24", "2024-13", "2023-02-29", "2024/05", "17.5.2024", "9999", "mayo 2024"]
)
def test_what_is_no_date_is_said_with_what_would_be(typed):
    with pytest.raises(FilterError, match="date") as error:
        period(typed)
    assert "2024-05-17" in error.value.hint
