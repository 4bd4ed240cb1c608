"""A report as one HTML page with its plots and pictures inside. It loads nothing, and runs nothing."""

from __future__ import annotations

import base64
from collections.abc import Iterator, Mapping
from html import escape

from fromage_lite.evaluate.report.document import Block, Code, Plot, Report, Samples, Table
from fromage_lite.evaluate.tasks.result import Sample

_HEAD = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; img-src data:; style-src 'unsafe-inline'">
<title>{title}</title>
<style>
:root {{ color-scheme: light; }}
body {{ font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; color: #222; }}
table {{ border-collapse: collapse; margin: 1rem 0; font-size: .9rem; display: block; overflow-x: auto; }}
th, td {{ border-bottom: 1px solid #ccc; padding: .25rem .7rem; text-align: left; vertical-align: top; }}
.facts {{ color: #666; }} pre {{ background: #f3f3f3; padding: .7rem; overflow-x: auto; }}
.sample {{ border-left: 4px solid #b33; padding: .3rem .8rem; margin: .8rem 0; background: #faf6f5; }}
.sample.right {{ border-color: #2d7d46; background: #f4f9f5; }}
.sample p {{ margin: .2rem 0; overflow-wrap: anywhere; }}
.sample img {{ height: 110px; margin: .2rem; border-radius: 4px; }} .sample img.wanted {{ outline: 3px solid #2d7d46; }}
img.plot {{ max-width: 100%; height: auto; }}
</style>
</head>
<body>
"""


def html_page(report: Report, plots: Mapping[str, bytes], pictures: Mapping[str, bytes]) -> str:
    """The whole page.

    Args:
        report: what it says.
        plots: PNG files by the plots' names.
        pictures: thumbnails by the pictures' ids.
    """
    title = escape(report.title)
    lines = [_HEAD.format(title=title), f"<h1>{title}</h1>", f'<p class="facts">{escape(report.facts)}</p>']
    for section in report.sections:
        lines.append(f"<h2>{escape(section.title)}</h2>")
        for block in section.blocks:
            lines += _block(block, plots, pictures)
    return "\n".join([*lines, "</body>\n</html>\n"])


def _block(block: Block, plots: Mapping[str, bytes], pictures: Mapping[str, bytes]) -> Iterator[str]:
    match block:
        case str():
            yield f"<p>{escape(block)}</p>"
        case Code():
            yield f"<pre>{escape(block.text)}</pre>"
        case Table():
            yield "<table><tr>" + "".join(f"<th>{escape(cell)}</th>" for cell in block.columns) + "</tr>"
            for row in block.rows:
                yield "<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>"
            yield "</table>"
        case Plot():
            yield f'<img class="plot" alt="{escape(block.title)}" src="{_data(plots[block.name])}">'
        case Samples():
            for sample in block.samples:
                yield from _sample(sample, pictures)


def _sample(sample: Sample, pictures: Mapping[str, bytes]) -> Iterator[str]:
    yield f'<div class="sample{" right" if sample.is_right else ""}">'
    if sample.asked:
        yield f"<p><b>Given:</b> {escape(sample.asked)}</p>"
    yield from _images(sample.shown, pictures, "")
    if sample.said or not sample.found:
        yield f"<p><b>Said:</b> {escape(sample.said)}</p>"
    if sample.wanted:
        yield f"<p><b>Right:</b> {escape(sample.wanted)}</p>"
    if sample.found:
        yield "<p><b>Found, the best first:</b></p>"
        yield from _images(sample.found, pictures, sample.wanted_picture)
        if sample.wanted_picture and not sample.is_right:
            yield "<p><b>Right:</b></p>"
            yield from _images((sample.wanted_picture,), pictures, sample.wanted_picture)
    yield "</div>"


def _images(ids: tuple[str, ...], pictures: Mapping[str, bytes], wanted: str) -> Iterator[str]:
    for id in ids:
        if id in pictures:
            mark = ' class="wanted"' if id == wanted else ""
            yield f'<img{mark} alt="picture {escape(id)}" src="{_data(pictures[id])}">'


def _data(content: bytes) -> str:
    kind = "png" if content.startswith(b"\x89PNG") else "jpeg"
    return f"data:image/{kind};base64,{base64.b64encode(content).decode()}"
