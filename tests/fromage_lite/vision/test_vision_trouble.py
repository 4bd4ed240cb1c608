"""An image encoder loads whole or says in one sentence why not: random weights never pass for trained ones."""

import json
import os
import shutil

import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

from fromage_lite.errors import CheckpointError
from fromage_lite.vision import VisionEncoder
from tests.fromage_lite.vision_models import FAMILIES, SIZE

PREFIX = {"clip": "", "siglip": "", "open_clip-vit": "open_clip:local-dir:", "timm-vit": "timm:local-dir:"}
A_LAYER = {  # a layer's weights in the file, and the name of one that the error mentions
    "clip": "vision_model.encoder.layers.1.mlp",
    "siglip": "vision_model.encoder.layers.1.mlp",
    "open_clip-vit": "visual.transformer.resblocks.1.mlp",
    "timm-vit": "blocks.1.mlp",
}


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    root = tmp_path_factory.mktemp("encoders")
    for name in PREFIX:
        FAMILIES[name]().save(root / name)
    return root


@pytest.fixture(params=PREFIX)
def family(request):
    return request.param


@pytest.fixture
def copy(folders, family, tmp_path):
    return shutil.copytree(folders / family, tmp_path / family)


def weights(folder):
    return next(folder.glob("*.safetensors"))


def edit(folder, change):
    """Rewrites a folder's weights through `change`, a function on the dictionary of tensors."""
    tensors = load_file(weights(folder))
    change(tensors)
    save_file(tensors, weights(folder), metadata={"format": "pt"})


def refusal(name):
    with pytest.raises(CheckpointError) as caught:
        VisionEncoder.load(name)
    assert "\n" not in str(caught.value) and "Traceback" not in str(caught.value)
    return str(caught.value)


def test_weights_that_lack_a_layer_are_refused(family, copy):
    def drop(tensors):
        for name in [name for name in tensors if name.startswith(A_LAYER[family])]:
            del tensors[name]

    edit(copy, drop)
    assert A_LAYER[family].removeprefix("vision_model.") in refusal(f"{PREFIX[family]}{copy}")


def test_weights_with_a_layer_too_many_are_refused(family, copy):
    def add(tensors):
        for name in [name for name in tensors if name.startswith(A_LAYER[family])]:
            tensors[name.replace(".1.mlp", ".9.mlp")] = tensors[name].clone()

    edit(copy, add)
    assert ".9.mlp" in refusal(f"{PREFIX[family]}{copy}")


def test_weights_of_another_size_are_refused(family, copy):
    def halve(tensors):
        name = next(name for name in tensors if name.startswith(A_LAYER[family]) and tensors[name].dim() == 2)
        tensors[name] = tensors[name][: len(tensors[name]) // 2].clone()

    edit(copy, halve)
    assert A_LAYER[family].removeprefix("vision_model.") in refusal(f"{PREFIX[family]}{copy}")


def test_damaged_weights_are_refused(family, copy):
    weights(copy).write_bytes(weights(copy).read_bytes()[:5000])
    assert "could not be loaded" in refusal(f"{PREFIX[family]}{copy}")


def test_missing_weights_are_refused(family, copy):
    weights(copy).unlink()
    assert str(copy) in refusal(f"{PREFIX[family]}{copy}")


def test_a_missing_folder_is_named(family, tmp_path):
    assert str(tmp_path / "gone") in refusal(f"{PREFIX[family]}{tmp_path / 'gone'}")


@pytest.mark.parametrize("prefix", ["", "open_clip:local-dir:", "timm:local-dir:"])
def test_a_language_model_is_no_image_encoder(prefix, tiny_lm_dir):
    assert str(tiny_lm_dir) in refusal(f"{prefix}{tiny_lm_dir}")


def test_what_kind_of_model_it_is_instead_is_said(tiny_lm_dir):
    assert "not an image encoder but a model of type opt" in refusal(str(tiny_lm_dir))


def test_a_folder_without_preprocessing_is_refused(folders, tmp_path):
    copy = shutil.copytree(folders / "clip", tmp_path / "clip")
    path = copy / "preprocessor_config.json"
    path.write_text(path.read_text()[:40])
    assert f"{copy} has no readable preprocessor_config.json" in refusal(str(copy))
    path.unlink()
    assert f"{copy} has no readable preprocessor_config.json" in refusal(str(copy))


def test_a_siglip_of_variable_resolution_is_refused_by_its_configuration(tmp_path):
    from transformers import Siglip2Config

    Siglip2Config().save_pretrained(tmp_path)
    assert "fixed resolution" in refusal(str(tmp_path))


def test_preprocessing_that_leaves_pictures_unequal_is_refused(folders, tmp_path):
    copy = shutil.copytree(folders / "clip", tmp_path / "clip")
    path = copy / "preprocessor_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"do_center_crop": False}))
    assert "one size" in refusal(str(copy))


def test_pixels_at_random_are_refused(tmp_path):
    """A masked autoencoder hides most of the picture, another part each time: that is no feature of the picture."""
    from transformers import ViTImageProcessor, ViTMAEConfig, ViTMAEModel

    ViTMAEModel(ViTMAEConfig(**SIZE)).save_pretrained(tmp_path)
    ViTImageProcessor(size={"height": 32, "width": 32}).save_pretrained(tmp_path)
    assert "no pooled feature" in refusal(str(tmp_path))


class Trap:
    """Makes a folder when it is unpickled."""

    def __init__(self, path):
        self.path = str(path)

    def __reduce__(self):
        return os.mkdir, (self.path,)


def test_weights_of_older_files_load_and_run_nothing(family, copy, tmp_path):
    """Without safetensors the libraries read a pickle: tensors alone may come out of it."""
    tensors = load_file(weights(copy))
    before = VisionEncoder.load(f"{PREFIX[family]}{copy}").fingerprint()
    weights(copy).unlink()
    old = copy / ("open_clip_pytorch_model.bin" if family == "open_clip-vit" else "pytorch_model.bin")
    torch.save(tensors, old)
    assert VisionEncoder.load(f"{PREFIX[family]}{copy}").fingerprint() == before
    torch.save(tensors | {"trap": Trap(tmp_path / "trap")}, old)
    refusal(f"{PREFIX[family]}{copy}")
    assert not (tmp_path / "trap").exists()


def test_an_unknown_name_is_refused():
    assert "no_such_model" in refusal("timm:no_such_model")
    assert "no_such_tag" in refusal("open_clip:ViT-B-32/no_such_tag")


def test_heads_and_training_weights_may_be_left_over(tmp_path):
    """A classifier and the mask token are no part of the encoder; position ids came with older versions' files."""
    FAMILIES["vit"]().save(tmp_path / "vit")
    before = VisionEncoder.load(str(tmp_path / "vit"))

    def add(tensors):
        tensors["vit.embeddings.mask_token"] = torch.ones(1, 1, 32)
        tensors["vit.pooler.dense.weight"] = torch.ones(32, 32)
        tensors["vit.embeddings.position_ids"] = torch.arange(17)

    edit(tmp_path / "vit", add)
    after = VisionEncoder.load(str(tmp_path / "vit"))
    assert after.fingerprint() == before.fingerprint()
    image = Image.effect_noise((40, 30), 80)
    pooled = [encoder.encode(encoder.preprocess([image])).pooled for encoder in (before, after)]
    assert torch.equal(*pooled)
