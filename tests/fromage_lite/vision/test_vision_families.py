"""Every family of image encoders: its features by its own library's whole model, its pixels by hand."""

import json
import shutil

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

from fromage_lite.vision import VisionEncoder
from tests.fromage_lite.vision_models import FAMILIES, clip

EXACT = {"atol": 1e-5, "rtol": 1e-5}
SHAPES = {"wide": (80, 33), "tall": (21, 64), "tiny": (5, 3)}


class Saved:
    """A family's model in its folder, and the encoder loaded from there."""

    def __init__(self, name, folder):
        self.family = FAMILIES[name]()
        self.folder = folder / name
        self.family.save(self.folder)
        self.encoder = VisionEncoder.load(f"{self.family.prefix}{self.folder}")


@pytest.fixture(scope="module", params=FAMILIES)
def saved(request, tmp_path_factory):
    return Saved(request.param, tmp_path_factory.mktemp("encoders"))


def picture(size, seed=0):
    """Noise over a slope: every pixel counts."""
    width, height = size
    rng = np.random.default_rng(seed)
    pixels = rng.integers(0, 200, (height, width, 3)) + np.linspace(0, 55, width)[None, :, None]
    return Image.fromarray(pixels.astype(np.uint8))


def by_hand(image, steps):
    """The preprocessing computed with Pillow's resize and numpy alone -> (3, H, W)."""
    width, height = image.size
    if steps.crop is None:
        size = (steps.size, steps.size)
    else:
        size = tuple(int(steps.size * side / min(width, height)) for side in (width, height))
    resized = image.resize(size, Image.Resampling.BICUBIC if steps.bicubic else Image.Resampling.BILINEAR)
    pixels = np.asarray(resized, dtype=np.float64) / 255
    if steps.crop is not None:
        corner = [(side - steps.crop) / 2 for side in pixels.shape[:2]]
        top, left = (round(offset) if steps.rounds else int(offset) for offset in corner)
        pixels = pixels[top : top + steps.crop, left : left + steps.crop]
    return ((pixels - np.array(steps.mean)) / np.array(steps.std)).transpose(2, 0, 1)


@pytest.mark.parametrize("shape", SHAPES)
def test_pixels_are_those_computed_by_hand(saved, shape):
    image = picture(SHAPES[shape])
    pixel_values = saved.encoder.preprocess([image])
    size = saved.encoder.image_size
    assert pixel_values.dtype == torch.float32 and pixel_values.shape == (1, 3, size, size)
    assert np.abs(pixel_values[0].numpy() - by_hand(image, saved.family.preprocessing)).max() < 1e-5


def test_pictures_of_every_size_and_mode_make_a_batch(saved):
    pictures = [picture(size, seed) for seed, size in enumerate(SHAPES.values())]
    modes = [pictures[0].convert("L"), pictures[1].convert("RGBA"), pictures[2].convert("P")]
    together = saved.encoder.preprocess([*pictures, *modes])
    alone = [saved.encoder.preprocess([image.convert("RGB")]) for image in [*pictures, *modes]]
    assert torch.equal(together, torch.cat(alone))


def test_features_are_those_of_the_whole_model(saved):
    """The library's own whole model gives the answer; ours is its head on our features."""
    pixel_values = saved.encoder.preprocess([picture(size, seed) for seed, size in enumerate(SHAPES.values())])
    features = saved.encoder.encode(pixel_values, grid=True)
    whole = saved.family.load(saved.folder)
    with torch.no_grad():
        answer = saved.family.answer(whole, pixel_values)
        ours = saved.family.expected(whole, features)
    torch.testing.assert_close(ours, answer, **EXACT)
    assert (answer[0] - answer[1]).abs().max() > 1e-3  # pictures differ


def test_shapes_are_discovered(saved):
    pixel_values = saved.encoder.preprocess([picture(size) for size in SHAPES.values()])
    features = saved.encoder.encode(pixel_values, grid=True)
    assert saved.encoder.dim == saved.family.dim
    assert features.pooled.shape == (3, saved.family.dim) and features.pooled.dtype == torch.float32
    assert features.grid.shape == (3, *saved.family.grid)
    plain = saved.encoder.encode(pixel_values)
    assert plain.grid is None
    torch.testing.assert_close(plain.pooled, features.pooled, **EXACT)


def test_a_patch_sees_its_place(saved):
    """Changing the picture's last corner changes the last patch before, and most, of all."""
    if saved.family.convolutional:
        pytest.skip("a small convolutional network's every cell sees the whole picture")
    pixel_values = torch.zeros(1, 3, saved.encoder.image_size, saved.encoder.image_size)
    changed = pixel_values.clone()
    changed[..., -8:, -8:] = 2
    before, after = (saved.encoder.encode(pixels, grid=True).grid[0] for pixels in (pixel_values, changed))
    assert (after - before).norm(dim=-1).argmax() == len(before) - 1


def test_encoding_is_repeatable_and_frozen(saved):
    pixel_values = saved.encoder.preprocess([picture((40, 40)), picture((20, 50), 1)])
    first, again = (saved.encoder.encode(pixel_values, grid=True).pooled for _ in range(2))
    assert torch.equal(first, again)
    torch.testing.assert_close(saved.encoder.encode(pixel_values[1:]).pooled, first[1:], **EXACT)
    assert not any(parameter.requires_grad for parameter in saved.encoder.module.parameters())
    assert not saved.encoder.module.training


def test_fingerprint_survives_a_move_and_sees_weights_and_preprocessing(saved, tmp_path):
    def fingerprint(folder):
        return VisionEncoder.load(f"{saved.family.prefix}{folder}").fingerprint()

    moved = tmp_path / "moved"
    shutil.copytree(saved.folder, moved)
    assert fingerprint(moved) == saved.encoder.fingerprint()
    weights = next(moved.glob("*.safetensors"))
    tensors = load_file(weights)
    name = max((name for name in tensors if "text" not in name and "head" not in name and "classifier" not in name),
               key=lambda name: tensors[name].numel() if "patch" in name or "conv" in name else 0)  # fmt: skip
    tensors[name].view(-1)[0] += 1
    save_file(tensors, weights, metadata={"format": "pt"})
    changed = fingerprint(moved)
    assert changed != saved.encoder.fingerprint()
    config = next(moved / name for name in ("preprocessor_config.json", "open_clip_config.json", "config.json")
                  if (moved / name).exists())  # fmt: skip
    data = json.loads(config.read_text())
    inner = data.get("preprocess_cfg") or data.get("pretrained_cfg") or data
    inner["image_mean" if "image_mean" in inner else "mean"] = [0.1, 0.2, 0.3]
    config.write_text(json.dumps(data))
    assert fingerprint(moved) != changed


def test_the_patches_of_clip_are_its_last_hidden_states(tmp_path):
    family = clip()
    family.save(tmp_path / "clip")
    encoder = VisionEncoder.load(str(tmp_path / "clip"))
    pixel_values = encoder.preprocess([picture((40, 40)), picture((20, 50), 1)])
    features = encoder.encode(pixel_values, grid=True)
    tower = family.load(tmp_path / "clip").vision_model
    with torch.no_grad():
        output = tower(pixel_values)
    torch.testing.assert_close(features.grid, output.last_hidden_state[:, 1:], **EXACT)
    torch.testing.assert_close(tower.post_layernorm(output.last_hidden_state[:, 0]), features.pooled, **EXACT)


def test_a_pretrained_beit_gives_the_mean_of_its_patches(tmp_path):
    FAMILIES["beit-pretrained"]().save(tmp_path / "beit")
    encoder = VisionEncoder.load(str(tmp_path / "beit"))
    features = encoder.encode(encoder.preprocess([picture((40, 40))]), grid=True)
    torch.testing.assert_close(features.pooled, features.grid.mean(dim=1), **EXACT)


def test_a_convolutional_network_pools_its_patches(tmp_path):
    FAMILIES["timm-nfnet"]().save(tmp_path / "nfnet")
    encoder = VisionEncoder.load(f"timm:local-dir:{tmp_path / 'nfnet'}")
    features = encoder.encode(encoder.preprocess([picture((40, 40))]), grid=True)
    torch.testing.assert_close(features.pooled, features.grid.mean(dim=1), **EXACT)


def test_the_text_tower_and_the_processors_name_change_nothing(tmp_path):
    """A CLIP without its text tower, and with the name of a "fast" processor, is the same encoder."""
    from transformers import CLIPVisionModel

    clip().save(tmp_path / "whole")
    shutil.copytree(tmp_path / "whole", tmp_path / "vision")
    CLIPVisionModel.from_pretrained(tmp_path / "whole").save_pretrained(tmp_path / "vision")
    path = tmp_path / "vision" / "preprocessor_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"image_processor_type": "CLIPImageProcessorFast"}))
    whole, vision = (VisionEncoder.load(str(tmp_path / name)) for name in ("whole", "vision"))
    assert whole.fingerprint() == vision.fingerprint()
    image = picture((61, 47))
    assert torch.equal(whole.preprocess([image]), vision.preprocess([image]))


@pytest.mark.parametrize("name", ["open_clip-vit", "open_clip-coca", "open_clip-timm"])
def test_open_clips_patches_are_those_its_own_pooling_starts_from(name, tmp_path):
    family = FAMILIES[name]()
    family.save(tmp_path / name)
    encoder = VisionEncoder.load(f"{family.prefix}{tmp_path / name}")
    pixel_values = encoder.preprocess([picture((40, 40))])
    grid = encoder.encode(pixel_values, grid=True).grid
    visual = family.load(tmp_path / name).visual
    seen = []
    part = visual.trunk.norm if hasattr(visual, "trunk") else visual.transformer
    part.register_forward_hook(lambda module, inputs, output: seen.append(output))
    with torch.no_grad():
        visual(pixel_values)
    torch.testing.assert_close(grid, seen[0][:, 1:], **EXACT)
