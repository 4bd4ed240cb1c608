"""`docs/index-format.md` says what is there, and its example runs."""

from __future__ import annotations

import re
import sqlite3
import subprocess
import sys
from dataclasses import fields
from pathlib import Path

import numpy as np

from index.building.build import build_store
from index.search.derive import derive_index
from index.sources.readers import FolderReader
from index.store.manifest import IndexManifest, StoreManifest

PAGE = (Path(__file__).parents[3] / "docs" / "index-format.md").read_text(encoding="utf-8")
SECTIONS = {title: text for title, text in re.findall(r"^## (.*?)\n(.*?)(?=^## |\Z)", PAGE, re.M | re.S)}


def built(album, out, encode, normalise):
    build_store(FolderReader(album), encode, out, encoder_fingerprint="e", preprocessing="to 4 numbers")
    derive_index(out, normalise, "b")
    return out


def test_the_example_runs_without_this_program(album, tmp_path, encode, normalise):
    out = built(album, tmp_path / "out", encode, normalise)
    (code,) = re.findall(r"```python\n(.*?)```", PAGE, re.S)
    assert len(code.strip().splitlines()) <= 14
    script = tmp_path / "read.py"
    script.write_text(code)
    told = subprocess.run([sys.executable, "-P", script, out], capture_output=True, text=True, check=True, cwd=tmp_path)
    lines = told.stdout.splitlines()
    assert len(lines) == 23
    id, source, width, _, height, taken, thumbnail, norm = lines[0].split()
    assert (id, source, taken) == ("0", str(album / "one" / "01.png"), "None") and int(thumbnail) > 100
    assert (width, height) == ("21", "18")
    assert np.isclose(float(norm), np.linalg.norm([*feature_of_hue(1 / 23), 21 / 39]), rtol=2e-2)


def feature_of_hue(hue):
    import colorsys

    return colorsys.hsv_to_rgb(hue, 1, 1)


def test_every_column_and_every_field_is_described(album, tmp_path, encode, normalise):
    out = built(album, tmp_path / "out", encode, normalise)
    rows = sqlite3.connect(out / "rows.sqlite")
    columns = [column[1] for column in rows.execute("PRAGMA table_info(rows)")]
    named = set(re.findall(r"`(\w+)`", SECTIONS["Rows"]))
    assert set(columns) <= named
    tables = [name for (name,) in rows.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
    assert set(tables) <= named | {"rows"}
    store, index = SECTIONS["Manifests"].split("`index.json`:")
    assert {field.name for field in fields(StoreManifest)} <= set(re.findall(r"`(\w+)`", store))
    assert {field.name for field in fields(IndexManifest)} <= set(re.findall(r"`(\w+)`", index))
    assert StoreManifest.read(out / "manifest.json").preprocessing == "to 4 numbers"
    made = {path.name for path in out.iterdir()} - {"bad_pictures.tsv"}
    assert made <= set(re.findall(r"^\| `(.*?)` \|", PAGE, re.M))
