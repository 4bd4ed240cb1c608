import pytest

from fromage_lite.evaluate.tasks.seen import SeenPictures


@pytest.fixture
def folder(tmp_path, pictures):
    """Four pictures, 0.png to 3.png, and one file that is none."""
    for number, picture in enumerate(pictures):
        picture.save(tmp_path / f"{number}.png")
    (tmp_path / "broken.png").write_bytes(b"no picture")
    return tmp_path


@pytest.fixture
def seen(tiny_model, folder):
    return SeenPictures(tiny_model, [folder])
