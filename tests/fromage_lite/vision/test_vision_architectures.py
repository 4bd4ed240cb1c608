"""One encoder of each family at its real architecture, with random weights: sizes are found, not known."""

import json
import shutil

import pytest
import torch
from PIL import Image

from fromage_lite.vision import VisionEncoder

pytestmark = pytest.mark.slow


def save_transformers(folder, model, processor, config, **options):
    import transformers

    getattr(transformers, model)(getattr(transformers, config)(**options)).half().save_pretrained(folder)
    getattr(transformers, processor)().save_pretrained(folder)


def save_open_clip(folder, name):
    import open_clip
    from safetensors.torch import save_file

    folder.mkdir()
    save_file(open_clip.create_model(name).half().state_dict(), folder / "open_clip_model.safetensors")
    config = {"model_cfg": open_clip.get_model_config(name), "preprocess_cfg": {"size": 224}}
    (folder / "open_clip_config.json").write_text(json.dumps(config))


def save_timm(folder, name):
    import timm

    timm.models.save_for_hf(timm.create_model(name).half(), folder, safe_serialization=True)


DINOV2_SMALL = {"hidden_size": 384, "num_attention_heads": 6, "image_size": 518, "patch_size": 14}
ENCODERS = {  # how it is saved, prefix of its name, height, width of the pooled feature, patches
    "clip-vit-base-patch32": (
        lambda folder: save_transformers(folder, "CLIPVisionModel", "CLIPImageProcessor", "CLIPVisionConfig"),
        "", 224, 768, (49, 768)),
    "siglip-base-patch16-224": (
        lambda folder: save_transformers(folder, "SiglipVisionModel", "SiglipImageProcessor", "SiglipVisionConfig"),
        "", 224, 768, (196, 768)),
    "beit-base-patch16-224": (
        lambda folder: save_transformers(folder, "BeitModel", "BeitImageProcessor", "BeitConfig",
                                         use_relative_position_bias=True),
        "", 224, 768, (196, 768)),
    "dinov2-small": (
        lambda folder: save_transformers(folder, "Dinov2Model", "BitImageProcessor", "Dinov2Config", **DINOV2_SMALL),
        "", 224, 384, (256, 384)),
    "ViT-B-32": (lambda folder: save_open_clip(folder, "ViT-B-32"), "open_clip:local-dir:", 224, 512, (49, 768)),
    "nf_resnet50": (lambda folder: save_timm(folder, "nf_resnet50"), "timm:local-dir:", 256, 2048, (64, 2048)),
    "vit_base_patch16_224": (lambda folder: save_timm(folder, "vit_base_patch16_224"), "timm:local-dir:", 224, 768,
                             (196, 768)),
}  # fmt: skip


@pytest.mark.parametrize("name", ENCODERS)
def test_sizes_are_found_at_the_real_architecture(name, tmp_path):
    save, prefix, height, dim, grid = ENCODERS[name]
    torch.manual_seed(0)
    save(tmp_path / name)
    encoder = VisionEncoder.load(f"{prefix}{tmp_path / name}")
    shutil.rmtree(tmp_path / name)  # the folders of all of them would fill gigabytes
    assert (encoder.image_size, encoder.dim) == (height, dim)
    pixel_values = encoder.preprocess([Image.effect_noise((320, 240), 80)])
    features = encoder.encode(pixel_values, grid=True)
    assert pixel_values.shape == (1, 3, height, height)
    assert features.pooled.shape == (1, dim) and features.pooled.isfinite().all()
    assert features.grid.shape == (1, *grid)
