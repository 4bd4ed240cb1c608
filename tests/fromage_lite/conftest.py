"""An agent on the tiny model, whose replies a script decides."""

from __future__ import annotations

import pytest

from tests.fromage_lite.fakes import ListedPictures


@pytest.fixture
def agent(tiny_model):
    from fromage_lite.chat.agent import Agent

    return Agent(tiny_model, ListedPictures())


@pytest.fixture
def album(tmp_path, pictures):
    """A folder of four pictures."""
    folder = tmp_path / "album"
    folder.mkdir()
    for number, picture in enumerate(pictures):
        picture.save(folder / f"{number}.png")
        (folder / f"{number}.txt").write_text(f"picture {number}")
    return folder


@pytest.fixture
def index(tmp_path, album, tiny_model):
    """The index of these pictures for the tiny model."""
    import torch

    from index.building.build import FolderReader, build_store, derive_index

    store, out = tmp_path / "store", tmp_path / "index"
    build_store(
        FolderReader(album),
        lambda images: tiny_model.image_features(images).pooled.numpy(),
        store,
        encoder_fingerprint=tiny_model.vision.fingerprint(),
    )
    with torch.no_grad():
        derive_index(
            store, lambda rows: tiny_model.image_embeds(torch.from_numpy(rows)).numpy(), tiny_model.fingerprint(), out
        )
    return out
