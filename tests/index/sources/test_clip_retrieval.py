"""Features that clip-retrieval wrote, read as they lie."""

from __future__ import annotations

import numpy as np
import pytest

from index.building.projected import import_features
from index.errors import StoreError
from index.sources.clip_retrieval import Export, is_export
from index.sources.recognise import open_source
from index.store.feature_store import FeatureStore

pyarrow = pytest.importorskip("pyarrow")
parquet = pytest.importorskip("pyarrow.parquet")


def write(folder, number, features, **columns):
    for name in ("img_emb", "text_emb", "metadata"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    np.save(folder / "img_emb" / f"img_emb_{number}.npy", features)
    np.save(folder / "text_emb" / f"text_emb_{number}.npy", features)
    parquet.write_table(pyarrow.table(columns), folder / "metadata" / f"metadata_{number}.parquet")


@pytest.fixture
def features(normalise):
    return normalise(np.random.default_rng(0).normal(size=(7, 4))).astype(np.float16)


@pytest.fixture
def export(tmp_path, features):
    """Two shards, 10 after 9 as they are counted: addresses of pictures and captions."""
    folder = tmp_path / "export"
    urls = [f"http://pictures.example/{n}.jpg" for n in range(7)]
    write(folder, 10, features[4:], caption=["e", "f", "g"], url=urls[4:], image_path=["4", "5", "6"])
    write(folder, 9, features[:4], caption=["a", None, "c\x1b[31m", "d"], url=urls[:4], image_path=["0", "1", "2", "3"])
    return folder


def store(export, out, **options):
    report = import_features(Export(export), out, encoder_fingerprint="clip", base=export, **options)
    return report, FeatureStore.open(out)


def test_features_addresses_and_captions_are_taken_over(export, features, tmp_path):
    assert is_export(export) and Export(export).dim == 4 and Export(export).is_normalised and len(Export(export)) == 7
    report, opened = store(export, tmp_path / "out")
    assert report.added == 7 and opened.encoder_fingerprint == "clip"
    assert (opened.read_features(opened.live_ids()) == features.astype(np.float32)).all()
    assert opened.row(3) == ("http://pictures.example/3.jpg", "d") and opened.row(6)[1] == "g"
    assert opened.row(1)[1] == "" and "\x1b" not in opened.row(2)[1]
    assert store(export, tmp_path / "out")[0].known == 7, "again, nothing is new"


def test_paths_stay_in_the_folder_of_the_pictures(tmp_path, features):
    folder = tmp_path / "export"
    paths = ["a.jpg", "deep/b.jpg", "../c.jpg", "/etc/d.jpg", "", str(folder / "e.jpg"), "deep/../f.jpg"]
    write(folder, 0, features, image_path=paths)
    report, opened = store(folder, tmp_path / "out")
    assert [opened.row(id)[0] for id in range(4)] == [
        str(folder / name) for name in ("a.jpg", "deep/b.jpg", "e.jpg", "f.jpg")
    ]
    assert len(report.bad) == 3


def test_a_pickle_in_an_array_is_not_opened(export):
    np.save(export / "img_emb" / "img_emb_9.npy", np.array([{"a": 1}], dtype=object), allow_pickle=True)
    with pytest.raises(StoreError, match="img_emb_9.npy can't be read"):
        Export(export)


@pytest.mark.parametrize(
    ("broken", "message"),
    [
        (
            lambda folder, features: np.save(folder / "img_emb" / "img_emb_9.npy", features[:3]),
            "has 4 rows for 3 features",
        ),
        (lambda folder, features: np.save(folder / "img_emb" / "img_emb_9.npy", features[:4, :2]), "different widths"),
        (lambda folder, features: np.save(folder / "img_emb" / "img_emb_9.npy", np.arange(4)), "no array of features"),
        (lambda folder, features: (folder / "img_emb" / "img_emb_9.npy").write_bytes(b"\x93NUMPY"), "can't be read"),
        (lambda folder, features: (folder / "img_emb" / "img_emb_9.npy").write_bytes(b"PK\3\4"), "can't be read"),
        (lambda folder, features: (folder / "metadata" / "metadata_9.parquet").unlink(), "no readable Parquet file"),
    ],
)
def test_what_does_not_belong_together_is_named(export, features, broken, message):
    broken(export, features)
    with pytest.raises(StoreError, match=message):
        Export(export)


def test_lengths_are_looked_at(tmp_path, features):
    write(tmp_path / "raw", 0, 9 * features, url=[f"http://pictures.example/{n}" for n in range(7)])
    assert not Export(tmp_path / "raw").is_normalised


def test_it_is_never_taken_for_pictures(export):
    with pytest.raises(StoreError, match="has clip-retrieval's features .* --encoder-of MODEL"):
        open_source(export)
