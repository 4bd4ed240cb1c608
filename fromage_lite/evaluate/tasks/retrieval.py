"""Retrieval both ways between captions and pictures, and the encoder's own text tower beside it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from fromage_lite.evaluate.formats.captions import Captioned
from fromage_lite.evaluate.intervals import Figure
from fromage_lite.evaluate.ranking import rank_figures, ranks
from fromage_lite.evaluate.tasks.queries import need_retrieval, query_embeds, text_tower
from fromage_lite.evaluate.tasks.result import Sample, TaskResult, some_of_both
from fromage_lite.evaluate.tasks.seen import SeenPictures
from fromage_lite.model.fromage import Fromage

_CHUNK = 1000

Groups = npt.NDArray[np.int64]


def ranks_in_groups(
    queries: npt.NDArray[np.floating], keys: npt.NDArray[np.floating], query_groups: Groups, key_groups: Groups
) -> npt.NDArray[np.int64]:
    """The rank, from 1, of each query's best key of its own group; `(queries,)`.

    Args:
        queries: `(n, R)` unit vectors.
        keys: `(m, R)` unit vectors.
        query_groups: `(n,)`; a key of the same group is a right answer, and each query has one.
        key_groups: `(m,)`.
    """
    parts = [
        ranks(queries[i : i + _CHUNK] @ keys.T, query_groups[i : i + _CHUNK, None] == key_groups[None])
        for i in range(0, len(queries), _CHUNK)
    ]
    return np.concatenate(parts)


def evaluate_retrieval(
    model: Fromage, seen: SeenPictures, data: Sequence[Captioned], *, seed: int = 0, alike: Sequence[object] = ()
) -> TaskResult:
    """`text_to_image/…` and `image_to_text/…`: recall@1, 5, 10 and median rank; `text_tower/…` the same by the frozen
    encoder alone.

    Args:
        model: the model.
        seen: gets the pictures.
        data: pictures with their captions; each caption is a query, and a picture may find any of its own.
        seed: of the intervals.
        alike: for each entry of `data` a value that is equal where pictures show the same; None of them is wrong then.
    """
    need_retrieval(model)
    seen.see(entry.picture for entry in data)
    kept = [number for number, entry in enumerate(data) if entry.picture.id in seen]
    ids = [data[number].picture.id for number in kept]
    numbers: dict[object, int] = {}
    groups = np.array([numbers.setdefault(alike[n] if alike else n, len(numbers)) for n in kept], dtype=np.int64)
    texts = [caption for number in kept for caption in data[number].captions]
    owners = np.repeat(np.arange(len(kept)), [len(data[number].captions) for number in kept])
    pictures = seen.image_embeds(ids)
    queries = query_embeds(model, [[text] for text in texts])
    figures, found = _both_ways(queries, pictures, groups[owners], groups, seed)
    tower = text_tower(model)
    if tower is not None:
        album = tower.pictures(seen.features(ids))
        own, _ = _both_ways(tower.texts(texts), album, groups[owners], groups, seed)
        figures |= {f"text_tower/{name}": value for name, value in own.items()}
    counts = {"pictures": len(kept), "captions": len(texts), "missing": len(data) - len(kept)}
    return TaskResult(figures, counts, _samples(queries, pictures, texts, ids, owners, found))


def _both_ways(
    queries: npt.NDArray[np.float32],
    pictures: npt.NDArray[np.float32],
    query_groups: Groups,
    picture_groups: Groups,
    seed: int,
) -> tuple[dict[str, Figure], npt.NDArray[np.int64]]:
    """The figures, and the rank of each text's picture."""
    there = ranks_in_groups(queries, pictures, query_groups, picture_groups)
    back = ranks_in_groups(pictures, queries, picture_groups, query_groups)
    figures = {f"text_to_image/{name}": value for name, value in rank_figures(there, seed=seed).items()}
    return figures | {f"image_to_text/{name}": value for name, value in rank_figures(back, seed=seed).items()}, there


def _samples(
    queries: npt.NDArray[np.float32],
    pictures: npt.NDArray[np.float32],
    texts: Sequence[str],
    ids: Sequence[str],
    owners: npt.NDArray[np.int64],
    found: npt.NDArray[np.int64],
) -> list[Sample]:
    chosen = [*np.flatnonzero(found == 1)[:4], *np.flatnonzero(found > 1)[:4]]
    samples = []
    for row in chosen:
        best = np.argsort(-(pictures @ queries[row]), kind="stable")[:3]
        got = tuple(ids[place] for place in best)
        samples.append(Sample(texts[row], wanted_picture=ids[owners[row]], found=got, is_right=bool(found[row] == 1)))
    return some_of_both(samples)
