"""How the words of a search stand before `[RET]`: in the form in which the model has learnt to search."""

from __future__ import annotations

from collections.abc import Sequence

from fromage_lite.text.marks import without_marks
from fromage_lite.text.message import Segment, join_texts

GAP = "{}"
"""Where the words stand in a form."""


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
