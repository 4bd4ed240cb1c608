"""The class token after chosen layers, against the layers' own outputs; and the control with random weights."""

from __future__ import annotations

import pytest
import torch

from fromage_lite.errors import ConfigError
from fromage_lite.vision import VisionEncoder


@pytest.fixture(scope="module")
def timm_vit():
    return VisionEncoder.load("timm:random:test_vit")


def test_class_tokens_of_timm_are_what_its_blocks_give(timm_vit, pictures):
    seen: list[torch.Tensor] = []
    hooks = [block.register_forward_hook(lambda _m, _a, out: seen.append(out)) for block in timm_vit.module.blocks]
    pixel_values = timm_vit.preprocess(pictures)
    timm_vit.encode(pixel_values)
    for hook in hooks:
        hook.remove()
    tokens = timm_vit.class_tokens(pixel_values, (-1, 0, -1))
    assert tokens.shape == (len(pictures), 3, timm_vit.layer_dim((0,)))
    for place, layer in enumerate((-1, 0, -1)):
        torch.testing.assert_close(tokens[:, place], seen[layer][:, 0])


def test_class_tokens_of_transformers_are_its_hidden_states(tmp_path, pictures):
    from transformers import CLIPImageProcessor, CLIPVisionConfig, CLIPVisionModel

    config = CLIPVisionConfig(
        hidden_size=16, intermediate_size=32, num_hidden_layers=3, num_attention_heads=2, image_size=32, patch_size=8
    )
    CLIPVisionModel(config).save_pretrained(tmp_path)
    CLIPImageProcessor(size={"shortest_edge": 32}, crop_size={"height": 32, "width": 32}).save_pretrained(tmp_path)
    encoder = VisionEncoder.load(str(tmp_path))
    pixel_values = encoder.preprocess(pictures)
    with torch.no_grad():
        states = encoder.module(pixel_values=pixel_values, output_hidden_states=True).hidden_states
    tokens = encoder.class_tokens(pixel_values, (-2, -1))
    torch.testing.assert_close(tokens, torch.stack([states[2][:, 0], states[3][:, 0]], dim=1))


def test_encoders_and_layers_that_have_none_are_refused(timm_vit, tiny_parts, pictures):
    with pytest.raises(ConfigError, match="no layers 99"):
        timm_vit.class_tokens(timm_vit.preprocess(pictures), (99,))
    with pytest.raises(ConfigError, match="no class tokens"):
        tiny_parts[1].layer_dim((-1,))


def test_random_weights_are_always_the_same(timm_vit):
    assert VisionEncoder.load("timm:random:test_vit").fingerprint() == timm_vit.fingerprint()
