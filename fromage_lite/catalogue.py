"""What models can be had: the shipped ones, the released FROMAGe, bridges in folders. Plain data; no weights are read
and nothing is asked of the network."""

from __future__ import annotations

import dataclasses
import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from fromage_lite.checkpoint.footprint import Footprint, folder_bytes, footprint
from fromage_lite.config import (
    CONFIG_FILE,
    DEFAULT_BRIDGE,
    PHOTOS,
    PLAYGROUND,
    SHIPPED,
    FromageConfig,
    default_model,
    read_config,
    shipped_dir,
    shipped_name,
)
from fromage_lite.errors import FromageError
from fromage_lite.plain_data import PlainData
from index.store.manifest import INDEX_MANIFEST, IndexManifest

Kind = Literal["shipped", "released", "bridge", "encoder"]

RUNS = Path("runs")  # where `train` writes if no folder is named
MOST_FOLDERS = 500  # of one place that are looked at
GOOD_AT = {
    PHOTOS: "photographs: names a thousand kinds of things, says when it can't tell; finds your own pictures",
    PLAYGROUND: "its small world of pictograms, in which the method can be studied",
}

_REPOSITORY = "git clone https://github.com/kohjingyu/fromage"
_RELEASED = {
    "fromage/fromage_model/fromage_vis4": "photographs, with 4 visual tokens: describes, answers, finds",
    "fromage/fromage_model": "photographs, with 1 visual token, as in the paper",
}
_RELEASED_CONFIG = FromageConfig("facebook/opt-6.7b", "openai/clip-vit-large-patch14")


@dataclass(frozen=True)
class Model(PlainData):
    """A model that can be had.

    Attributes:
        name: what `--model` and `/model` take.
        kind: `shipped` with the program, `released` by the paper's authors, a `bridge` in a folder, or an `encoder`
            without a bridge that made an index: it only searches.
        good_at: what it is good at, a phrase.
        language_model: its language model, as its configuration names it; "" for an encoder.
        vision_encoder: its image encoder, likewise.
        is_here: whether its own files are on this computer; its frozen models may still have to be downloaded.
        is_default: whether it answers where no model is named and nothing else decides.
        disk: bytes that it takes on this computer, frozen models included unless another model brings them.
        download: bytes that its first start would download; None if that isn't known.
        memory: bytes that it takes when it is loaded, an estimate; None if that isn't known.
        precision: of the frozen models, for which `memory` is told: fp32, or bf16 for large ones.
        get: how to get it, if it isn't here.
    """

    name: str
    kind: Kind
    good_at: str
    language_model: str
    vision_encoder: str
    is_here: bool = True
    is_default: bool = False
    disk: int = 0
    download: int | None = 0
    memory: int | None = None
    precision: str = "fp32"
    get: str = ""

    SUBJECT = "an entry of the catalogue"


def catalogue(places: Sequence[Path] = (RUNS, Path())) -> list[Model]:
    """All models that can be had, the shipped ones first.

    Args:
        places: folders below which bridges are looked for, `PLACE/BRIDGE` and `PLACE/RUN/best`, and indexes that
            encoders alone made, `PLACE/INDEX`.
    """
    return [*_shipped(), *_released(), *_bridges(places), *_encoders(places)]


def _shipped() -> Iterator[Model]:
    for name in SHIPPED:
        home = shipped_dir(name)
        if (found := _read(home)) is not None:
            folder, config = found
            entry = _entry(name, "shipped", GOOD_AT[name], config, footprint(config, folder))
            # All of it: several bridges may share the frozen models.
            yield dataclasses.replace(entry, is_default=name == default_model(), disk=entry.disk + folder_bytes(home))


def _released() -> Iterator[Model]:
    for name, good_at in _RELEASED.items():
        folder = Path(name)
        entry = _entry(name, "released", good_at, _RELEASED_CONFIG, footprint(_RELEASED_CONFIG, None))
        is_here = (folder / "model_args.json").is_file()
        own = sum(file.stat().st_size for file in folder.iterdir() if file.is_file()) if is_here else 0
        yield dataclasses.replace(entry, is_here=is_here, disk=entry.disk + own, get="" if is_here else _REPOSITORY)


def _bridges(places: Sequence[Path]) -> Iterator[Model]:
    seen: set[Path] = set()
    for place in places:
        for folder in _folders(place):
            # A run's best bridge; one that is still in its beginnings has a last one only.
            for name in (folder, folder / "best", folder / "last"):
                if (found := _read(name)) is None or shipped_name(name):
                    continue
                path, config = found
                if path.resolve() not in seen:
                    seen.add(path.resolve())
                    what = f"what it was trained on: {_short(config.language_model)} sees with "
                    size = footprint(config, path)
                    entry = _entry(str(name), "bridge", what + _short(config.vision_encoder), config, size)
                    yield dataclasses.replace(entry, disk=size.disk + folder_bytes(path))
                break


def _encoders(places: Sequence[Path]) -> Iterator[Model]:
    for place in places:
        for folder in _folders(place):
            try:
                index = IndexManifest.read(folder / INDEX_MANIFEST)
            except FromageError:
                continue
            if not index.has_bridge and index.model:
                command = shlex.join(["fromage-lite", "search", "WORDS", "--index", str(folder)])
                good_at = f"searching {index.count:,} pictures, without a bridge: {command}"
                yield Model(index.model, "encoder", good_at, "", index.model, disk=folder_bytes(folder))


def _folders(place: Path) -> list[Path]:
    try:
        found = [entry for entry in place.iterdir() if not entry.name.startswith(".") and entry.is_dir()]
    except OSError:
        return []
    return sorted(found)[:MOST_FOLDERS]


def _read(folder: Path) -> tuple[Path, FromageConfig] | None:
    """A checkpoint's folder and configuration; None where there is no bridge of ours."""
    for path in (folder, folder / DEFAULT_BRIDGE):
        if (path / CONFIG_FILE).is_file():
            try:
                return path, read_config(path)
            except FromageError:  # a language model's folder has a file of that name, too
                return None
    return None


def _entry(name: str, kind: Kind, good_at: str, config: FromageConfig, size: Footprint) -> Model:
    return Model(
        name,
        kind,
        good_at,
        config.language_model,
        config.vision_encoder,
        disk=size.disk,
        download=size.download,
        memory=size.memory,
        precision=size.precision,
    )


def _short(name: str) -> str:
    """The last part of a frozen model's name."""
    return name.rstrip("/").rpartition("/")[2].rpartition(":")[2]
