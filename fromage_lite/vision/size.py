"""How large an image encoder is, from its configuration alone."""

from __future__ import annotations

from pathlib import Path

from fromage_lite.checkpoint.locate import resolve_model_name
from fromage_lite.config import FromageConfig
from fromage_lite.placement import _count, _empty


def encoder_parameters(config: FromageConfig, base_dir: Path | None = None) -> int:
    """How many numbers the image encoder's weights are, a text tower that is loaded with it included."""
    kind, _, rest = config.vision_encoder.partition(":")
    if kind == "open_clip":
        import open_clip

        from fromage_lite.vision.open_clip_models import source

        with _empty():
            return _count(open_clip.create_model(source(rest, base_dir)[0], load_weights=False, device="meta"))
    if kind == "timm":
        import timm

        name = rest
        if rest.startswith("local-dir:"):
            name = f"local-dir:{resolve_model_name(rest.removeprefix('local-dir:'), base_dir)}"
        with _empty():
            return _count(timm.create_model(name, pretrained=False, num_classes=0))
    from transformers import AutoConfig

    from fromage_lite.vision.transformers_models import tower

    name = resolve_model_name(config.vision_encoder, base_dir)
    settings = AutoConfig.from_pretrained(name, revision=config.vision_encoder_revision)
    with _empty():
        return _count(tower(settings))
