"""Text towers: the same vectors as the library's own, of pictures and of texts."""

from __future__ import annotations

import pytest
import torch

from fromage_lite.errors import CheckpointError, ConfigError
from fromage_lite.placement import Placement
from fromage_lite.vision import EncoderSpace, VisionEncoder, beginning
from tests.fromage_lite.text_towers import TOWERS
from tests.fromage_lite.vision_models import FAMILIES

TEXTS = ["a cat", "two small dog on the beach", "night"]
NEAR = {"rtol": 1e-4, "atol": 1e-5}


@pytest.fixture(scope="module", params=TOWERS)
def saved(request, tmp_path_factory):
    """(folder, name, family, encoder) of a tiny model."""
    family = TOWERS[request.param]()
    folder = tmp_path_factory.mktemp("towers") / request.param
    name = family.save(folder)
    return folder, name, family, VisionEncoder.load(name)


def test_texts_and_pictures_are_where_the_library_itself_puts_them(saved, pictures):
    folder, _, family, encoder = saved
    space, pixel_values = EncoderSpace(encoder), encoder.preprocess(pictures)
    images = space.image_embeds(encoder.encode(pixel_values).pooled)
    texts = space.text_embeds(TEXTS)
    torch.testing.assert_close(images, family.images(folder, pixel_values), **NEAR)
    torch.testing.assert_close(texts, family.texts(folder, TEXTS), **NEAR)
    assert images.shape[1] == texts.shape[1] == encoder.text_tower().dim
    torch.testing.assert_close(texts.norm(dim=1), torch.ones(3))
    assert texts.dtype == images.dtype == torch.float32


def test_a_text_alone_is_the_same_as_among_others(saved):
    encoder = saved[3]
    together = encoder.text_tower().encode_text(TEXTS)
    torch.testing.assert_close(
        torch.cat([encoder.text_tower().encode_text([text]) for text in TEXTS]), together, **NEAR
    )


def test_a_long_text_is_read_as_far_as_it_fits(saved):
    encoder = saved[3]
    tower = encoder.text_tower()
    six, seven = "a cat and a dog in", "a cat and a dog in snow"  # with begin and end, 8 and 9 tokens
    assert tower.fits(six) and not tower.fits(seven)
    assert beginning(tower, six) == six
    assert beginning(tower, seven) == beginning(tower, "a cat and  a dog in " + "snow " * 500) == six
    assert tower.encode_text([seven]).shape == (1, tower.dim), "cut, not refused"
    assert beginning(tower, "x" * 1000)


def test_the_space_has_one_fingerprint_in_every_precision(saved):
    _, name, _, encoder = saved
    rounded = EncoderSpace(VisionEncoder.load(name, Placement(dtype=torch.bfloat16)))
    assert rounded.fingerprint == EncoderSpace(encoder).fingerprint
    assert encoder.fingerprint() == VisionEncoder.load(name).fingerprint()
    assert rounded.text_embeds(["a cat"]).dtype == torch.float32


def test_another_projection_is_another_space(tmp_path):
    from safetensors.torch import load_file, save_file

    name = TOWERS["clip"]().save(tmp_path / "clip")
    before = EncoderSpace(VisionEncoder.load(name))
    assert before.fingerprint.startswith("encoder:")
    weights = tmp_path / "clip" / "model.safetensors"
    tensors = load_file(weights)
    tensors["visual_projection.weight"][0, 0] += 1
    save_file(tensors, weights, metadata={"format": "pt"})
    after = EncoderSpace(VisionEncoder.load(name))
    assert after.encoder.fingerprint() == before.encoder.fingerprint()
    assert after.fingerprint != before.fingerprint


def test_an_encoder_without_texts_says_so_and_still_has_a_space_of_pictures(tmp_path, pictures):
    FAMILIES["dinov2"]().save(tmp_path / "dinov2")
    space = EncoderSpace(VisionEncoder.load(str(tmp_path / "dinov2")))
    pooled = space.encoder.encode(space.encoder.preprocess(pictures)).pooled
    torch.testing.assert_close(space.image_embeds(pooled), torch.nn.functional.normalize(pooled, dim=-1))
    assert space.tower is None and space.fingerprint == f"encoder:{space.encoder.fingerprint()}"
    with pytest.raises(ConfigError, match="no text tower"):
        space.text_embeds(["a cat"])


def test_a_checkpoint_of_the_image_tower_alone_has_no_text_tower(tmp_path):
    from transformers import CLIPVisionModel

    name = TOWERS["clip"]().save(tmp_path / "whole")
    CLIPVisionModel.from_pretrained(name).save_pretrained(tmp_path / "vision")
    for file in ("preprocessor_config.json",):
        (tmp_path / "vision" / file).write_bytes((tmp_path / "whole" / file).read_bytes())
    assert not VisionEncoder.load(str(tmp_path / "vision")).has_text_tower


def test_a_damaged_text_tower_is_told_when_it_is_needed(tmp_path):
    from safetensors.torch import load_file, save_file

    name = TOWERS["clip"]().save(tmp_path / "clip")
    weights = tmp_path / "clip" / "model.safetensors"
    tensors = load_file(weights)
    del tensors["text_projection.weight"]
    save_file(tensors, weights, metadata={"format": "pt"})
    encoder = VisionEncoder.load(name)
    with pytest.raises(CheckpointError, match="text_projection.weight is missing"):
        encoder.text_tower()
    for file in (tmp_path / "clip").glob("*token*"):
        file.unlink()
    with pytest.raises(CheckpointError, match="text tower"):
        VisionEncoder.load(name).text_tower()
