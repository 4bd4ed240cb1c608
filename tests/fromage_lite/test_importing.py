"""Features of clip-retrieval become an index of a model, where they are its encoder's."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from fromage_lite.config import read_config
from fromage_lite.errors import ConfigError
from fromage_lite.importing import index_export
from fromage_lite.indexing import embedder_of
from fromage_lite.model.fromage import Fromage
from fromage_lite.model.projection import projection
from index.search.faiss_index import ImageIndex

pyarrow = pytest.importorskip("pyarrow")
parquet = pytest.importorskip("pyarrow.parquet")


@pytest.fixture
def loaded(monkeypatch, tiny_model):
    def load(name, device):
        return replace(embedder_of(tiny_model, name), match_score=0.4)

    monkeypatch.setattr("fromage_lite.importing.load_embedder", load)


@pytest.fixture
def features(tiny_model, pictures):
    return tiny_model.image_features(pictures).pooled.numpy()


@pytest.fixture
def write(tmp_path):
    def export(features):
        folder = tmp_path / "export"
        for name in ("img_emb", "metadata"):
            (folder / name).mkdir(parents=True)
        np.save(folder / "img_emb" / "img_emb_0.npy", features)
        rows = {
            "url": [f"http://pictures.example/{n}" for n in range(len(features))],
            "caption": ["words"] * len(features),
        }
        parquet.write_table(pyarrow.table(rows), folder / "metadata" / "metadata_0.parquet")
        return folder

    return export


def test_pictures_are_found_by_their_imported_features(loaded, write, features, tiny_model, tmp_path):
    report, manifest = index_export(write(features), tmp_path / "out", "tiny")
    assert report.added == manifest.count == len(features)
    assert manifest.match_score == 0.4
    index = ImageIndex.open(tmp_path / "out", tiny_model.fingerprint())
    hits = index.search(projection(tiny_model)(features), 1)
    # Pictures without a thumbnail are asked for at their address: they are hits all the same.
    assert [found[0].source for found in hits] == [f"http://pictures.example/{n}" for n in range(len(features))]
    assert hits[0][0].caption == "words"


def test_features_of_another_width_are_refused(loaded, write, features, tmp_path):
    with pytest.raises(ConfigError, match="have 12 dimensions, and those of tiny's encoder 24"):
        index_export(write(features[:, :12]), tmp_path / "out", "tiny")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(("bias", "is_refused"), [(0.0, False), (5.0, True)])
def test_normalised_features_are_refused_where_their_length_matters(
    bias, is_refused, write, features, tiny_parts, tiny_checkpoint, tmp_path, monkeypatch
):
    model = Fromage.from_parts(*tiny_parts, read_config(tiny_checkpoint), base_dir=tiny_checkpoint)
    model.bridge.visual_fc.bias.data.fill_(bias)
    monkeypatch.setattr("fromage_lite.importing.load_embedder", lambda name, device: embedder_of(model, name))
    folder = write(features / np.linalg.norm(features, axis=1, keepdims=True))
    if is_refused:
        with pytest.raises(ConfigError, match="are normalised, those of the model's encoder are not"):
            index_export(folder, tmp_path / "out", "tiny")
    else:
        assert index_export(folder, tmp_path / "out", "tiny")[0].added == len(features)
