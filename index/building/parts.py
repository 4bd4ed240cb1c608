"""Finished pieces of a build on many machines: Parquet files in a shared folder or an object store, through fsspec.

One row a picture: `source`, `size` and `mtime` (the file's when it was listed, null for a web address), `content`
(SHA-256 of its bytes), `feature` (fp16, null where it could not be had), `thumbnail` (JPEG), and `error`, `cause` and
`lasting` of a picture that can't be read; `facts` are those of `pictures.facts` that the picture itself says. A file
is there whole or not at all, and named by the pictures in it: written twice, it is one file.
"""

from __future__ import annotations

import hashlib
import io
import sqlite3
from collections import OrderedDict
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypedDict

from index.errors import StoreError, reason
from index.files import write_bytes

if TYPE_CHECKING:
    import pyarrow

_KEY = ("source", "size", "mtime")
KEPT_OPEN = 4  # parts in memory: neighbours in the order of the pictures are neighbours in few parts


class PartRow(TypedDict):
    """A picture in a part; see the module."""

    source: str
    size: int | None
    mtime: int | None
    content: bytes
    feature: bytes | None
    thumbnail: bytes
    error: str
    cause: str
    lasting: bool
    facts: dict[str, Any] | None


@dataclass(frozen=True)
class Parts:
    """The parts of one encoder in a folder.

    Attributes:
        folder: a path or an address that fsspec knows: `/shared/build`, `s3://bucket/build`.
        encoder_fingerprint: of the encoder that makes the features.
    """

    folder: str
    encoder_fingerprint: str

    @cached_property
    def _place(self) -> tuple[Any, str]:
        from fsspec.core import url_to_fs

        try:
            system, root = url_to_fs(self.folder)
        except (ImportError, ValueError) as error:
            raise StoreError(f"The shards can't go to {self.folder}: {reason(error)}.", "Name a folder.") from error
        return system, f"{root.rstrip('/')}/{self.encoder_fingerprint}"

    def write(self, rows: pyarrow.Table) -> str:
        """Write a part, atomically; its name. `rows` are `schema`'s."""
        import pyarrow.parquet as parquet

        system, folder = self._place
        digest = hashlib.sha256()
        for name in _KEY:
            digest.update("\0".join(map(str, rows.column(name).to_pylist())).encode(errors="surrogatepass"))
        name = f"part-{digest.hexdigest()[:24]}.parquet"
        data = io.BytesIO()
        parquet.write_table(rows, data, compression="none", write_page_checksum=True)
        if _is_local(system):
            write_bytes(Path(folder) / name, data.getvalue())
        else:
            system.pipe_file(f"{folder}/{name}", data.getvalue())  # an object store shows an object when it is whole
        return name

    def names(self) -> list[str]:
        """The finished parts."""
        system, folder = self._place
        try:
            found = system.ls(folder, detail=False)
        except FileNotFoundError:
            return []
        except OSError as error:
            raise StoreError(f"The shards in {self.folder} can't be listed: {reason(error)}.") from error
        names = sorted(str(path).rpartition("/")[2] for path in found)
        return [name for name in names if name.startswith("part-") and name.endswith(".parquet")]

    def read(self, name: str, columns: Sequence[str] | None = None) -> list[PartRow] | None:
        """The rows of a part; None for a damaged one, which is removed."""
        import pyarrow
        import pyarrow.parquet as parquet

        system, folder = self._place
        try:
            data = system.cat_file(f"{folder}/{name}")
            table = parquet.read_table(
                io.BytesIO(data), columns=columns and list(columns), page_checksum_verification=True
            )
        except FileNotFoundError:
            return None
        except (pyarrow.ArrowException, OSError, ValueError):
            with suppress(OSError):
                system.rm_file(f"{folder}/{name}")
            return None
        return table.to_pylist()

    def remove(self) -> None:
        """Delete the parts, and the folder if that leaves it empty."""
        system, folder = self._place
        for name in self.names():
            system.rm_file(f"{folder}/{name}")
        if _is_local(system):
            with suppress(OSError):
                Path(folder).rmdir()
                Path(folder).parent.rmdir()


def schema() -> pyarrow.Schema:
    """Of a part."""
    import pyarrow as pa

    kinds = {"source": pa.string(), "size": pa.int64(), "mtime": pa.int64(), "content": pa.binary()}
    kinds |= {"feature": pa.binary(), "thumbnail": pa.binary(), "error": pa.string(), "cause": pa.string()}
    facts = {"width": pa.int64(), "height": pa.int64(), "file_bytes": pa.int64(), "taken": pa.string()}
    return pa.schema(
        [*kinds.items(), ("lasting", pa.bool_()), ("facts", pa.struct([*facts.items(), ("phash", pa.int64())]))]
    )


class Finished:
    """The rows of all finished parts, found by their source. Where they are is in a temporary file, not in memory."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._names: list[str] = []
        self._open: OrderedDict[int, list[PartRow]] = OrderedDict()
        self._rows = sqlite3.connect("")
        self._rows.execute("CREATE TABLE rows (source TEXT PRIMARY KEY, size, mtime, part, row) WITHOUT ROWID")
        self.add(parts.names(), are_checked=True)

    def add(self, names: Sequence[str], *, are_checked: bool = False) -> None:
        """Take parts in. Those of an earlier run are read whole: damaged ones can still be made again."""
        known, columns = set(self._names), None if are_checked else _KEY
        for name in names:
            if name in known or (rows := self._parts.read(name, columns)) is None:
                continue
            part = len(self._names)
            self._names.append(name)
            new = ((row["source"], row["size"], row["mtime"], part, number) for number, row in enumerate(rows))
            self._rows.executemany("INSERT OR REPLACE INTO rows VALUES (?, ?, ?, ?, ?)", new)

    def has(self, source: str, stamp: tuple[int, int] | None) -> bool:
        """Whether a picture is done, in the version with this size and date."""
        return self._find(source, stamp) is not None

    def row(self, source: str, stamp: tuple[int, int] | None) -> PartRow | None:
        """What became of a picture; None if it isn't done, or its part was damaged meanwhile."""
        if (found := self._find(source, stamp)) is None:
            return None
        part, number = found
        if part not in self._open:
            rows = self._parts.read(self._names[part])
            if rows is None or number >= len(rows):
                return None
            self._open[part] = rows
            if len(self._open) > KEPT_OPEN:
                self._open.popitem(last=False)
        self._open.move_to_end(part)
        return self._open[part][number]

    def close(self) -> None:
        """Give the temporary file back."""
        self._rows.close()

    def _find(self, source: str, stamp: tuple[int, int] | None) -> tuple[int, int] | None:
        query = "SELECT part, row FROM rows WHERE source = ? AND size IS ? AND mtime IS ?"
        found = self._rows.execute(query, (source, *(stamp or (None, None)))).fetchone()
        return (found[0], found[1]) if found else None


def _is_local(system: Any) -> bool:
    return "file" in ([system.protocol] if isinstance(system.protocol, str) else system.protocol)
