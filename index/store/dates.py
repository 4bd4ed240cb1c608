"""Dates as people type them, and what they mean."""

from __future__ import annotations

import re
from datetime import datetime, timedelta

from index.errors import FilterError
from index.text import one_line

MONTHS = (
    *("january", "february", "march", "april", "may", "june"),
    *("july", "august", "september", "october", "november", "december"),
)
HINT = "Write it as 2024, 2024-05 or 2024-05-17."

_ISO = re.compile(r"(\d{4})(?:-(\d{1,2})(?:-(\d{1,2})(?:[T ](\d{1,2}):(\d\d)(?::(\d\d))?)?)?)?")
_NAMED = re.compile(r"(?:(\d{1,2})[. -]+)?([a-z]{3,9})\.?[ -]+(\d{4})|(\d{4})[ -]+([a-z]{3,9})", re.IGNORECASE)


def period(text: str) -> tuple[datetime, datetime]:
    """The time that a date means, from its first moment to the first one after it, by the clock on the spot.

    Args:
        text: a year `2024`, a month `2024-05` or `may 2024`, a day `2024-05-17` or `17 may 2024`, or a time
            `2024-05-17T14:30`.

    Raises:
        FilterError: it is none of these.
    """
    numbers = _numbers(" ".join(text.split()))
    if numbers is None:
        raise FilterError(f"I can't read the date {one_line(text, 40)!r}.", HINT)
    try:
        start = datetime(*(numbers + [1, 1])[: max(3, len(numbers))])  # type: ignore[arg-type]
        return start, _end(start, len(numbers))
    except (ValueError, OverflowError):
        raise FilterError(
            f"There is no date {one_line(text, 40)}.", "Write it as 2024, 2024-05 or 2024-05-17."
        ) from None


def _numbers(text: str) -> list[int] | None:
    """Year, month, day, hour, minute, second, as far as they are given."""
    if match := _ISO.fullmatch(text):
        return [int(number) for number in match.groups() if number is not None]
    if match := _NAMED.fullmatch(text):
        day, month, year, first_year, second_month = match.groups()
        name = (month or second_month).lower()
        for number, known in enumerate(MONTHS, start=1):
            if known.startswith(name):
                return [int(year or first_year), number, *([int(day)] if day else [])]
    return None


def _end(start: datetime, known: int) -> datetime:
    if known == 1:
        return start.replace(year=start.year + 1)
    if known == 2:
        return (start + timedelta(days=31)).replace(day=1)
    return start + {3: timedelta(days=1), 5: timedelta(minutes=1)}.get(known, timedelta(seconds=1))
