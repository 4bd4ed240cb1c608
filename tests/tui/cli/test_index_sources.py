"""`fromage-lite index` on tars and web addresses, and how their pictures are found again, shown and verified."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
import tarfile

import pytest
from PIL import Image

from fromage_lite.config import LoadOptions
from fromage_lite.doctor import examine
from fromage_lite.start import load_agent
from index.search.hits import Hit
from index.store.feature_store import FeatureStore
from tests.tui.command_line import call
from tui.pictures.files import file_of, load_large, save_copy, suggested_name
from tui.pictures.thumbnails import load_hit


@pytest.fixture
def run(tiny_checkpoint):
    def run(*arguments, code=0):
        result = call("index", *map(str, arguments), "--model", str(tiny_checkpoint), "--device", "cpu")
        assert result.exit_code == code, (result.output, result.exception)
        return result

    return run


@pytest.fixture
def shards(album, tmp_path):
    """The album in a tar, as WebDataset has it."""
    path = tmp_path / "shards" / "00000.tar"
    path.parent.mkdir()
    with tarfile.open(path, "w") as tar:
        for number, picture in enumerate(sorted(album.rglob("[0-9]*.png"))):
            for suffix, data in ((".png", picture.read_bytes()), (".txt", f"picture {number}".encode())):
                header = tarfile.TarInfo(f"{number:09d}{suffix}")
                header.size = len(data)
                tar.addfile(header, io.BytesIO(data))
    return path.parent


def test_pictures_in_a_tar_are_found_shown_saved_and_verified(run, shards, album, tmp_path, tiny_checkpoint):
    out = tmp_path / "index"
    assert "23 pictures, 23 with a caption (23 new); 0 bad files skipped" in run(shards, "--out", out).stdout
    place = f"{shards}/00000.tar#000000007.png"
    found = call("search", "--index", str(out), "--model", str(tiny_checkpoint), "--device", "cpu", "--json", place)
    assert found.exit_code == 0, found.output
    assert json.loads(found.stdout.splitlines()[0])  # the picture in the tar is a query, too

    options = LoadOptions(model=str(tiny_checkpoint), index=str(out), device="cpu")
    agent = load_agent(options)
    store = FeatureStore.open(out)
    hit = Hit(store.find(place), 0.5, *store.row(store.find(place)))
    assert (hit.source, hit.caption) == (place, "picture 7")
    assert agent.engine.has_picture(hit) and agent.engine.is_at_hand(hit)
    assert len(agent.engine.found_features([hit])) == 1
    shown = load_hit(agent, hit)
    assert suggested_name(shown) == "000000007.png"
    with Image.open(sorted(album.rglob("[0-9]*.png"))[7]) as picture:
        assert load_large(shown).size == picture.size
    saved = save_copy(shown, tmp_path)
    with tarfile.open(shards / "00000.tar") as tar:
        original = tar.extractfile("000000007.png").read()
    assert saved.name == "000000007.png" and saved.read_bytes() == original == file_of(shown).read_bytes()

    checks = {check.name: check for check in examine(options)}
    assert (checks["index files"].fault, checks["pictures embedded again"].value) == ("", "23")
    assert checks["pictures embedded again"].fault == ""


def test_addresses_are_fetched_and_losses_told_by_cause(run, web, album, tmp_path):
    address, pages, _ = web
    pictures = sorted(album.rglob("[0-9]*.png"))
    for number, picture in enumerate(pictures):
        pages[f"/{number}.png"] = (200, {}, picture.read_bytes())
    table = tmp_path / "cc3m.tsv"
    table.write_text("".join(f"picture {number}\t{address}/{number}.png\n" for number in range(45)))
    out = tmp_path / "index"
    said = run(table, "--out", out, "--downloads", 2, "--per-host", 100000).stdout
    assert f"  22 x HTTP 404: {address}/23.png\n" in said and said.count("HTTP 404") == 1
    assert f"23 pictures, 23 with a caption (23 new); 22 bad files skipped, listed in {out}/bad_pictures.tsv" in said
    words = json.loads(FeatureStore.open(out)._query("SELECT value FROM meta WHERE name = 'resume'")[0][0])
    assert words[:5] == [str(table), "--downloads", "2", "--per-host", "100000"]
    assert "23 unchanged" in run(table, "--out", out, "--per-host", 100000).stdout


def test_files_are_left_out_by_pattern(run, album, tmp_path):
    said = run(album, "--out", tmp_path / "index", "--exclude", "two/", "--exclude", "1*.png").stdout
    assert "6 pictures" in said  # 01, 03, 05, 07, 09 and 21


def test_what_is_not_there_is_one_sentence(run, tmp_path):
    assert "There is no" in run(tmp_path / "nothing", "--out", tmp_path / "index", code=2).stderr


@pytest.mark.skipif(os.name != "posix", reason="sends a signal")
def test_watched_pictures_are_indexed_as_they_come_and_go_until_ctrl_c(album, tiny_checkpoint, tmp_path):
    pytest.importorskip("watchfiles")
    words = [album, "--out", tmp_path / "out", "--model", tiny_checkpoint, "--device", "cpu", "--watch", "--json"]
    process = subprocess.Popen(
        [sys.executable, "-m", "tui", "index", *map(str, words)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None and process.stderr is not None

    def next_of(event):
        return next(found for line in process.stdout if (found := json.loads(line))["event"] == event)

    try:
        assert next_of("done")["pictures"] == 23
        assert next_of("notice")["message"] == "Watching for changes; Ctrl-C ends it."
        (album / "new.png").write_bytes((album / "one" / "01.png").read_bytes())
        (album / "one" / "03.png").unlink()
        done = next_of("done")
        assert (done["pictures"], done["changed"], done["reused"]) == (23, 2, 1)
        process.send_signal(signal.SIGINT)
        errors = process.stderr.read()
        assert process.wait() == 130
        assert errors.splitlines()[-1] == "No longer watching; what is indexed stays so."
    finally:
        process.kill()
        process.wait()


def test_what_cannot_be_watched_is_refused(album, tiny_checkpoint, tmp_path):
    words = ("--out", tmp_path / "out", "--model", tiny_checkpoint)
    assert "--watch needs folders or files" in call("index", *map(str, ("nowhere", *words)), "--watch").stderr
    refused = call("index", *map(str, (album, *words)), "--encoder-of", str(tiny_checkpoint))
    assert refused.exit_code == 2 and "--encoder-of needs an output folder of clip-retrieval" in refused.stderr
