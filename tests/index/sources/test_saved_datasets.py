"""Data sets as Hugging Face's `datasets` saves them."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from index.building.build import build_store
from index.building.verify import compare_pictures
from index.errors import ImageError, StoreError
from index.pictures.images import open_image
from index.sources.recognise import open_source
from index.sources.saved_datasets import DatasetReader
from index.store.feature_store import FeatureStore

datasets = pytest.importorskip("datasets")
pyarrow = pytest.importorskip("pyarrow")
parquet = pytest.importorskip("pyarrow.parquet")
ROOT = Path(__file__).parents[3]


def saved(painter, tmp_path, count=5, captions="caption"):
    """A data set of `count` pictures with captions, and an index column."""
    files = [
        str(painter(tmp_path / "files" / f"{number}.png", number / 7, (20 + number, 16))) for number in range(count)
    ]
    columns = {"n": list(range(count)), "image": files, captions: [f"picture {number}" for number in range(count)]}
    return datasets.Dataset.from_dict(columns).cast_column("image", datasets.Image())


def build(reader, embed, out, **options):
    return build_store(reader, embed, out, encoder_fingerprint="mean-colour", batch_size=4, **options)


@pytest.fixture
def birds(tmp_path, painter):
    saved(painter, tmp_path).save_to_disk(tmp_path / "birds")
    for file in (tmp_path / "files").iterdir():
        file.unlink()  # the pictures are in the data set
    return tmp_path / "birds"


def test_a_saved_data_set_is_indexed_and_its_pictures_are_found_again(birds, tmp_path, encode):
    reader = open_source(birds)
    assert isinstance(reader, DatasetReader) and len(reader) == 5
    report = build(reader, encode, tmp_path / "out")
    assert (report.added, report.captioned, report.failed) == (5, 5, 0)
    store = FeatureStore.open(tmp_path / "out")
    assert store.row(2) == (f"{birds}#image:2", "picture 2")
    assert open_image(f"{birds}#image:2").size == (22, 16)
    found = compare_pictures(store, encode)
    assert (found.compared, found.differing) == (5, ())
    assert build(open_source(birds), lambda images: 1 / 0, tmp_path / "out").unchanged == 5
    with pytest.raises(ImageError, match="There is no"):
        open_image(f"{birds}#image:5")
    with pytest.raises(ImageError, match="There is no"):
        open_image(f"{birds}#thumb:1")


def test_splits_are_read_one_after_another(tmp_path, painter):
    one = saved(painter, tmp_path, captions="text")
    datasets.DatasetDict({"train": one, "test": one.select([4])}).save_to_disk(tmp_path / "both")
    pictures = list(open_source(tmp_path / "both"))
    assert [picture.source for picture in pictures][:2] == [
        f"{tmp_path}/both/test#image:0",
        f"{tmp_path}/both/train#image:0",
    ]
    assert len(pictures) == 6 and pictures[0].caption == "picture 4"


def test_selected_rows_are_those_that_were_saved(tmp_path, painter):
    saved(painter, tmp_path).select([3, 1]).save_to_disk(tmp_path / "some")
    assert [picture.caption for picture in open_source(tmp_path / "some")] == ["picture 3", "picture 1"]
    assert open_image(f"{tmp_path}/some#image:0").width == 23


def test_a_data_set_without_pictures_is_told(tmp_path):
    datasets.Dataset.from_dict({"a": [1], "b": ["x"]}).save_to_disk(tmp_path / "numbers")
    with pytest.raises(StoreError, match="has no column of pictures, but a, b"):
        open_source(tmp_path / "numbers")


def test_bad_rows_are_counted(tmp_path, encode):
    good = Image.new("RGB", (20, 16), "red")
    features = datasets.Features({"image": datasets.Image()})
    rows = [{"image": good}, {"image": None}, {"image": {"bytes": b"no picture", "path": None}}]
    datasets.Dataset.from_list(rows, features=features).save_to_disk(tmp_path / "some")
    report = build(open_source(tmp_path / "some"), encode, tmp_path / "out")
    assert (report.total, [cause.cause for cause in report.causes]) == (1, ["empty", "not a picture"])


def test_paths_in_a_data_set_are_not_opened(tmp_path, painter):
    """What saves a data set embeds its files; one that does not is imitated by a Parquet file."""
    secret = painter(tmp_path / "secret.png", 0.5)
    table = pyarrow.table({"image": [{"bytes": None, "path": str(secret)}]})
    parquet.write_table(table, tmp_path / "some.parquet")
    with pytest.raises(ImageError, match="is only the path of a file elsewhere"):
        open_image(f"{tmp_path}/some.parquet#image:0")


@pytest.mark.parametrize("name", ["../other/data-00000-of-00001.arrow", "/etc/passwd", "..", "a/b.arrow"])
def test_files_outside_of_the_data_set_are_refused(birds, name):
    state = json.loads((birds / "state.json").read_text())
    state["_data_files"] = [{"filename": name}]
    (birds / "state.json").write_text(json.dumps(state))
    with pytest.raises(StoreError, match="names files outside of the folder"):
        open_source(birds)


@pytest.mark.parametrize("file", ["state.json", "dataset_info.json", "data-00000-of-00001.arrow"])
def test_a_damaged_data_set_is_one_sentence(birds, file):
    (birds / file).write_bytes(b"{not what it was")
    with pytest.raises(StoreError, match="is a damaged data set"):
        open_source(birds)


def test_without_the_library_it_is_said_what_to_install(birds):
    code = (
        "import sys\n"
        "sys.modules['datasets'] = None\n"
        "import importlib.util\n"
        "find = importlib.util.find_spec\n"
        "importlib.util.find_spec = lambda name: None if name == 'datasets' else find(name)\n"
        "from pathlib import Path\n"
        "from index.sources.recognise import open_source\n"
        "try:\n"
        "    open_source(Path(sys.argv[1]))\n"
        "except Exception as error:\n"
        "    print(error)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(birds)], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip().endswith('which is not installed. Install it: pip install "fromage-lite[datasets]"')
