"""The protocol between the model's process and a visitor's: JSON objects, one per line. No pickle, no code."""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Iterable, Mapping
from typing import Any

from fromage_lite.chat.event_data import error_from_dict, error_to_dict
from fromage_lite.errors import DataError, FromageError
from fromage_lite.model.inspection import PatchGrid
from index.errors import reason
from index.pictures.images import open_image
from index.search.hits import Hit

MAX_LINE = 256 * 2**20  # bytes; a whole resumed conversation is one line

Pictures = list[tuple[Hit, bytes | FromageError]]


def encode(data: Mapping[str, Any]) -> bytes:
    """An object as one line."""
    return json.dumps(data).encode() + b"\n"


def decode(line: bytes) -> dict[str, Any]:
    """The object on a line.

    Raises:
        DataError: there is none.
    """
    try:
        data = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise DataError(f"The line can't be read: {reason(error)}.") from error
    if not isinstance(data, dict):
        raise DataError("The line holds no object.")
    return data


def pictures_to_data(pictures: Iterable[tuple[Hit, bytes | FromageError]]) -> list[dict[str, Any]]:
    """Hits, each with its thumbnail or with why there is none."""
    return [{"hit": hit.to_dict(), **_picture_to_data(found)} for hit, found in pictures]


def _picture_to_data(found: bytes | FromageError) -> dict[str, Any]:
    if isinstance(found, FromageError):
        return {"error": error_to_dict(found)}
    return {"data": base64.b64encode(found).decode()}


def pictures_from_data(data: Iterable[Mapping[str, Any]]) -> Pictures:
    """The inverse of `pictures_to_data`."""
    return [(Hit.from_dict(entry["hit"]), _picture_from_data(entry)) for entry in data]


def _picture_from_data(entry: Mapping[str, Any]) -> bytes | FromageError:
    return error_from_dict(entry["error"]) if "error" in entry else base64.b64decode(entry["data"])


def patches_to_data(patches: PatchGrid | None) -> dict[str, Any] | None:
    """A picture, as a PNG file, and its numbers of patches."""
    if patches is None:
        return None
    file = io.BytesIO()
    patches.image.save(file, "PNG")
    return {"rows": patches.rows, "columns": patches.columns, "data": base64.b64encode(file.getvalue()).decode()}


def patches_from_data(data: Mapping[str, Any] | None) -> PatchGrid | None:
    """The inverse of `patches_to_data`."""
    if data is None:
        return None
    return PatchGrid(open_image(base64.b64decode(data["data"])), int(data["rows"]), int(data["columns"]))
