"""How pictures are drawn. Decided once, before the app starts: afterwards the terminal can't be asked any more."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Callable
from enum import StrEnum
from typing import Any, Protocol, runtime_checkable

from PIL.Image import Image
from textual.widget import Widget

from fromage_lite.errors import ConfigError

ENVIRONMENT_VARIABLE = "FROMAGE_IMAGES"


class ImageMode(StrEnum):
    """A way to draw pictures that the terminal is known, or was told, to support."""

    KITTY = "kitty"
    SIXEL = "sixel"
    HALFBLOCK = "halfblock"
    NONE = "none"


CHOICES = ("auto", *(mode.value for mode in ImageMode))


def resolve_image_mode(requested: str = "auto") -> ImageMode:
    """The mode to draw with; an explicit request wins over the environment, "auto" asks the terminal.

    Raises:
        ConfigError: the request, or the environment variable, names no mode.
    """
    requested = requested.strip().lower()
    if requested == "auto":
        requested = os.environ.get(ENVIRONMENT_VARIABLE, "auto").strip().lower() or "auto"
    if requested not in CHOICES:
        raise ConfigError(f"'{requested}' is no way to draw pictures.", f"Choose one of {', '.join(CHOICES)}.")
    # The import asks the terminal for its cell size and abilities, so it has to happen now, whatever the mode.
    detected = _ask_terminal()
    return detected if requested == "auto" else ImageMode(requested)


def _ask_terminal() -> ImageMode:
    # Terminals that don't answer make the library print warnings with tracebacks.
    logging.getLogger("textual_image").setLevel(logging.ERROR)
    if sys.__stdout__ is None:
        return ImageMode.NONE
    from textual_image import renderable

    if renderable.Image is renderable.SixelImage:
        return ImageMode.SIXEL
    if renderable.Image is renderable.TGPImage:
        return ImageMode.KITTY
    return ImageMode.HALFBLOCK  # also where there is no terminal to ask: in a browser, in tests


def image_widget(mode: ImageMode) -> Callable[..., Widget] | None:
    """The widget class that draws pictures in this mode; None where none are drawn. Its argument is a PIL image."""
    if mode is ImageMode.NONE:
        return None
    if mode is ImageMode.HALFBLOCK:
        from tui.pictures.half_blocks import HalfBlocks

        return HalfBlocks
    from textual_image import widget

    return widget.TGPImage if mode is ImageMode.KITTY else widget.SixelImage


@runtime_checkable
class ShowsImage(Protocol):
    """What the widgets that `image_widget` makes have in common."""

    image: Image | None


def show_image(widget: Widget, image: Image | None) -> None:
    """Draws another image in a widget that `image_widget` has made."""
    assert isinstance(widget, ShowsImage)
    widget.image = image


def image_renderable(mode: ImageMode) -> Callable[..., Any]:
    """What prints pictures in this mode, for Rich: called with a PIL image, width and height in cells."""
    from textual_image import renderable

    classes = {
        ImageMode.KITTY: renderable.TGPImage,
        ImageMode.SIXEL: renderable.SixelImage,
        ImageMode.HALFBLOCK: renderable.HalfcellImage,
    }
    return classes[mode]


def cell_ratio() -> float:
    """Height of a terminal cell in widths."""
    if sys.__stdout__ is None:
        return 2.0
    from textual_image._terminal import get_cell_size  # cached at import; no public name in 0.12

    width, height = get_cell_size()
    return height / width if width and height else 2.0
