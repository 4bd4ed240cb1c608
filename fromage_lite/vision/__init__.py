"""Frozen image encoders behind one class: transformers, open_clip and timm models, chosen by the name's prefix."""

from fromage_lite.vision.backend import ImageFeatures
from fromage_lite.vision.encoder import VisionEncoder, tensor_hash
from fromage_lite.vision.space import EncoderSpace
from fromage_lite.vision.text_tower import TextTower, beginning

__all__ = ["EncoderSpace", "ImageFeatures", "TextTower", "VisionEncoder", "beginning", "tensor_hash"]
