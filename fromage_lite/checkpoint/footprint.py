"""What a checkpoint takes, told from files' headers alone: on disk, to download, in memory. No torch here."""

from __future__ import annotations

import json
import math
import os
from dataclasses import dataclass
from pathlib import Path

from fromage_lite.config import FromageConfig

CACHE_POSITIONS = 4096  # models that could read 100,000 positions seldom do, and a cache grows as needed
LARGE = 10**9  # numbers of a language model from which on nobody runs it in float32
_MOST_HEADER_BYTES = 50_000_000


@dataclass(frozen=True)
class Frozen:
    """One of the two frozen models.

    Attributes:
        numbers: how many its weights have, as far as they are loaded; None if that isn't known.
        disk: bytes on this computer that belong to it alone.
        download: bytes that its first use would download; None if that isn't known.
        cached: numbers that one position adds to the KV cache, for a language model.
        positions: how many it has.
    """

    numbers: int | None
    disk: int = 0
    download: int | None = 0
    cached: int = 0
    positions: int = 0


@dataclass(frozen=True)
class Footprint:
    """What a model takes in bytes, as `catalogue.Model` has it."""

    disk: int
    download: int | None
    memory: int | None
    precision: str


# Files on the Hub or in a package, and numbers that are loaded: of CLIP only the half that sees.
KNOWN = {
    "facebook/opt-6.7b": Frozen(6_658_473_984, 0, 13_317_000_000, 2 * 32 * 4096, 2048),
    "facebook/opt-1.3b": Frozen(1_315_758_080, 0, 2_632_000_000, 2 * 24 * 2048, 2048),
    "facebook/opt-125m": Frozen(125_239_296, 0, 251_000_000, 2 * 12 * 768, 2048),
    "openai/clip-vit-large-patch14": Frozen(303_179_776, 0, 1_711_000_000),
    "openai/clip-vit-base-patch32": Frozen(87_456_000, 0, 605_000_000),
    "timm-classifier:pypi:tf_efficientnet_lite0": Frozen(4_652_008, 18_826_032),
}
UNKNOWN = Frozen(None, download=None)


def footprint(config: FromageConfig, folder: Path | None) -> Footprint:
    """What a bridge takes with its frozen models.

    Args:
        config: names them.
        folder: the bridge's folder, from which relative names count; None if it isn't here.
    """
    language, vision = _frozen(config.language_model, folder), _frozen(config.vision_encoder, folder)
    parts = (language, vision)
    downloads = [part.download for part in parts if part.download is not None]
    memory, precision = None, "fp32"
    if language.numbers is not None and vision.numbers is not None:
        width, precision = (2, "bf16") if language.numbers >= LARGE else (4, "fp32")
        cache = language.cached * min(language.positions or CACHE_POSITIONS, CACHE_POSITIONS)
        memory = width * (language.numbers + vision.numbers + cache) + 4 * bridge_parameters(config)
    return Footprint(
        sum(part.disk for part in parts), sum(downloads) if len(downloads) == 2 else None, memory, precision
    )


def folder_bytes(folder: Path) -> int:
    """Bytes of all files below a folder."""
    total = 0
    for inside, _, names in os.walk(folder):
        for name in names:
            try:
                total += (Path(inside) / name).stat().st_size
            except OSError:
                continue
    return total


def _frozen(name: str, folder: Path | None) -> Frozen:
    plain = name.rpartition("local-dir:")[2]
    for place in (folder or Path(), Path()):
        if (place / plain).is_dir():
            # It is another model's, which says what it takes on disk.
            return _in_folder(place / plain, disk=0)
    if name in KNOWN and KNOWN[name].download == 0:
        return KNOWN[name]
    if (cached := _in_hub_cache(name)) is not None:
        return cached
    return KNOWN.get(name, UNKNOWN)


def _in_folder(folder: Path, disk: int) -> Frozen:
    found = [_numbers(file) for file in sorted(folder.glob("*.safetensors"))]
    numbers = [count for count in found if count is not None]
    settings = _settings(folder)
    heads = settings.get("num_key_value_heads") or settings.get("num_attention_heads") or 0
    width = settings.get("head_dim") or settings.get("hidden_size", 0) // max(settings.get("num_attention_heads", 1), 1)
    cached = 2 * settings.get("num_hidden_layers", 0) * heads * width
    known = sum(numbers) if found and len(numbers) == len(found) else None
    return Frozen(known, disk, 0, cached, settings.get("max_position_embeddings", 0))


def _in_hub_cache(name: str) -> Frozen | None:
    """A frozen model of the Hub that was downloaded already; None for all others."""
    from huggingface_hub import try_to_load_from_cache

    try:
        found = try_to_load_from_cache(name, "config.json")
    except ValueError:  # no name of the Hub
        return None
    if not isinstance(found, str):
        return None
    folder = Path(found).parent
    here = _in_folder(folder, folder_bytes(folder))
    known = KNOWN.get(name, here)
    return Frozen(known.numbers, here.disk, 0, known.cached, known.positions)


def _settings(folder: Path) -> dict[str, int]:
    """The whole numbers of a language model's configuration."""
    try:
        data = json.loads((folder / "config.json").read_bytes())
    except (OSError, ValueError):
        return {}
    wanted = data.items() if isinstance(data, dict) else ()
    return {name: value for name, value in wanted if type(value) is int and 0 <= value < 2**40}


def _numbers(file: Path) -> int | None:
    """How many numbers a safetensors file holds, by its header; None if that can't be read."""
    try:
        with file.open("rb") as data:
            length = int.from_bytes(data.read(8), "little")
            if length > _MOST_HEADER_BYTES:
                return None
            header = json.loads(data.read(length))
        return sum(math.prod(entry["shape"]) for name, entry in header.items() if name != "__metadata__")
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return None


def bridge_parameters(config: FromageConfig) -> int:
    """How many numbers the bridge has; 0 if the configuration does not have the models' widths yet."""
    if config.visual_dim is None or config.lm_dim is None:
        return 0
    tokens = 1 if config.visual_input == "grid" else config.n_visual_tokens
    if not config.shared_map:
        tokens *= max(len(config.encoder_layers), 1)
    size = (config.visual_dim + 1) * (tokens * config.lm_dim + config.retrieval_dim)
    return size + len(config.text_emb_layers) * (config.lm_dim + 1) * config.retrieval_dim + config.lm_dim + 1
