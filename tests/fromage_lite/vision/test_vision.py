import shutil

import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

from fromage_lite.errors import CheckpointError, ConfigError
from fromage_lite.placement import Placement
from fromage_lite.vision import VisionEncoder


@pytest.fixture
def encoder(tiny_parts):
    return tiny_parts[1]


def test_open_clip_gives_the_joint_space_feature(encoder, tiny_encoder_dir, pictures):
    import open_clip

    model, transform = open_clip.create_model_from_pretrained(f"local-dir:{tiny_encoder_dir}")
    pixels = torch.stack([transform(picture) for picture in pictures])
    assert torch.equal(encoder.preprocess(pictures), pixels)
    with torch.no_grad():
        expected = model.eval().encode_image(pixels)
    torch.testing.assert_close(encoder.encode(pixels).pooled, expected)
    assert expected.shape == (4, encoder.dim)
    assert encoder.image_size == 32


def test_text_tower_shares_the_space(encoder):
    assert encoder.text_tower().encode_text(["a cat", "a dog on the beach"]).shape == (2, encoder.dim)


def test_batches_do_not_change_a_picture(encoder, pictures):
    together = encoder.encode(encoder.preprocess(pictures)).pooled
    alone = torch.cat([encoder.encode(encoder.preprocess([picture])).pooled for picture in pictures])
    torch.testing.assert_close(together, alone, atol=1e-5, rtol=1e-4)


def test_every_mode_is_taken_as_rgb(encoder):
    grey = Image.new("L", (20, 20), 128)
    assert torch.equal(encoder.preprocess([grey]), encoder.preprocess([grey.convert("RGB")]))


def test_features_can_enter_a_backward_pass(encoder, pictures):
    pooled = encoder.encode(encoder.preprocess(pictures[:1])).pooled
    weight = torch.ones(encoder.dim, requires_grad=True)
    (pooled @ weight).sum().backward()
    torch.testing.assert_close(weight.grad, pooled[0])
    assert not any(parameter.requires_grad for parameter in encoder.module.parameters())


def test_fingerprint_follows_the_weights_and_not_the_name(encoder, tiny_encoder_dir, tmp_path):
    copy = tmp_path / "renamed"
    shutil.copytree(tiny_encoder_dir, copy)
    assert VisionEncoder.load("open_clip:local-dir:renamed", base_dir=tmp_path).fingerprint() == encoder.fingerprint()
    weights = load_file(copy / "open_clip_model.safetensors")
    weights["visual.conv1.weight"][0, 0, 0, 0] += 1
    save_file(weights, copy / "open_clip_model.safetensors")
    assert VisionEncoder.load(f"open_clip:local-dir:{copy}").fingerprint() != encoder.fingerprint()


def test_fingerprint_is_the_same_in_every_precision(encoder, tiny_encoder_dir):
    """An index that was built on a CPU in float32 must open on a GPU in bfloat16."""
    rounded = VisionEncoder.load(f"open_clip:local-dir:{tiny_encoder_dir}", Placement(dtype=torch.bfloat16))
    assert rounded.fingerprint() == encoder.fingerprint()
    assert rounded.encode(torch.zeros(1, 3, 32, 32)).pooled.dtype == torch.float32


def test_fingerprint_follows_the_preprocessing(encoder, tiny_encoder_dir, tmp_path):
    copy = tmp_path / "encoder"
    shutil.copytree(tiny_encoder_dir, copy)
    config = copy / "open_clip_config.json"
    config.write_text(config.read_text().replace("0.25", "0.26"))
    assert VisionEncoder.load(f"open_clip:local-dir:{copy}").fingerprint() != encoder.fingerprint()


def test_missing_and_damaged_encoders(tiny_encoder_dir, tmp_path):
    with pytest.raises(CheckpointError, match="no model folder"):
        VisionEncoder.load("open_clip:local-dir:../gone", base_dir=tmp_path)
    with pytest.raises(ConfigError, match="MODEL/PRETRAINED"):
        VisionEncoder.load("open_clip:RN50")
    copy = tmp_path / "cut"
    shutil.copytree(tiny_encoder_dir, copy)
    weights = copy / "open_clip_model.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])
    with pytest.raises(CheckpointError, match="could not be loaded"):
        VisionEncoder.load(f"open_clip:local-dir:{copy}")
