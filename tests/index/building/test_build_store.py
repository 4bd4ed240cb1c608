"""Builds: order, captions, bad files, interruptions, second runs."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from index.building.build import BAD_LIST, FolderReader, TsvReader, build_store, derive_index
from index.errors import StoreError
from index.search.faiss_index import ImageIndex
from index.store.feature_store import FeatureStore

ROOT = Path(__file__).parents[3]


class Counting:
    """An encoder that remembers how many pictures it saw, and fails at a given call."""

    def __init__(self, encode, fail_at=None, error=KeyboardInterrupt):
        self.encode, self.fail_at, self.error = encode, fail_at, error
        self.calls, self.pictures = 0, 0

    def __call__(self, images):
        self.calls += 1
        if self.calls == self.fail_at:
            raise self.error
        self.pictures += len(images)
        return self.encode(images)


def build(reader, embed, out, **options):
    return build_store(reader, embed, out, **{"encoder_fingerprint": "mean-colour", "batch_size": 4, **options})


def contents(path):
    store = FeatureStore.open(path)
    rows = [(*store.row(int(id)), store.thumbnail(int(id))) for id in store.live_ids()]
    return store.features[store.live_ids()].tobytes(), rows


def test_a_folder_becomes_a_store(album, tmp_path, encode):
    steps = []
    report = build(FolderReader(album), encode, tmp_path / "out", progress=lambda *step: steps.append(step))
    assert (report.added, report.total, report.captioned, report.bad) == (23, 23, 4, [])
    assert steps == [(done, 23) for done in range(1, 24)]
    store = FeatureStore.open(tmp_path / "out")
    sources = [source for _, source, _ in store.iter_rows()]
    odd, even = ([f"{number:02d}.png" for number in range(start, 23, 2)] for start in (1, 0))
    assert sources == [f"{album}/one/{name}" for name in odd] + [f"{album}/two/deep/{name}" for name in even]
    for id, source, caption in store.iter_rows():
        number = int(Path(source).stem)
        assert caption == (f"picture number {number}" if number < 4 else "")
        with Image.open(source) as image:
            assert store.features[id] == pytest.approx(encode([image.convert("RGB")])[0], abs=1e-3)


def test_the_picture_asked_for_is_found(album, tmp_path, encode, normalise):
    build(FolderReader(album), encode, tmp_path)
    for path in album.rglob("*.png"):
        path.unlink()  # an index for a new bridge opens no picture
    derive_index(tmp_path, lambda features: normalise(features[:, :3]), "bridge")
    (hits,) = ImageIndex.open(tmp_path, "bridge").search(normalise([[0.0, 0.0, 1.0]]), 2)
    # Blue is hue 2/3, and picture n has the hue n/23: 15/23 = 0.652 and 16/23 = 0.696 are nearest.
    assert [Path(hit.source).stem for hit in hits] == ["15", "16"]


@pytest.mark.parametrize("fail_at", [1, 2, 3, 6])
@pytest.mark.parametrize("error", [KeyboardInterrupt, RuntimeError("out of memory")])
def test_an_aborted_build_resumes_to_the_same_store(album, tmp_path, encode, fail_at, error):
    build(FolderReader(album), encode, tmp_path / "whole")
    broken = Counting(encode, fail_at, error)
    with pytest.raises(BaseException):  # noqa: B017
        build(FolderReader(album), broken, tmp_path / "resumed")
    with pytest.raises(StoreError):
        FeatureStore.open(tmp_path / "resumed")
    second = Counting(encode)
    report = build(FolderReader(album), second, tmp_path / "resumed")
    assert broken.pictures == 4 * (fail_at - 1)
    assert (report.unchanged, second.pictures) == (broken.pictures, 23 - broken.pictures)
    assert contents(tmp_path / "resumed") == contents(tmp_path / "whole")


def test_a_killed_build_resumes_to_the_same_store(album, tmp_path, encode):
    """SIGKILL in the middle of a batch, in another process: nothing is closed, rolled back or flushed."""
    program = textwrap.dedent(f"""
        import importlib.util, os, signal
        import index.store.writer
        from index.building.build import FolderReader, build_store
        spec = importlib.util.spec_from_file_location("helpers", {str(Path(__file__).parents[1] / "conftest.py")!r})
        helpers = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(helpers)
        write, writes = index.store.writer._write_through, []
        def kill_at_third_batch(*arguments):
            write(*arguments)
            writes.append(1)
            if len(writes) == 5:
                os.kill(os.getpid(), signal.SIGKILL)
        index.store.writer._write_through = kill_at_third_batch
        build_store(FolderReader({str(album)!r}), helpers.mean_colour, {str(tmp_path / "resumed")!r},
                    encoder_fingerprint="mean-colour", batch_size=4)
    """)
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)})
    assert done.returncode == -signal.SIGKILL
    second = Counting(encode)
    assert build(FolderReader(album), second, tmp_path / "resumed").unchanged == 8
    assert second.pictures == 15
    build(FolderReader(album), encode, tmp_path / "whole")
    assert contents(tmp_path / "resumed") == contents(tmp_path / "whole")


def test_bad_files_are_listed_and_skipped(album, tmp_path, encode):
    (album / "one" / "empty.jpg").touch()
    (album / "one" / "text.png").write_text("this is no picture")
    (album / "one" / "half.png").write_bytes((album / "one" / "01.png").read_bytes()[:40])
    (album / "one" / "gone.webp").symlink_to(album / "nothing")
    (album / "evil\x1b[31m.gif").touch()
    report = build(FolderReader(album), encode, tmp_path)
    assert report.total == 23
    assert sorted(Path(bad.source).name for bad in report.bad) == [
        "empty.jpg",
        "evil\x1b[31m.gif",
        "gone.webp",
        "half.png",
        "text.png",
    ]
    assert all(Path(bad.source).name in bad.reason or "evil" in bad.reason for bad in report.bad)
    assert len((tmp_path / BAD_LIST).read_text().splitlines()) == 5
    assert "\x1b" not in (tmp_path / BAD_LIST).read_text()
    for bad in report.bad:
        Path(bad.source).unlink()
    assert build(FolderReader(album), encode, tmp_path).bad == []
    assert not (tmp_path / BAD_LIST).exists()


def test_a_bad_file_amid_an_interruption_changes_nothing(album, tmp_path, encode):
    for name in ("00a", "05a", "21a"):
        (album / "one" / f"{name}.png").write_text("no picture")
    build(FolderReader(album), encode, tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        build(FolderReader(album), Counting(encode, fail_at=3), tmp_path / "resumed")
    assert len(build(FolderReader(album), encode, tmp_path / "resumed").bad) == 3
    assert contents(tmp_path / "resumed") == contents(tmp_path / "whole")


def test_a_picture_without_a_finite_feature_is_bad_not_fatal(album, tmp_path, encode):
    def embed(images):
        features = encode(images)
        features[features[:, 0] == 1.0] = np.nan  # pure red: the first picture, and those near it
        return features

    report = build(FolderReader(album), embed, tmp_path)
    assert report.bad and report.total == 23 - len(report.bad)
    assert all("no finite feature" in bad.reason for bad in report.bad)


def test_a_second_run_embeds_only_what_is_new_or_changed(album, tmp_path, encode, painter):
    out = tmp_path / "out"
    build(FolderReader(album), encode, out)
    again = Counting(encode)
    report = build(FolderReader(album), again, out)
    assert (again.pictures, report.unchanged, report.total) == (0, 23, 23)

    painter(album / "new.png", 0.3)
    painter(album / "one" / "05.png", 0.9, (50, 10))  # another picture of the same name
    (album / "one" / "07.png").unlink()
    (album / "one" / "09.png").write_text("now damaged")
    (album / "two" / "deep" / "00.txt").write_text("other words")
    again = Counting(encode)
    report = build(FolderReader(album), again, out)
    assert again.pictures == 2
    assert (report.added, report.changed, report.removed, report.total) == (2, 1, 2, 22)
    store = FeatureStore.open(out)
    live = {Path(source).name: caption for _, source, caption in store.iter_rows()}
    assert len(live) == 22 and not {"07.png", "09.png"} & set(live)
    assert live["00.png"] == "other words"
    assert store.features[store.find(str(album / "one" / "05.png"))][3] == pytest.approx(50 / 60, abs=1e-3)


def test_two_folders_share_a_store(album, tmp_path, encode, painter):
    painter(tmp_path / "more" / "x.png", 0.2)
    build(FolderReader(album), encode, tmp_path / "out")
    assert build(FolderReader(tmp_path / "more"), encode, tmp_path / "out").total == 24


def test_nothing_to_index_is_a_clear_error_and_removes_nothing(album, tmp_path, encode):
    build(FolderReader(album), encode, tmp_path / "out")
    (tmp_path / "empty").mkdir()
    with pytest.raises(StoreError, match="no pictures"):
        build(FolderReader(tmp_path / "empty"), encode, tmp_path / "out")
    with pytest.raises(StoreError, match="no pictures"):
        build(FolderReader(tmp_path / "empty"), encode, tmp_path / "new")
    for path in list(album.rglob("*.png")):
        path.rename(path.with_suffix(".away"))
    with pytest.raises(StoreError, match="no pictures"):  # as when a disk is not mounted
        build(FolderReader(album), encode, tmp_path / "out")
    assert len(FeatureStore.open(tmp_path / "out").live_ids()) == 23
    (tmp_path / "empty" / "a.png").touch()
    with pytest.raises(StoreError, match="None of the 1 pictures can be read.*is empty"):
        build(FolderReader(tmp_path / "empty"), encode, tmp_path / "new")
    with pytest.raises(StoreError, match="no folder"):
        FolderReader(tmp_path / "nowhere")


def test_a_table_of_captions(album, tmp_path, encode):
    table = tmp_path / "captions.tsv"
    good = album / "one" / "01.png"
    table.write_bytes(
        "\ufeffcaption\timage\r\n"
        f"a cat\twith a tab\t{good}\r\n"
        "\r\n"
        "gone\talbum/none.png\n"
        "Füße \x1b[2J\talbum/one/../one/03.png\n"
        "no tab here\n"
        "remote\thttps://example.org/x.png\n"
        f"the same again\t{good}\n".encode()
        + b"\xff\xfe\talbum/one/05.png\n"
    )
    report = build(TsvReader(table), encode, tmp_path / "out")
    rows = [(Path(source).name, caption) for _, source, caption in FeatureStore.open(tmp_path / "out").iter_rows()]
    assert rows == [("01.png", "a cat with a tab"), ("03.png", "Füße")]
    assert report.duplicates == 1
    assert [bad.reason.split(str(tmp_path))[-1] for bad in report.bad] == [
        "/captions.tsv, line 6: it is not a line `caption<TAB>image`.",
        "https://example.org/x.png: only files can be indexed, not web addresses.",
        "/captions.tsv, line 9: it is not UTF-8 (byte 0xFF); save it as UTF-8.",
        "/album/none.png.",
    ]
    again = build(TsvReader(table), encode, tmp_path / "out")
    assert (again.added, again.unchanged, again.duplicates) == (0, 2, 1)


def test_captions_for_a_folder_from_a_table(album, tmp_path, encode):
    table = tmp_path / "captions.tsv"
    table.write_text(f"first\tone/01.png\nabsolute\t{album}/one/03.png\n")
    report = build(FolderReader(album, captions=table), encode, tmp_path / "out")
    store = FeatureStore.open(tmp_path / "out")
    assert (report.total, report.captioned) == (23, 2)
    assert store.row(store.find(str(album / "one" / "01.png")))[1] == "first"
    assert store.row(store.find(str(album / "one" / "03.png")))[1] == "absolute"


def test_bad_rows_of_a_caption_table_are_reported(album, tmp_path, encode):
    table = tmp_path / "captions.tsv"
    table.write_bytes(b"first\tone/01.png\ncaf\xe9\tone/03.png\n")
    report = build(FolderReader(album, captions=table), encode, tmp_path / "out")
    assert (report.total, report.captioned) == (23, 1)
    assert [bad.reason for bad in report.bad] == [f"{table}, line 2: it is not UTF-8 (byte 0xE9); save it as UTF-8."]


def test_captions_beside_pictures_are_read_rightly_or_refused(album, tmp_path, encode):
    for number, data in [
        (5, "a café".encode("utf-16")),
        (7, "a café".encode("latin-1")),
        (9, b"old\rMac"),
        (11, ("x" * 19_999 + "ü").encode()),
    ]:
        (album / "one" / f"{number:02d}.txt").write_bytes(data)
    report = build(FolderReader(album), encode, tmp_path / "out")
    store = FeatureStore.open(tmp_path / "out")
    captions = {Path(source).stem: caption for _, source, caption in store.iter_rows()}
    assert (report.total, captions["05"], captions["07"], captions["09"]) == (23, "a café", "", "old Mac")
    assert captions["11"] == "x" * 10_000  # the end of what is read of a file may lie in a letter
    (bad,) = report.bad
    assert bad.reason == f"{album}/one/07.txt: it is not UTF-8 (byte 0xE9); save it as UTF-8."


def names(folder):
    return [os.path.relpath(picture.source, folder) for picture in FolderReader(folder) if not picture.problem]


def test_linked_folders_are_followed_once_and_loops_end(tmp_path, painter):
    root = tmp_path / "root"
    for path in ("root/real/a.png", "root/.hidden/h.png", "away/b.png", "away/deep/c.png", "away/.no/d.png"):
        painter(tmp_path / path, 0.3)
    (root / "away").symlink_to(tmp_path / "away")
    (root / "away again").symlink_to("../away")
    (tmp_path / "away" / "up").symlink_to(root)  # a loop over two folders
    (root / "real" / "self").symlink_to(".")
    (root / "another real").symlink_to("real")  # is read under its own name
    (root / "shown").symlink_to(".hidden")
    (root / "around").symlink_to("around")  # leads to itself
    painter(tmp_path / "one.png", 0.2)
    (root / "picture.png").symlink_to("../one.png")
    wanted = ["picture.png", "away/b.png", "away/deep/c.png", "real/a.png", "shown/h.png"]
    assert sorted(names(root)) == sorted(wanted) and len(FolderReader(root)) == 5
    assert [picture.problem for picture in FolderReader(root) if picture.problem] == ["the link leads nowhere"]


def test_a_folder_below_a_linked_root_is_not_read_twice(tmp_path, painter):
    painter(tmp_path / "real" / "sub" / "a.png", 0.3)
    (tmp_path / "link").symlink_to("real")
    (tmp_path / "real" / "again").symlink_to(tmp_path / "real" / "sub")
    assert names(tmp_path / "link") == ["sub/a.png"]
    (tmp_path / "real" / "parent").symlink_to(tmp_path)
    assert names(tmp_path / "link") == ["sub/a.png"]


def test_links_that_lead_nowhere_are_counted(album, tmp_path, encode):
    (album / "disk").symlink_to("/mnt/not there")
    (album / "one" / "gone.png").symlink_to("nothing.png")
    (album / ".hidden link").symlink_to("nowhere")
    report = build(FolderReader(album), encode, tmp_path / "out")
    assert report.total == 23
    assert sorted(bad.reason for bad in report.bad) == [
        f"{album}/disk: the link leads nowhere.",
        f"{album}/one/gone.png is a link to nothing.png, which does not exist.",
    ]


def test_pictures_below_a_link_stay_in_the_store(album, tmp_path, encode, painter):
    painter(tmp_path / "away" / "x.png", 0.3)
    (album / "away").symlink_to(tmp_path / "away")
    assert build(FolderReader(album), encode, tmp_path / "out").total == 24
    assert build(FolderReader(album), encode, tmp_path / "out").unchanged == 24
    (album / "away").unlink()
    assert build(FolderReader(album), encode, tmp_path / "out").removed == 1


def test_what_is_named_instead_of_a_folder_or_a_table_is_said(album):
    with pytest.raises(StoreError, match=r"notes\.md is a file\. Name a folder"):
        FolderReader(album / "notes.md")
    with pytest.raises(StoreError, match="one is a folder. Name a table"):
        TsvReader(album / "one")


def test_a_name_that_is_no_text_is_bad_not_fatal(album, tmp_path, encode):
    (album / os.fsdecode(b"caf\xe9.png")).write_bytes((album / "one" / "01.png").read_bytes())
    report = build(FolderReader(album), encode, tmp_path / "out")
    assert report.total == 23
    assert "not valid UTF-8" in report.bad[0].reason


def test_large_pictures_do_not_wait_in_full_size(tmp_path, encode, painter):
    painter(tmp_path / "a" / "large.png", 0.5, (3000, 2000))
    sizes = []

    def embed(images):
        sizes.extend(image.size for image in images)
        return encode(images)

    build(FolderReader(tmp_path / "a"), embed, tmp_path / "out")
    assert sizes == [(1536, 1024)]
