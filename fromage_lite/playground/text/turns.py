"""Documents of the grammar as dialogue turns, the form in which a chat and a bridge's training read them."""

from __future__ import annotations

from dataclasses import dataclass

from fromage_lite.playground.text.document import Document, Picture


@dataclass(frozen=True)
class Turn:
    """One message and its reply; pictures stand in place."""

    message: tuple[str | Picture, ...]
    reply: tuple[str | Picture, ...]


def as_turns(document: Document) -> list[Turn]:
    """The turns of a document that is a dialogue (`Q: …\\nA: …\\n`), without the marks of the template."""
    turns: list[tuple[list[str | Picture], list[str | Picture]]] = []
    for piece in document:
        if isinstance(piece, Picture):
            turns[-1][1 if piece.answer or piece.found else 0].append(piece)
        elif piece.label:
            if text := piece.text.strip():
                turns[-1][1].append(text)
        else:
            if piece.text.startswith("Q:"):
                turns.append(([], []))
            if text := piece.text.removeprefix("Q:").removesuffix("\nA:").strip():
                turns[-1][0].append(text)
    return [Turn(tuple(message), tuple(reply)) for message, reply in turns]
