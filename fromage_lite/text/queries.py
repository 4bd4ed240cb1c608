"""How the words of a search stand before `[RET]`: in the form in which the model has learnt to search. And which words
of a message are a search."""

from __future__ import annotations

import re
from collections.abc import Sequence

from fromage_lite.text.marks import without_marks
from fromage_lite.text.message import Segment, join_texts

GAP = "{}"
"""Where the words stand in a form."""

_PICTURES = r"(?:pictures?|photos?|photographs?|images?|pics?)"
_POLITE = r"(?:(?:hi|hello|please|now|and|then|ok(?:ay)?|can you|could you|would you|will you)[,\s]+)*"
_SHOW = (
    r"(?:show(?: me| us)?|find(?: me| us)?|search for|look for|draw(?: me)?|let me see|can i see|i want to see"
    r"|i(?: would|'d) like to see|i(?: am|'m) looking for)"
)
_HAVE = r"(?:give me|get me|do you have|have you got|got|is there|are there|i want|i need|i(?: would|'d) like)"
_OF = rf"(?:(?:an?|the|some|any|another|more|other|your|my) )?{_PICTURES}(?: (?:of|with|showing))"
_REQUEST = re.compile(
    rf"{_POLITE}(?:{_SHOW} (?:{_OF} )?|(?:{_HAVE} )?{_OF} )(?P<what>.+?)(?:,? please)?[\s.!?]*", re.IGNORECASE
)
_NO_THING = re.compile(rf"(?:(?:it|that|this|them|more|another(?: one)?|one|{_PICTURES})\W*)", re.IGNORECASE)


def requested(text: str) -> str:
    """What a message asks to see: "please show me a picture of two cats" -> "two cats"; "" if it asks for no picture,
    or for one that only the dialogue tells ("show me another one")."""
    found = _REQUEST.fullmatch(" ".join(text.split()))
    return found["what"] if found is not None and not _NO_THING.fullmatch(found["what"]) else ""


def query_segments(form: str, segments: Sequence[Segment]) -> list[Segment]:
    """The prompt of a search.

    Args:
        form: text with one `GAP`; the gap alone leaves the segments as they are.
        segments: words and pictures, read as one message.
    """
    if form == GAP:
        return list(segments)
    before, after = form.split(GAP)
    rendered: list[Segment] = [before]
    for position, segment in enumerate(segments):
        blank = " " if position else ""
        if isinstance(segment, str):
            rendered.append(blank + " ".join(without_marks(segment).split()))
        else:
            rendered += [blank, segment]
    return join_texts([*rendered, after])
