"""Image encoders of open_clip."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional as F

from fromage_lite.checkpoint.hub import check_reachable, is_cached
from fromage_lite.checkpoint.locate import resolve_model_name
from fromage_lite.errors import CheckpointError, ConfigError
from fromage_lite.vision.backend import Backend, ImageFeatures, patches
from fromage_lite.vision.timm_models import is_timm_tower, timm_grid

_DOWNLOADS = Path("~/.cache/clip").expanduser()  # where open_clip keeps weights that are not from the Hub


def load(name: str, base_dir: Path | None, revision: str | None) -> Backend:
    """Loads a CLIP-like model of open_clip with its weights, strictly.

    The pooled feature is in the space that image and text share, after the projection and before normalisation, so that
    the text tower can search with it. Patches are those of the image tower before any pooling and projection; those of
    a timm tower come after its last norm.

    Args:
        name: `MODEL/PRETRAINED`, `hf-hub:ORG/NAME`, or `local-dir:FOLDER` in open_clip's own format
            (open_clip_config.json and weights).
        base_dir: where relative folders count from.
        revision: unused: a name of open_clip holds its own.

    Raises:
        CheckpointError: a local folder is missing or holds no open_clip model, or the Hub can't be reached.
        ConfigError: the name has another form.
    """
    import open_clip

    model_name, pretrained = _source(name, base_dir)
    if (repository := _repository(name)) and not is_cached(repository):
        check_reachable(repository)  # open_clip would try for a minute, and log every attempt
    with _without_log():
        model, transform = open_clip.create_model_from_pretrained(model_name, pretrained)

    def encode(pixel_values: Tensor, grid: bool) -> ImageFeatures:
        pooled = model.encode_image(pixel_values, normalize=False)
        return ImageFeatures(pooled, _grid(model.visual, pixel_values) if grid else None)

    def preprocess(images: list[Image.Image]) -> Tensor:
        return torch.stack([transform(image) for image in images])

    def load_tower(device: torch.device, dtype: torch.dtype) -> OpenClipTower:
        return OpenClipTower(model, open_clip.get_tokenizer(model_name), device)

    preprocessing = repr(transform.transforms[:2]) + repr(transform.transforms[-1])
    return Backend(model, encode, preprocess, preprocessing, load_tower)


class OpenClipTower:
    """A `TextTower`: the model's own, which is loaded with it. Its space is that of the pooled feature.

    Args:
        model: the whole model, on its device.
        tokenizer: its tokenizer.
        device: where it is.
    """

    projection: Tensor | None = None

    def __init__(self, model: Any, tokenizer: Any, device: torch.device) -> None:
        self._model, self._tokenizer, self._device = model, tokenizer, device
        with torch.inference_mode():
            self.dim = self.encode_text([""]).shape[1]

    def encode_text(self, texts: Sequence[str]) -> Tensor:
        """As `TextTower.encode_text`."""
        ids = self._tokenizer(list(texts)).to(self._device)
        return F.normalize(self._model.encode_text(ids, normalize=False).float(), dim=-1)

    def fits(self, text: str) -> bool:
        """As `TextTower.fits`: with room for one token more, the ids stay the same and padding follows."""
        room = self._tokenizer.context_length
        ids, padding = self._tokenizer([text, ""], context_length=room + 1)
        return bool((ids[:room] == self._tokenizer([text])[0]).all() and ids[room] == padding[room])


def outline(name: str, base_dir: Path | None, revision: str | None) -> nn.Module:
    """The model with its text tower and random weights, only for the meta device; arguments as for `load`."""
    import open_clip

    return open_clip.create_model(_source(name, base_dir)[0], load_weights=False, device="meta")


def is_here(name: str) -> bool:
    """Whether the weights are on this computer."""
    from open_clip import get_pretrained_cfg

    if repository := _repository(name):
        return is_cached(repository)
    if name.startswith("local-dir:"):
        return True
    model_name, tag = _source(name, None)
    weights = get_pretrained_cfg(model_name, tag or "")
    return "url" not in weights or (_DOWNLOADS / Path(weights["url"]).name).is_file()


def _repository(name: str) -> str:
    """The Hub repository of the weights; "" where they come from elsewhere."""
    from open_clip import get_pretrained_cfg

    if name.startswith("local-dir:"):
        return ""
    if name.startswith("hf-hub:"):
        return name.removeprefix("hf-hub:")
    model_name, tag = _source(name, None)
    return str(get_pretrained_cfg(model_name, tag or "").get("hf_hub", "")).rpartition("/")[0]


def _source(name: str, base_dir: Path | None) -> tuple[str, str | None]:
    """The encoder's name -> open_clip's (model name, pretrained tag)."""
    if name.startswith("local-dir:"):
        folder = Path(resolve_model_name(name.removeprefix("local-dir:"), base_dir))
        if not folder.is_dir():
            raise CheckpointError(f"The image encoder's folder {folder} does not exist.")
        if not (folder / "open_clip_config.json").is_file():
            raise CheckpointError(
                f"{folder} holds no open_clip model: open_clip_config.json is missing.",
                "Name a folder that open_clip saved, or leave out open_clip:local-dir: for a transformers model.",
            )
        return f"local-dir:{folder}", None
    if name.startswith("hf-hub:"):
        return name, None
    model_name, _, pretrained = name.rpartition("/")
    if not model_name:
        raise ConfigError(f"open_clip:{name} is not an encoder name.", "Write open_clip:MODEL/PRETRAINED.")
    return model_name, pretrained


def _grid(visual: Any, pixel_values: Tensor) -> Tensor:
    """The patches (B, P, C) of an image tower."""
    trunk = getattr(visual, "trunk", None)
    if trunk is not None and is_timm_tower(trunk):
        return timm_grid(trunk, trunk.forward_features(pixel_values))
    if hasattr(visual, "attnpool"):  # ModifiedResNet
        maps = visual.forward_intermediates(pixel_values, indices=1, intermediates_only=True)["image_intermediates"]
        return patches(maps[-1])
    inner = visual.forward_intermediates(pixel_values, indices=1, intermediates_only=True, output_fmt="NLC")
    return inner["image_intermediates"][-1]


@contextlib.contextmanager
def _without_log() -> Iterator[None]:
    """Drops what open_clip writes to the root logger itself: what goes wrong is raised, too."""
    root = logging.getLogger()

    def drop(record: logging.LogRecord) -> bool:
        return False

    root.addFilter(drop)
    try:
        yield
    finally:
        root.removeFilter(drop)
