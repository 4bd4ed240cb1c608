"""A Milvus server or a Milvus Lite file: its address, the connection, what a collection says about itself, and the
errors in words."""

from __future__ import annotations

import json
import logging
import os
import re
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass, fields
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Self

from index.errors import StoreError, reason
from index.pictures.images import one_line
from index.store.manifest import ENCODER, INDEX_MANIFEST

if TYPE_CHECKING:
    from pymilvus import MilvusClient

LITE_SUFFIX = ".db"
LITE_COLLECTION = "pictures"
PORT = 19530
TOKEN = "MILVUS_TOKEN"  # the environment variable: a password in an address would be kept with the conversations
SECONDS = 10.0
"""For an answer to a search, and for a connection."""

_SCHEMES = ("milvus:", "milvus+https:")
# One slash is enough: a `Path` of the address has lost the second.
_ADDRESS = re.compile(
    r"(?P<scheme>milvus|milvus\+https):/{1,2}(?P<host>[^/\s@:]+|\[[0-9a-fA-F:]+\])(?::(?P<port>\d{1,5}))?"
    r"/(?P<collection>[A-Za-z_][A-Za-z0-9_]{0,254})/?"
)
_ABOUT = "fromage_lite"  # the collection's property with what it says about itself
_NO_CONNECTION, _NO_COLLECTION, NOT_LOADED = 2, 100, 101  # Milvus' codes


@dataclass(frozen=True)
class MilvusAddress:
    """Where a collection is.

    Attributes:
        uri: as pymilvus takes it: an address of http or https, or the path of a Milvus Lite file.
        collection: its name there.
    """

    uri: str
    collection: str

    @classmethod
    def parse(cls, text: str | Path) -> Self:
        """The address that a person writes: `milvus://HOST:PORT/COLLECTION`, `milvus+https://…`, or `FILE.db`.

        Raises:
            StoreError: it is none.
        """
        text = str(text)
        if not text.startswith(_SCHEMES):
            return cls(str(Path(text).expanduser().absolute()), LITE_COLLECTION)
        if (found := _ADDRESS.fullmatch(text)) is None:
            more = f" A password belongs into the environment variable {TOKEN}." if "@" in text else ""
            raise StoreError(
                f"{one_line(text, 200)} is no address of a collection in Milvus.",
                f"Write milvus://HOST:PORT/COLLECTION, or the name of a Milvus Lite file that ends in .db.{more}",
            )
        scheme = "https" if found["scheme"].endswith("https") else "http"
        return cls(f"{scheme}://{found['host']}:{found['port'] or PORT}", found["collection"])

    @property
    def is_file(self) -> bool:
        """Whether it is a Milvus Lite file, which one process may open at a time."""
        return not self.uri.startswith(("http://", "https://"))

    def __str__(self) -> str:
        if self.is_file:
            return self.uri
        scheme = "milvus+https" if self.uri.startswith("https:") else "milvus"
        return f"{scheme}://{self.uri.partition('://')[2]}/{self.collection}"


@dataclass(frozen=True)
class About:
    """What a collection says about itself.

    Attributes:
        bridge_fingerprint: the bridge (and encoder) that made its vectors.
        encoder_fingerprint: the encoder of the store that they were derived from.
        dim: width of the vectors.
        kind: of the index, as Milvus names it.
        model: the model that made it, as `--model` takes it from any folder.
        store: the store's folder, absolute, on the computer that loaded it.
        thumbnails: whether it has the small pictures.
        count: pictures when its last load was finished; 0 before the first was.
        version: of these fields.
    """

    bridge_fingerprint: str
    encoder_fingerprint: str
    dim: int
    kind: str
    model: str = ""
    store: str = ""
    thumbnails: bool = True
    count: int = 0
    version: int = 1

    @property
    def has_bridge(self) -> bool:
        """As `IndexManifest.has_bridge`."""
        return not self.bridge_fingerprint.startswith(ENCODER)

    def properties(self) -> dict[str, str]:
        """As the collection's property."""
        return {_ABOUT: json.dumps(asdict(self), sort_keys=True)}

    @classmethod
    def read(cls, client: MilvusClient, address: MilvusAddress) -> Self:
        """What the collection at an address says.

        Raises:
            StoreError: there is none, the server doesn't answer, or this program has not made it.
        """
        with milvus_errors(address):
            if not client.has_collection(address.collection, timeout=SECONDS):
                raise _no_collection(address)
            described = client.describe_collection(address.collection, timeout=SECONDS)
        text = dict(described.get("properties") or {}).get(_ABOUT) or ""
        foreign = StoreError(f"fromage-lite did not make the collection {address}.", "Name another one.")
        try:
            data = json.loads(text)
        except ValueError:
            raise foreign from None
        kinds = {field.name: field.type for field in fields(cls)}
        if not isinstance(data, dict) or {name: type(value).__name__ for name, value in data.items()} != kinds:
            raise foreign
        return cls(**data)


def is_milvus(index: str | Path) -> bool:
    """Whether an index is named that is in Milvus, not in a folder."""
    text = str(index)
    return text.startswith(_SCHEMES) or (text.endswith(LITE_SUFFIX) and not (Path(text) / INDEX_MANIFEST).is_file())


def index_name(index: Path) -> str:
    """How an index is named from every folder: an absolute path, or an address."""
    return str(MilvusAddress.parse(index)) if is_milvus(index) else str(index.absolute())


def about(index: str | Path) -> About:
    """What a collection says about itself.

    Raises:
        StoreError: there is no such collection, or the server doesn't answer.
    """
    address = MilvusAddress.parse(index)
    with closing(connect(address)) as client:
        return About.read(client, address)


def connect(address: MilvusAddress, *, create: bool = False) -> MilvusClient:
    """A client of the server at an address, safe to use from several threads.

    Args:
        address: where.
        create: make a Milvus Lite file that is missing.

    Raises:
        StoreError: the server doesn't answer, the file is missing or in use, or a package is missing.
    """
    _check_installed(address)
    if address.is_file and not create and not Path(address.uri).exists():
        raise _no_collection(address)
    from pymilvus import MilvusClient
    from pymilvus.exceptions import MilvusException

    # It logs every error with its traceback, into the middle of a screen; what matters is raised.
    for name in ("pymilvus", "milvus_lite", "grpc"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    with milvus_errors(address):
        try:
            return MilvusClient(address.uri, token=os.environ.get(TOKEN, ""), timeout=SECONDS, dedicated=True)
        except MilvusException as error:
            if not address.is_file:
                raise
            raise StoreError(
                f"The Milvus Lite file {address.uri} can't be opened.",
                "Another program may have it open, or it is damaged.",
            ) from error


def _check_installed(address: MilvusAddress) -> None:
    if find_spec("pymilvus") is None:
        raise StoreError(f"{address} is in Milvus, which needs a client.", "Install it: pip install 'pymilvus>=2.6,<4'")
    if address.is_file and find_spec("milvus_lite") is None:
        raise StoreError(
            f"{address} is a file of Milvus Lite, which is not installed.",
            "Install it without its own FAISS, which is here: pip install --no-deps 'milvus-lite>=3.2,<4'",
        )


@contextmanager
def milvus_errors(address: MilvusAddress) -> Iterator[None]:
    """Turns what pymilvus raises into a `StoreError` that names the collection."""
    import grpc
    from pymilvus.exceptions import MilvusException

    try:
        yield
    except MilvusException as error:
        raise _in_words(address, error.code, error.message) from error
    except grpc.RpcError as error:
        raise _in_words(address, _NO_CONNECTION, str(error)) from error
    except (OSError, ValueError) as error:  # a closed channel is a ValueError
        raise StoreError(f"The index {address} can't be read: {reason(error)}.") from error


def _in_words(address: MilvusAddress, code: int, message: str) -> StoreError:
    if code == _NO_CONNECTION or "deadline exceeded" in message.lower():
        return StoreError(
            f"The Milvus server at {address.uri} does not answer, so its pictures can't be found.",
            "Start it again, or name another index.",
        )
    if code == _NO_COLLECTION:
        return _no_collection(address)
    return StoreError(f"Milvus refused a request to {address}: {one_line(message, 200).rstrip('. ')}.")


def _no_collection(address: MilvusAddress) -> StoreError:
    return StoreError(f"There is no index {address}.", f"Load one: fromage-lite to-milvus INDEX {address}")
