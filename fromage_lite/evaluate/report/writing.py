"""A report's files: report.html, report.md, plots/, pictures/."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

from fromage_lite.errors import StoreError
from fromage_lite.evaluate.report.document import Plot, Report
from fromage_lite.evaluate.report.html import html_page
from fromage_lite.evaluate.report.markdown import markdown_page
from fromage_lite.evaluate.report.pictures import thumbnails
from fromage_lite.evaluate.report.plots import draw
from index.errors import reason
from index.files import write_bytes


def write_report(report: Report, folder: Path, path_of: Callable[[str], Path | None]) -> Path:
    """Writes all files, each atomically; returns the HTML page's path.

    Args:
        report: what it says.
        folder: where to.
        path_of: the file of a picture; None if there is none.

    Raises:
        ConfigError: matplotlib is not installed.
        StoreError: a file can't be written.
    """
    blocks = [block for section in report.sections for block in section.blocks]
    plots = {block.name: draw(block) for block in blocks if isinstance(block, Plot)}
    pictures = thumbnails(report, path_of)
    names = {id: f"pictures/{hashlib.sha256(id.encode()).hexdigest()[:16]}.jpg" for id in pictures}
    page = folder / "report.html"
    try:
        for name, content in plots.items():
            write_bytes(folder / "plots" / f"{name}.png", content)
        for id, content in pictures.items():
            write_bytes(folder / names[id], content)
        write_bytes(folder / "report.md", markdown_page(report, names).encode())
        write_bytes(page, html_page(report, plots, pictures).encode())
    except OSError as error:
        raise StoreError(f"The report can't be written to {folder}: {reason(error)}.", "Name another --out.") from error
    return page
