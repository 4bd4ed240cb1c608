"""A report as Markdown; its plots and pictures are files beside it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from html import escape

from fromage_lite.evaluate.report.document import Block, Code, Plot, Report, Samples, Table
from fromage_lite.evaluate.tasks.result import Sample

_MARKS = re.compile(r"([\\`*_{}\[\]|#~])")


def markdown_page(report: Report, pictures: Mapping[str, str]) -> str:
    """The whole page.

    Args:
        report: what it says.
        pictures: the thumbnails' files, relative to the page, by the pictures' ids; plots are in `plots/NAME.png`.
    """
    lines = [f"# {_plain(report.title)}", _plain(report.facts)]
    for section in report.sections:
        lines.append(f"## {_plain(section.title)}")
        for block in section.blocks:
            lines += _block(block, pictures)
    return "\n\n".join(lines) + "\n"


def _block(block: Block, pictures: Mapping[str, str]) -> Iterator[str]:
    match block:
        case str():
            yield _plain(block)
        case Code():
            yield "\n".join("    " + line for line in block.text.splitlines())
        case Table():
            rows = [block.columns, ["---"] * len(block.columns)]
            lines = ["| " + " | ".join(row) + " |" for row in rows[1:]]
            lines.insert(0, "| " + " | ".join(map(_plain, block.columns)) + " |")
            yield "\n".join([*lines, *("| " + " | ".join(map(_plain, row)) + " |" for row in block.rows)])
        case Plot():
            yield f"![{_plain(block.title)}](plots/{block.name}.png)"
        case Samples():
            for sample in block.samples:
                yield "\n".join(_sample(sample, pictures))


def _sample(sample: Sample, pictures: Mapping[str, str]) -> Iterator[str]:
    yield f"- **{'right' if sample.is_right else 'wrong'}**"
    if sample.asked:
        yield f"  - given: {_plain(sample.asked)}"
    if images := _images(sample.shown, pictures):
        yield f"  - shown: {images}"
    if sample.said or not sample.found:
        yield f"  - said: {_plain(sample.said)}"
    if sample.wanted:
        yield f"  - right: {_plain(sample.wanted)}"
    if images := _images(sample.found, pictures):
        yield f"  - found: {images}"
    if not sample.is_right and (images := _images((sample.wanted_picture,), pictures)):
        yield f"  - right: {images}"


def _images(ids: tuple[str, ...], pictures: Mapping[str, str]) -> str:
    return " ".join(f"![picture {_plain(id)}]({pictures[id]})" for id in ids if id in pictures)


def _plain(text: str) -> str:
    """A text whose characters mean nothing to Markdown."""
    return _MARKS.sub(r"\\\1", escape(" ".join(text.split()), quote=False))
