"""Captioned pictures: COCO, NoCaps, Flickr30k (Karpathy's JSON, and the token file), CC3M's table."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from fromage_lite.errors import DataError
from fromage_lite.evaluate.formats.nodes import Node, read_json
from fromage_lite.evaluate.formats.pictures import PictureRef, coco_names
from fromage_lite.text.marks import without_marks
from index.errors import reason
from index.pictures.images import is_url
from index.sources.tables import read_rows


@dataclass(frozen=True)
class Captioned:
    """A picture with its captions.

    Attributes:
        picture: the picture.
        captions: at least one, each on one line.
        domain: NoCaps' `in-domain`, `near-domain` or `out-domain`; else empty.
    """

    picture: PictureRef
    captions: tuple[str, ...]
    domain: str = ""


def read_captions(path: str | Path, split: str = "test") -> list[Captioned]:
    """Reads a file of captions in any of the formats here, told by its content.

    Args:
        path: the file.
        split: of Karpathy's files, which hold all splits in one; `restval` there counts as `train`.

    Returns:
        the pictures that have a caption, in the file's order.

    Raises:
        DataError: the file is missing or has another form, or no picture in it has a caption.
    """
    file = Path(path).expanduser()
    where = ""
    if file.suffix.lower() == ".json":
        node = read_json(file)
        images = node["images"]
        is_karpathy = any(image.get("sentences") is not None for image in _first(images))
        pictures = _karpathy(images, split) if is_karpathy else _coco(node)
        where = f" in the split {split}" if is_karpathy else ""
    elif file.suffix.lower() == ".token":
        pictures = _tokens(file)
    else:
        pictures = _table(file)
    if not pictures:
        raise DataError(f"{file} has no picture with a caption{where}.")
    return pictures


def _first(images: Node) -> Iterator[Node]:
    for image in images.items():
        yield image
        return


def _coco(node: Node) -> list[Captioned]:
    """COCO's captions, and NoCaps' in the same form: `images` and `annotations`."""
    captions: dict[str, list[str]] = {}
    for entry in node["annotations"].items():
        if text := entry["caption"].text():
            captions.setdefault(entry["image_id"].id(), []).append(text)
    found = []
    for image in node["images"].items():
        id = image["id"].id()
        if id in captions:
            name, url, domain = (_text(image, key) for key in ("file_name", "coco_url", "domain"))
            names = ((name,) if name else ()) + coco_names(id, node.file.name)
            found.append(Captioned(PictureRef(id, names, url), tuple(captions.pop(id)), domain))
    return found


def _karpathy(images: Node, split: str) -> list[Captioned]:
    """`dataset_flickr30k.json`, `dataset_coco.json`: sentences inside `images`."""
    found = []
    for image in images.items():
        own = image["split"].text()
        if split != ("train" if own == "restval" else own):
            continue
        name, folder = image["filename"].text(), _text(image, "filepath")
        id = image["imgid"].id()
        captions = tuple(text for sentence in image["sentences"].items() if (text := sentence["raw"].text()))
        if captions:
            names = (f"{folder}/{name}", name) if folder else (name,)
            found.append(Captioned(PictureRef(id, names), captions))
    return found


def _tokens(file: Path) -> list[Captioned]:
    """`results_20130124.token`: lines `1000092795.jpg#0<TAB>caption`."""
    captions: dict[str, list[str]] = {}
    try:
        lines = file.read_text(encoding="utf-8", errors="replace").splitlines()
    except FileNotFoundError:
        raise DataError(f"There is no file {file}.") from None
    except OSError as error:
        raise DataError(f"{file} can't be read: {reason(error)}.") from error
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        head, tab, text = line.partition("\t")
        name, mark, _ = head.rpartition("#")
        if not (tab and mark and name):
            raise DataError(f"{file}: line {number} is not of the form NAME#NUMBER<TAB>caption.")
        if text := " ".join(without_marks(text).split()):
            captions.setdefault(name, []).append(text)
    return [Captioned(PictureRef(name, (name,)), tuple(texts)) for name, texts in captions.items()]


def _table(file: Path) -> list[Captioned]:
    """`caption<TAB>image`, with or without a heading: Google's CC3M files, and the original's."""
    if not file.is_file():
        raise DataError(f"There is no file {file}.")
    captions: dict[str, list[str]] = {}
    for row in read_rows(file):
        if not row.problem and (text := " ".join(without_marks(row.caption).split())):
            captions.setdefault(row.image, []).append(text)
    return [
        Captioned(PictureRef(image, () if is_url(image) else (image,), image if is_url(image) else ""), tuple(texts))
        for image, texts in captions.items()
    ]


def _text(node: Node, key: str) -> str:
    found = node.get(key)
    return "" if found is None else found.text()
