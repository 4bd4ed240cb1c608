"""What a store and an index say about themselves, and their errors in words."""

from __future__ import annotations

import dataclasses
import json
import math
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Self, cast

from index.errors import StoreError, reason
from index.files import write_bytes
from index.text import one_line

STORE_MANIFEST = "manifest.json"
INDEX_MANIFEST = "index.json"
FEATURES = "features.bin"
THUMBNAILS = "thumbnails.bin"
ROWS = "rows.sqlite"
REBUILD = "Delete the folder and build it again."
PROJECTED = "projected:"  # prefixes the encoder fingerprint of a store that holds a bridge's image embeddings
ENCODER = "encoder:"  # prefixes the bridge fingerprint of an index in an encoder's own space: there is no bridge
VERSION = 1


@dataclass(frozen=True)
class _Manifest:
    LATER: ClassVar[frozenset[str]] = frozenset()
    """Fields that manifests of earlier programs lack; they have a default."""

    def to_json(self) -> bytes:
        return (json.dumps(dataclasses.asdict(self), indent=2, sort_keys=True) + "\n").encode()

    def write(self, path: Path) -> None:
        """Write the manifest file, atomically.

        Raises:
            OSError: it can't be written.
        """
        write_bytes(path, self.to_json())

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read and check a manifest file.

        Raises:
            StoreError: the file is missing, unreadable, not JSON, of another format or version, or has a wrong field.
        """
        try:
            data = json.loads(path.read_bytes())
        except FileNotFoundError:
            raise StoreError(f"{path} is missing.") from None
        except OSError as error:
            raise StoreError(f"{path} can't be read: {reason(error)}.") from error
        except ValueError as error:
            raise StoreError(f"{path} is damaged: it is not JSON.", "Build it again.") from error
        return cls._from_data(data, path)

    @classmethod
    def _from_data(cls, data: object, path: Path) -> Self:
        fields = {field.name: field for field in dataclasses.fields(cls)}
        wanted_format = fields["format"].default
        if not isinstance(data, dict) or data.get("format") != wanted_format:
            raise StoreError(f"{path} is damaged: it is not a {wanted_format} manifest.", "Build it again.")
        if data.get("version") != VERSION:
            raise StoreError(
                f"{path} is of version {data.get('version')}, and this program reads version {VERSION}.",
                "Build it again with this program, or use the program that made it.",
            )
        missing = set(fields) - set(data) - cls.LATER
        if wrong := sorted(missing | (set(data) - set(fields))):
            raise StoreError(f"{path} is damaged: the fields {wrong} are missing or unknown.", "Build it again.")
        for name, value in data.items():
            if not _fits(fields[name].type, value):
                raise StoreError(f"{path} is damaged: {name} can't be {value!r}.", "Build it again.")
        return cls(**data)


def _fits(wanted: object, value: object) -> bool:
    """Whether a value out of a manifest is of the type that its field is annotated with; numbers are never negative."""
    match wanted:
        case "int":
            return type(value) is int and value >= 0
        case "float":
            return type(value) in (int, float) and 0 <= cast("float", value) < math.inf
        case "bool":
            return type(value) is bool
    return type(value) is str


@dataclass(frozen=True)
class StoreManifest(_Manifest):
    """`manifest.json` of a feature store, written when everything it describes is on disk.

    Attributes:
        dim: width of the features.
        count: rows, removed ones included; row ids are 0 to count - 1.
        thumbnail_bytes: how much of the thumbnail file belongs to those rows.
        encoder_fingerprint: the frozen encoder that made the features; `PROJECTED` and a bridge's fingerprint where
            the rows are that bridge's image embeddings.
        dtype: float16 for features, float32 for image embeddings.
        preprocessing: how pictures are prepared for the encoder, in its library's words; "" if that isn't known.
    """

    LATER = frozenset({"preprocessing"})

    dim: int
    count: int
    thumbnail_bytes: int
    encoder_fingerprint: str
    dtype: str = "float16"
    preprocessing: str = ""
    format: str = "fromage-lite-store"
    version: int = VERSION


@dataclass(frozen=True)
class IndexManifest(_Manifest):
    """`index.json`, beside the FAISS file.

    Attributes:
        dim: width of the retrieval space.
        count: pictures that can be found.
        file_bytes: size of the FAISS file, by which a truncated one is recognised.
        file_crc: its CRC-32, by which `doctor` recognises a damaged one; -1 in an index of an earlier program.
        kind: the FAISS factory string.
        bridge_fingerprint: the bridge (and encoder) whose projection made the vectors; `ENCODER` and a fingerprint
            where they are in the encoder's own space.
        encoder_fingerprint: the encoder of the store that the vectors were derived from.
        store: the store's folder, relative to the index folder; "." when they are one folder.
        model: the model that made it, as `--model` takes it from any folder; "" if that isn't known.
        match_score: the score from which on a picture counts as what was asked for in words, as it was calibrated for
            the model; 0 if it wasn't.
        reason: why it is of this kind, a sentence.
        is_compact: whether it is to take little memory: exact vectors are never mapped, however many a query needs.
        wished_recall: the recall@10 against exact search that it was tuned to; 0 where nothing was tuned.
        recall: the recall@10 that it has on held-out queries; 0 where it wasn't measured, 1 of an exact kind.
        probes: inverted lists that a query looks into; 0 for a kind without lists.
        factor: candidates looked at exactly for each picture asked for; 0 for a kind without a second look.
        store_rows: rows of the store, removed ones included, that it has taken in; 0 if that isn't known.
        store_crc: of the checksums of their features, by which another store in the same place is recognised; 0
            likewise.
        changes: name of the file of what was added and removed since the FAISS file was written; "" if there is none.
        changes_crc: its CRC-32.
        added: vectors in it.
        removed: vectors of the FAISS file that can't be found any more.
    """

    LATER = frozenset(
        "model file_crc match_score reason is_compact wished_recall recall probes factor store_rows store_crc changes "
        "changes_crc added removed".split()
    )

    dim: int
    count: int
    file_bytes: int
    kind: str
    bridge_fingerprint: str
    encoder_fingerprint: str
    faiss_version: str
    store: str = "."
    metric: str = "inner_product"
    file_crc: int = -1
    model: str = ""
    match_score: float = 0.0
    reason: str = ""
    is_compact: bool = False
    wished_recall: float = 0.0
    recall: float = 0.0
    probes: int = 0
    factor: int = 0
    store_rows: int = 0
    store_crc: int = 0
    changes: str = ""
    changes_crc: int = 0
    added: int = 0
    removed: int = 0
    format: str = "fromage-lite-index"
    version: int = VERSION

    @property
    def has_bridge(self) -> bool:
        """Whether a bridge made the vectors; else they are in the encoder's own space."""
        return not self.bridge_fingerprint.startswith(ENCODER)

    def described(self) -> str:
        """The kind and why it is that, in a line."""
        return f"{self.kind}. {one_line(self.reason, 400)}".rstrip()


@contextmanager
def storage_errors(path: Path, doing: str) -> Iterator[None]:
    """Turn errors of the operating system and of SQLite into a `StoreError` that names `path`.

    Args:
        path: what is read or written.
        doing: "read" or "write to", as in "can't {doing} PATH".
    """
    try:
        yield
    except PermissionError as error:
        raise StoreError(f"You have no permission to {doing} {path}.") from error
    except OSError as error:
        raise StoreError(f"Can't {doing} {path}: {reason(error)}.") from error
    except sqlite3.OperationalError as error:
        if "locked" in str(error):
            raise StoreError(f"Another build is writing to {path}.", "Wait for it, or use another folder.") from error
        raise StoreError(f"Can't {doing} {path}: {reason(error)}.") from error
    except sqlite3.DatabaseError as error:
        raise StoreError(f"{path} is damaged: {reason(error)}.", "Delete the folder and build it again.") from error
