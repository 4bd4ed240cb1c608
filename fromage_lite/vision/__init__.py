"""Frozen image encoders behind one class: transformers, open_clip and timm models, chosen by the name's prefix."""

from fromage_lite.vision.backend import ImageFeatures
from fromage_lite.vision.encoder import VisionEncoder, tensor_hash

__all__ = ["ImageFeatures", "VisionEncoder", "tensor_hash"]
