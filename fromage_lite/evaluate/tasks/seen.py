"""A data set's pictures as the frozen encoder sees them: each once, those that are missing counted."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from fromage_lite.errors import DataError
from fromage_lite.evaluate.formats.pictures import PictureRef
from fromage_lite.model.fromage import Fromage
from fromage_lite.progress import progress_bar
from index.errors import FromageError
from index.files import replacing
from index.pictures.images import open_image

_KEEP_EVERY = 100  # batches, after which the features so far are written


class SeenPictures:
    """Pooled features of pictures by their ids.

    Attributes:
        missing: ids of pictures that are in none of the folders.
        unreadable: ids of pictures that can't be opened.
    """

    def __init__(
        self, model: Fromage, folders: Sequence[Path], cache: Path | None = None, batch_size: int = 64
    ) -> None:
        """
        Args:
            model: its encoder sees them.
            folders: where the pictures lie.
            cache: a file (.npz) to keep the features in; one that another encoder made is replaced.
            batch_size: pictures encoded at once.
        """
        self._model, self._folders, self._cache, self._batch = model, list(folders), cache, batch_size
        self._paths: dict[str, Path] = {}
        self._rows: dict[str, npt.NDArray[np.float32]] = {}
        self.missing: set[str] = set()
        self.unreadable: set[str] = set()
        if cache is not None and cache.is_file():
            self._rows = _read_cache(cache, model.vision.fingerprint(), model.vision.dim)

    def __contains__(self, id: str) -> bool:
        return id in self._rows and id in self._paths

    def see(self, pictures: Iterable[PictureRef]) -> None:
        """Encodes those that were not seen yet.

        Raises:
            DataError: there is none of them, or none that can be opened.
        """
        wanted = {picture.id: picture for picture in pictures if picture.id not in self._paths}
        for id, picture in wanted.items():
            path = picture.find(self._folders)
            if path is None:
                self.missing.add(id)
            else:
                self._paths[id] = path
        if wanted and not self._paths:
            where = " or ".join(map(str, self._folders))
            raise DataError(f"None of the data set's pictures is in {where}.", "Name their folder: --images.")
        new = [id for id in wanted if id in self._paths and id not in self._rows]
        if not new:
            return
        with progress_bar("Looking at the pictures", "image") as progress:
            for start in range(0, len(new), self._batch):
                self._encode(new[start : start + self._batch])
                done = min(start + self._batch, len(new))
                progress(done, len(new))
                is_due = done == len(new) or (start // self._batch + 1) % _KEEP_EVERY == 0
                if is_due and self._cache is not None:
                    _write_cache(self._cache, self._rows, self._model.vision.fingerprint())
        if not self._paths:
            raise DataError("None of the data set's pictures can be opened.", "Name another folder: --images.")

    def features(self, ids: Sequence[str]) -> Tensor:
        """`(n, dim)` float32, on the CPU."""
        if not ids:
            return torch.zeros(0, self._model.vision.dim)
        return torch.from_numpy(np.stack([self._rows[id] for id in ids]))

    def segment(self, id: str) -> Tensor:
        """A picture as a piece of a prompt: its pooled feature `(dim,)`, or its patches `(P, dim)` for a bridge that
        reads those; they are not kept."""
        if self._model.config.visual_input == "pooled":
            return torch.from_numpy(self._rows[id])
        return self._model.visual_features([open_image(self._paths[id])])[0]

    def path_if_seen(self, id: str) -> Path | None:
        """Its file; None if it was not seen."""
        return self._paths.get(id)

    @torch.inference_mode()
    def image_embeds(self, ids: Sequence[str]) -> npt.NDArray[np.float32]:
        """`(n, retrieval_dim)` unit vectors."""
        embeds: npt.NDArray[np.float32] = self._model.image_embeds(self.features(ids)).float().cpu().numpy()
        return embeds

    def _encode(self, ids: Sequence[str]) -> None:
        kept, images = [], []
        for id in ids:
            try:
                images.append(open_image(self._paths[id]))
                kept.append(id)
            except FromageError:
                self.unreadable.add(id)
                del self._paths[id]
        if images:
            pooled = self._model.image_features(images).pooled.float().cpu().numpy()
            self._rows.update(zip(kept, pooled, strict=True))


def _read_cache(path: Path, fingerprint: str, dim: int) -> dict[str, npt.NDArray[np.float32]]:
    """The features in a file; none if another encoder made it, or it is damaged."""
    try:
        with np.load(path, allow_pickle=False) as data:
            ids, features = json.loads(str(data["ids"])), np.asarray(data["features"], dtype=np.float32)
            if str(data["fingerprint"]) == fingerprint and features.shape == (len(ids), dim):
                return dict(zip(ids, features, strict=True))
    except (OSError, ValueError, KeyError, TypeError, zipfile.BadZipFile):
        pass
    return {}


def _write_cache(path: Path, rows: dict[str, npt.NDArray[np.float32]], fingerprint: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as temporary, temporary.open("wb") as stream:
        features = np.stack(list(rows.values()))
        np.savez(stream, ids=np.array(json.dumps(list(rows))), features=features, fingerprint=np.array(fingerprint))
