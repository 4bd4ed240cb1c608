"""Image search in Milvus: a collection that holds vectors, rows and small pictures of an index, on a server for many
computers, or in a Milvus Lite file for tests.

Fields of the collection, one entity a picture, under its id in the store:

    id               int64, primary
    embedding        float vector, the image embedding, unit norm; compared by inner product
    source, caption  varchar
    thumbnail        varchar: the small picture in base64, as Milvus has no bytes; empty where there is none
    and what `index.milvus.rows` says: the facts by which pictures are filtered

The texts are mapped from the server's disk instead of loaded, and so is what a hit brings along.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Collection, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, TypeVar

import numpy as np
import numpy.typing as npt

from index.errors import FingerprintError, StoreError
from index.milvus.rows import (
    CAPTION,
    EMBEDDING,
    FACTS,
    FILTERED,
    ID,
    SOURCE,
    THUMBNAIL,
    Passing,
    facts_in,
    narrowed,
)
from index.milvus.server import NOT_LOADED, SECONDS, About, MilvusAddress, connect, milvus_errors
from index.pictures.facts import Facts
from index.pictures.images import is_gone, one_line
from index.search.hits import Hit
from index.store.filters import Filters

if TYPE_CHECKING:
    from pymilvus import MilvusClient

Vectors = npt.NDArray[np.float32]
Ids = npt.NDArray[np.int64]
Answer = TypeVar("Answer")

ROWS_AT_ONCE = 4096
MOST_AT_ONCE = 16_384
"""Of Milvus: results of one query."""
NORM_TOLERANCE = 1e-2
GONE_LIMIT = 1024
"""How many missing pictures a search passes over."""
_LEAST_RUN = 3  # neighbouring ids that are shorter as a range
_HAS_THUMBNAIL = f'{THUMBNAIL} != ""'


class MilvusIndex:
    """Search in one collection; a `Retriever`. Safe to use from several threads.

    Attributes:
        address: where it is.
        about: what it says about itself.
    """

    def __init__(self, address: MilvusAddress, about: About, client: MilvusClient, count: int) -> None:
        self.address, self.about = address, about
        self._client, self._count = client, count

    @classmethod
    def open(cls, address: str | Path, bridge_fingerprint: str | None = None, model: str | None = None) -> Self:
        """Open a collection that `index.milvus.load` made.

        Args:
            address: as `MilvusAddress.parse` takes it.
            bridge_fingerprint: fingerprint of the model that will search; None skips the check.
            model: the model's name, for the command in the error's hint.

        Raises:
            FingerprintError: another bridge or encoder made the vectors; the hint is the command that loads others.
            StoreError: the server doesn't answer, or there is no such collection, or an unfinished one.
        """
        place = MilvusAddress.parse(address)
        with ExitStack() as undo:
            client = connect(place)
            undo.callback(client.close)
            about = About.read(client, place)
            load = f"Load it: fromage-lite to-milvus INDEX {place}"
            if bridge_fingerprint not in (None, about.bridge_fingerprint):
                maker = f", {one_line(about.model, 200)}" if about.model else ""
                hint = f"{load} --model {model or 'MODEL'} --replace"
                raise FingerprintError(f"The index {place} was made with another model{maker}.", hint)
            if not about.count:
                raise StoreError(f"The index {place} is unfinished: not all of its pictures are loaded.", load)
            with milvus_errors(place):
                client.load_collection(place.collection, timeout=SECONDS)
                count = client.query(place.collection, filter="", output_fields=["count(*)"], timeout=SECONDS)
            undo.pop_all()
        return cls(place, about, client, int(count[0]["count(*)"]))

    def __len__(self) -> int:
        """How many pictures could be found when the index was opened."""
        return self._count

    @property
    def dim(self) -> int:
        """Width of the retrieval space."""
        return self.about.dim

    def search(
        self, query_embeds: Vectors, k: int, exclude: Collection[int] = (), among: Ids | None = None
    ) -> list[list[Hit]]:
        """Find the nearest pictures, as `Retriever.search`; the server leaves out what may not be found.

        Args:
            query_embeds: (Q, R) float32, unit norm.
            k: how many; fewer are returned only where fewer may be found.
            exclude: ids that must not be found.
            among: (n,) the only ids that may be found; None for all.

        Returns:
            For each query its hits, best first. A picture whose file is gone is one only if the collection has a
            thumbnail of it; `Hit.gone` says so.

        Raises:
            StoreError: the queries are of another width, not of unit norm or not finite; or the server doesn't answer.
        """
        queries = self._checked(query_embeds)
        wanted, unwanted = _ids(among) if among is not None else None, _ids(exclude)
        k = min(k, len(self))
        if k <= 0 or not len(queries) or (wanted is not None and not len(wanted)):
            return [[] for _ in queries]
        first = self._ask(queries, k, unwanted, wanted)
        return [self._completed(query, hits, k, unwanted, wanted) for query, hits in zip(queries, first, strict=True)]

    def _completed(self, query: Vectors, found: list[Hit], k: int, exclude: Ids, among: Ids | None) -> list[Hit]:
        """The answer to one query: without the pictures that can't be shown, and beyond what one request gives."""
        shown: list[Hit] = []
        gone = 0
        asked = min(k, MOST_AT_ONCE)
        while True:
            kept = self._showable(found)
            shown += kept
            gone += len(found) - len(kept)
            if len(shown) >= k or len(found) < asked or gone >= GONE_LIMIT:
                return shown
            exclude = np.concatenate([exclude, np.array([hit.id for hit in found], dtype=np.int64)])
            asked = min(k - len(shown), MOST_AT_ONCE)
            found = self._ask(query[None], asked, exclude, among)[0]

    def _showable(self, hits: Sequence[Hit]) -> list[Hit]:
        """Those whose file is there, or whose thumbnail is in the collection."""
        missing = [hit.id for hit in hits if hit.gone]
        if not missing:
            return list(hits)
        rule = f"({expression(_ids(missing))}) and {_HAS_THUMBNAIL}"
        found = self._served(
            lambda: self._client.query(self.address.collection, filter=rule, output_fields=[ID], timeout=SECONDS)
        )
        pictured = {int(row[ID]) for row in found}
        return [hit for hit in hits if not hit.gone or hit.id in pictured]

    def _ask(self, queries: Vectors, k: int, exclude: Ids, among: Ids | None) -> list[list[Hit]]:
        """One request: at most `MOST_AT_ONCE` hits a query, showable or not."""
        limit = min(k, MOST_AT_ONCE)
        answers = self._served(
            lambda: self._client.search(
                self.address.collection,
                data=list(queries),
                anns_field=EMBEDDING,
                filter=rule_for(exclude, among),
                limit=limit,
                output_fields=[SOURCE, CAPTION],
                search_params={"metric_type": "IP", "params": search_params(self.about.kind, limit)},
                timeout=SECONDS,
            )
        )
        return [[_hit(found) for found in answer] for answer in answers]

    def row(self, id: int) -> tuple[str, str]:
        """(source, caption) of a picture."""
        row = self._entity(id, SOURCE, CAPTION)
        return str(row[SOURCE]), str(row[CAPTION])

    def thumbnail(self, id: int) -> bytes:
        """A picture's thumbnail, a JPEG file of at most 256 x 256 pixels; b"" where the collection has none."""
        try:
            return base64.b64decode(self._entity(id, THUMBNAIL)[THUMBNAIL], validate=True)
        except ValueError as error:
            raise StoreError(f"The thumbnail of picture {id} in {self.address} is damaged.") from error

    def select(self, filters: Filters) -> Ids:
        """As `Catalogue.select`: the server narrows down by folder, date and shape, and sends the rows left."""

        def look() -> Ids:
            passing = Passing(filters)  # a second look begins anew
            found = self._client.query_iterator(
                self.address.collection, batch_size=ROWS_AT_ONCE, filter=narrowed(filters), output_fields=[*FILTERED]
            )
            while rows := found.next():
                passing.add(rows)
            found.close()
            return passing.ids()

        return self._served(look)

    def facts(self, ids: Sequence[int]) -> list[Facts]:
        """As `Catalogue.facts`."""
        return [facts_in(self._entity(id, *FACTS)) for id in ids]

    def features(self, ids: Sequence[int]) -> Vectors | None:
        """None: the collection has the image embeddings only."""
        return None

    def close(self) -> None:
        """Close the connection."""
        self._client.close()

    def _entity(self, id: int, *names: str) -> dict[str, Any]:
        place = self.address.collection
        found = self._served(lambda: self._client.get(place, ids=[int(id)], output_fields=[*names], timeout=SECONDS))
        if not found:
            raise StoreError(f"The index {self.address} has no picture {id}.")
        return dict(found[0])

    def _served(self, ask: Callable[[], Answer]) -> Answer:
        """The answer to a request. A server that was started anew meanwhile, which gRPC connects to again within a
        second, has to load the collection first."""
        from pymilvus.exceptions import MilvusException

        with milvus_errors(self.address):
            try:
                return ask()
            except MilvusException as error:
                if error.code != NOT_LOADED:
                    raise
            self._client.load_collection(self.address.collection, timeout=SECONDS)
            return ask()

    def _checked(self, query_embeds: npt.ArrayLike) -> Vectors:
        queries = np.ascontiguousarray(query_embeds, dtype=np.float32)
        if queries.ndim != 2 or queries.shape[1] != self.dim:
            raise StoreError(
                f"The queries are of shape {queries.shape}; the index {self.address} has width {self.dim}."
            )
        # Written so that NaN fails too.
        if not (np.abs(np.linalg.norm(queries, axis=1) - 1.0) <= NORM_TOLERANCE).all():
            raise StoreError("The queries must be of unit norm.")
        return queries


def rule_for(exclude: Ids, among: Ids | None) -> str:
    """Milvus' filter for the ids that may be found; "" for all."""
    rules = [f"({expression(among)})"] if among is not None else []
    if len(exclude):
        rules.append(f"not ({expression(exclude)})")
    return " and ".join(rules)


def expression(ids: Ids) -> str:
    """Milvus' filter for these ids, ascending and at least one: neighbours as ranges, as the pictures of a folder are.

    Literal ids rather than a template's parameters, which Milvus Lite doesn't know.
    """
    runs = np.split(ids, np.flatnonzero(np.diff(ids) != 1) + 1)
    ranges = [f"({ID} >= {run[0]} and {ID} <= {run[-1]})" for run in runs if len(run) >= _LEAST_RUN]
    single = [str(id) for run in runs if len(run) < _LEAST_RUN for id in run]
    return " or ".join([*ranges, *([f"{ID} in [{','.join(single)}]"] if single else [])])


def search_params(kind: str, k: int) -> dict[str, int]:
    """How far an index of a kind searches for `k` results."""
    if kind.startswith("HNSW"):
        return {"ef": max(128, 2 * k)}
    if kind.startswith("IVF"):
        return {"nprobe": 64}
    return {"search_list": max(100, 2 * k)} if kind == "DISKANN" else {}


def _ids(ids: Collection[int] | Ids) -> Ids:
    """Distinct ids, ascending, without those that no picture has."""
    array = np.unique(ids if isinstance(ids, np.ndarray) else np.fromiter(ids, dtype=np.int64, count=len(ids)))
    return array[array >= 0].astype(np.int64)


def _hit(found: dict[str, Any]) -> Hit:
    row = found["entity"]
    source = str(row[SOURCE])
    return Hit(int(found[ID]), float(found["distance"]), source, str(row[CAPTION]), is_gone(source))
