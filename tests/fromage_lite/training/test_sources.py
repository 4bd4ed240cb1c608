"""Training reads whatever the index reads."""

from __future__ import annotations

import dataclasses
import io
import json
import tarfile

import numpy as np
import pytest
from PIL import Image as PILImage

from fromage_lite.errors import ConfigError, DataError, FingerprintError
from fromage_lite.training.data.sources import file_data
from fromage_lite.training.options import RunOptions


def picture(number):
    return PILImage.new("RGB", (40, 30), (10 * number % 256, 100, 50))


def encoded(number):
    data = io.BytesIO()
    picture(number).save(data, "PNG")
    return data.getvalue()


@pytest.fixture
def folder(tmp_path):
    """Twenty pictures, with captions beside them."""
    path = tmp_path / "pictures"
    path.mkdir()
    for number in range(20):
        (path / f"{number:02d}.png").write_bytes(encoded(number))
        (path / f"{number:02d}.txt").write_text(f"picture {number}")
    return path


def as_tars(folder, out):
    """Two shards as WebDataset and img2dataset have them."""
    out.mkdir()
    for shard in range(2):
        with tarfile.open(out / f"{shard:05d}.tar", "w") as tar:
            for path in sorted(folder.iterdir())[20 * shard : 20 * (shard + 1)]:
                tar.add(path, path.name)
    return out


def as_parquet(folder, out):
    pyarrow, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    out.mkdir()
    images = [{"bytes": path.read_bytes(), "path": None} for path in sorted(folder.glob("*.png"))]
    captions = [path.read_text() for path in sorted(folder.glob("*.txt"))]
    parquet.write_table(pyarrow.table({"image": images, "caption": captions}), out / "train.parquet")
    return out


def as_saved(folder, out):
    datasets = pytest.importorskip("datasets")
    columns = {
        "image": [str(path) for path in sorted(folder.glob("*.png"))],
        "caption": [path.read_text() for path in sorted(folder.glob("*.txt"))],
    }
    datasets.Dataset.from_dict(columns).cast_column("image", datasets.Image()).save_to_disk(out)
    return out


def as_table(folder, out):
    lines = [f"{path.with_suffix('.txt').read_text()}\t{path}" for path in sorted(folder.glob("*.png"))]
    out.write_text("\n".join(lines))
    return out


CAPTIONING_ONLY = {"warmup_steps": 0, "weights": {"retrieval": 0, "contrastive": 0}}
KINDS = {
    "folder": lambda folder, out: folder,
    "tars": as_tars,
    "parquet": as_parquet,
    "saved": as_saved,
    "table": as_table,
}


def sorted_features(data):
    return data.features[np.array([row for _, row in sorted(data.captions)])]


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_source_gives_the_same_captions_and_features(tiny_model, folder, tmp_path, kind):
    path = KINDS[kind](folder, tmp_path / f"as-{kind}")
    options = RunOptions(data=path, val_share=0.0)
    data, said = file_data(options, tiny_model, tmp_path / "run")
    assert sorted(caption for caption, _ in data.captions) == sorted(f"picture {number}" for number in range(20))
    assert data.validation is None and said == f"20 captions from {path}."
    expected = tiny_model.image_features([picture(int(c.split()[1])) for c, _ in sorted(data.captions)]).pooled
    np.testing.assert_allclose(sorted_features(data), expected.numpy(), rtol=2e-3, atol=2e-3)  # fp16
    colour = np.asarray(data.picture(data.captions[3][1]))[15, 20]
    assert np.abs(colour - np.asarray(picture(3))[0, 0].astype(int)).max() < 12  # a JPEG of it


def test_a_second_reading_opens_no_picture(tiny_model, folder, tmp_path, monkeypatch):
    options = RunOptions(data=as_tars(folder, tmp_path / "tars"))
    first, _ = file_data(options, tiny_model, tmp_path / "run")
    monkeypatch.setattr(tiny_model.vision, "encode", None)
    again, _ = file_data(options, tiny_model, tmp_path / "run")
    assert again.captions == first.captions and again.fingerprint == first.fingerprint


def test_validation_by_a_file_of_its_own_or_by_a_seeded_share(tiny_model, folder, tmp_path):
    (tmp_path / "held").mkdir()
    (tmp_path / "held" / "a.png").write_bytes(encoded(23))
    (tmp_path / "held" / "a.txt").write_text("held out")
    own = RunOptions(data=folder, val_data=tmp_path / "held")
    data, said = file_data(own, tiny_model, tmp_path / "run")
    assert len(data.captions) == 20 and data.validation.captions == [("held out", 0)]
    assert "20 captions" in said and "Held out: 1 captions" in said
    expected = tiny_model.image_features([picture(23)]).pooled.numpy()
    np.testing.assert_allclose(data.validation.features, expected, rtol=2e-3, atol=2e-3)
    shares = []
    for seed in (1, 1, 2):
        data, _ = file_data(RunOptions(data=folder, val_share=0.25, seed=seed), tiny_model, tmp_path / "run")
        shares.append(data.validation.captions)
    assert len(shares[0]) == 5 and shares[0] == shares[1] != shares[2]
    with pytest.raises(ConfigError, match="val_share must be a number from 0 to 1"):
        RunOptions(val_share=1.5)


def test_bad_pictures_are_counted_by_cause(tiny_model, folder, tmp_path):
    for number in (3, 4):
        (folder / f"{number:02d}.png").write_bytes(encoded(number)[:60])
    (folder / "05.png").write_bytes(b"no picture")
    (folder / "06.txt").write_text("the [RET] key")
    options = RunOptions(data=folder, max_bad_share=0.3, val_share=0.0)
    data, said = file_data(options, tiny_model, tmp_path / "run")
    assert len(data.captions) == 16 and said.startswith(f"16 captions from {folder}. 4 bad rows were left out (2 x ")
    assert "1 x its caption holds the control token [RET]" in said
    with pytest.raises(DataError, match=r"4 of 20 rows .* --max-bad-share"):
        file_data(dataclasses.replace(options, max_bad_share=0.1), tiny_model, tmp_path / "other")


def test_a_table_of_addresses_is_fetched_and_given_up_when_too_many_are_dead(tiny_model, web, tmp_path, monkeypatch):
    address, pages, asked = web
    monkeypatch.setattr("fromage_lite.training.data.tables._ENOUGH", 5)
    monkeypatch.setattr("index.sources.download.DownloadLimits.per_host", 1e6)
    pages.update({f"/{number}.png": (200, {}, encoded(number)) for number in range(0, 40, 2)})
    table = tmp_path / "cc.tsv"
    table.write_text("".join(f"picture {number}\t{address}/{number}.png\n" for number in range(40)))
    options = RunOptions(data=table, max_bad_share=0.6, val_share=0.0)
    data, said = file_data(options, tiny_model, tmp_path / "run")
    assert len(data.captions) == 20 and "20 bad rows were left out (20 x HTTP 404)" in said
    gone = tmp_path / "gone.tsv"
    gone.write_text("".join(f"picture {number}\t{address}/gone/{number}.png\n" for number in range(2000)))
    asked.clear()
    with pytest.raises(DataError, match="of 2000 rows of .*gone.tsv can't be used. The first: .*404"):
        file_data(dataclasses.replace(options, data=gone, max_bad_share=0.1), tiny_model, tmp_path / "other")
    assert len(asked) < 1000  # a tenth, and what was under way


def test_patches_are_kept_beside_the_pooled_feature(tiny_parts, tmp_path, folder):
    from fromage_lite.config import FromageConfig
    from fromage_lite.model.fromage import Fromage
    from fromage_lite.training.recipe import Recipe
    from tests.fromage_lite.training.test_train import fit

    language, vision = tiny_parts
    config = FromageConfig(language_model="x", vision_encoder="y", visual_input="grid", has_retrieval=False)
    model = Fromage.from_parts(language, vision, config)
    options = RunOptions(data=folder)
    data, _ = file_data(options, model, tmp_path / "run")
    caption, row = data.captions[4]
    exact = vision.encode(vision.preprocess([picture(int(caption.split()[1]))]), grid=True)
    assert data.grid.shape == (20, *vision.grid_shape()) and data.features.shape == (20, vision.dim)
    np.testing.assert_allclose(data.grid[row], exact.grid[0].numpy(), rtol=2e-3, atol=2e-3)
    np.testing.assert_allclose(data.features[row], exact.pooled[0].numpy(), rtol=2e-3, atol=2e-3)
    recipe = Recipe.from_dict({"name": "grid", "steps": 8, "batch_size": 4, "learning_rate": 1e-2, **CAPTIONING_ONLY})
    _, losses = fit(model, tmp_path / "out", recipe, data=data)
    assert losses[8]["total"] < losses[1]["total"]
    pooled = Fromage.from_parts(language, vision, dataclasses.replace(config, visual_input="pooled"))
    with pytest.raises(FingerprintError, match="another image encoder"):
        file_data(RunOptions(data=tmp_path / "run" / "features"), pooled, tmp_path / "third")


def test_pictures_without_a_caption_alone_are_refused(tiny_model, folder, tmp_path):
    for path in folder.glob("*.txt"):
        path.unlink()
    with pytest.raises(DataError, match="No picture in .* has a caption"):
        file_data(RunOptions(data=folder), tiny_model, tmp_path / "run")


def test_json_of_img2dataset_is_a_caption_too(tiny_model, tmp_path):
    out = tmp_path / "shards"
    out.mkdir()
    with tarfile.open(out / "00000.tar", "w") as tar:
        for number in range(3):
            for name, data in (("jpg", encoded(number)), ("json", json.dumps({"caption": f"c {number}"}).encode())):
                header = tarfile.TarInfo(f"{number:09d}.{name}")
                header.size = len(data)
                tar.addfile(header, io.BytesIO(data))
    data, _ = file_data(RunOptions(data=out), tiny_model, tmp_path / "run")
    assert [caption for caption, _ in data.captions] == ["c 0", "c 1", "c 2"]
