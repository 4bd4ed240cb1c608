"""Which reader reads what a person names; and formats that need a plugin."""

from __future__ import annotations

import io

import pytest
from PIL import Image

from index.building.build import build_store
from index.errors import StoreError
from index.pictures.images import open_image
from index.sources.download import DownloadLimits
from index.sources.readers import FileReader, FolderReader, TsvReader
from index.sources.recognise import KINDS, SourceOptions, open_source
from index.sources.tars import TarReader
from index.store.feature_store import FeatureStore


def test_every_kind_is_told(album, tmp_path):
    (tmp_path / "shards").mkdir()
    (tmp_path / "shards" / "0.tar").write_bytes(bytes(10240))
    (tmp_path / "captions.tsv").write_text("a\tb.png\n")
    (tmp_path / "urls.txt").write_text("https://pictures.example/1.jpg\n")
    readers = {
        album: FolderReader,
        tmp_path / "shards": TarReader,
        tmp_path / "shards" / "0.tar": TarReader,
        album / "one" / "01.png": FileReader,
        tmp_path / "captions.tsv": TsvReader,
        tmp_path / "urls.txt": TsvReader,
        tmp_path / "missing.png": None,
        tmp_path / "missing": None,
    }
    for path, kind in readers.items():
        if kind is None:
            with pytest.raises(StoreError, match="There is no "):
                open_source(path)
        else:
            assert type(open_source(path)) is kind, path
    assert len({kind.name for kind in KINDS}) == len(KINDS)


def test_a_single_picture_is_added_to_an_index(album, tmp_path, encode):
    build = {"encoder_fingerprint": "mean-colour"}
    assert build_store(open_source(album / "one" / "01.png"), encode, tmp_path / "out", **build).total == 1
    report = build_store(open_source(album / "two" / "deep" / "02.png"), encode, tmp_path / "out", **build)
    assert (report.added, report.removed, report.total) == (1, 0, 2)
    assert FeatureStore.open(tmp_path / "out").row(0) == (str(album / "one" / "01.png"), "picture number 1")


def test_options_are_the_words_of_the_command(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert SourceOptions().words() == []
    options = SourceOptions(None, ["*.gif", "drafts/"], DownloadLimits(8, 0.5, 20 * 10**9))
    assert options.words() == [
        *("--exclude", "*.gif", "--exclude", "drafts/"),
        *("--downloads", "8", "--per-host", "0.5", "--max-download", "20"),
    ]


def colourful(format, **options):
    data = io.BytesIO()
    Image.new("RGB", (40, 30), (250, 20, 30)).save(data, format, **options)
    return data.getvalue()


def test_avif_is_read_by_pillow_itself(tmp_path, encode):
    if "AVIF" not in Image.registered_extensions().values():
        pytest.skip("this build of Pillow lacks it")
    (tmp_path / "album").mkdir()
    (tmp_path / "album" / "a.avif").write_bytes(colourful("AVIF", quality=95))
    report = build_store(open_source(tmp_path / "album"), encode, tmp_path / "out", encoder_fingerprint="mean-colour")
    assert (report.total, report.failed) == (1, 0)
    assert FeatureStore.open(tmp_path / "out").features[0][:2] == pytest.approx([250 / 255, 20 / 255], abs=0.03)


def test_heic_is_read_with_its_plugin(tmp_path, encode):
    plugin = pytest.importorskip("pillow_heif")
    plugin.register_heif_opener()
    (tmp_path / "album").mkdir()
    (tmp_path / "album" / "IMG_0001.HEIC").write_bytes(colourful("HEIF", quality=95))
    report = build_store(open_source(tmp_path / "album"), encode, tmp_path / "out", encoder_fingerprint="mean-colour")
    assert (report.total, report.failed) == (1, 0)
    red, green, _ = open_image(tmp_path / "album" / "IMG_0001.HEIC").getpixel((20, 15))
    assert red > 235 and green < 35


@pytest.mark.parametrize("suffix", [".jpg", ".gif", ".webp", ".tiff"])
def test_a_wrong_suffix_does_not_matter(tmp_path, encode, suffix):
    (tmp_path / "album").mkdir()
    (tmp_path / "album" / f"photo{suffix}").write_bytes(colourful("PNG"))
    report = build_store(open_source(tmp_path / "album"), encode, tmp_path / "out", encoder_fingerprint="mean-colour")
    assert (report.total, report.failed) == (1, 0)
