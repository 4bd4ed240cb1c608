"""An agent: a model and the pictures it can answer with."""

from __future__ import annotations

import os
from collections import OrderedDict
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fromage_lite.config import GenerationSettings, playground_dir
from fromage_lite.errors import ConfigError, FromageError, MessageError
from fromage_lite.text.message import ImageSegment, Segment
from index.hits import Hit, Retriever
from index.images import open_image
from index.sources import is_address, picture_thumbnail

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from fromage_lite.chat.dialogue import Dialogue
    from fromage_lite.model.fromage import Fromage
    from fromage_lite.model.inspection import PatchGrid, TokenMatch
from fromage_lite.text.message import clean

NO_INDEX = "none"


FEATURES_KEPT = 64  # pooled features of the last pictures seen: a picture is encoded once, not once a turn


Progress = Callable[[str], None]


class Agent:
    """A model and an index. Holds no dialogue; any number of dialogues can share it, one reply at a time.

    Attributes:
        model: the joined model.
        index: what retrieves pictures, or None: then `[RET]` is never said.
        model_name: how the model was named by the caller.
        index_path: the index's folder, or None.
    """

    def __init__(
        self,
        model: Fromage,
        index: Retriever | None = None,
        *,
        model_name: str = "model",
        index_path: Path | None = None,
    ) -> None:
        self.model, self.index = model, index
        self.model_name, self.index_path = model_name, index_path
        self._features: OrderedDict[tuple[str, int, int], Tensor] = OrderedDict()

    @classmethod
    def load(
        cls,
        model: str | Path | None = None,
        index: str | Path | None = None,
        device: str = "auto",
        dtype: str | torch.dtype | None = None,
        quantize: str | None = None,
        progress: Progress | None = None,
        notice: Progress | None = None,
    ) -> Agent:
        """Load a model and open its index.

        Args:
            model: a checkpoint folder or a Hub id; None is the shipped playground.
            index: an index folder; "none" is no index; None is the playground's own pictures for the playground's
                models (built on first use) and no index for others.
            device: "auto", "cpu", "cuda", "cuda:1", "mps", …
            dtype: precision of the frozen models; None chooses by device.
            quantize: "int8" or "int4": what the language model's linear layers are rounded to; None leaves them.
            progress: is told in words what takes time.
            notice: is told what memory a large model will take.

        Raises:
            FromageError: the model or the index is missing, damaged, or they don't belong together.
        """
        name = model_label(model)
        if progress is not None:
            progress(f"Loading the model {name} …")  # the import alone takes seconds
        from fromage_lite.model.fromage import Fromage

        folder = playground_dir() if model is None else model
        loaded = Fromage.from_pretrained(folder, device=device, dtype=dtype, quantize=quantize, notice=notice)
        retriever, path = _open_index(loaded, model, index, progress)
        return cls(loaded, retriever, model_name=name, index_path=path)

    @property
    def device(self) -> str:
        return str(self.model.language.device)

    @property
    def index_size(self) -> int:
        """Pictures that can be found; 0 without an index."""
        return len(self.index) if self.index is not None else 0  # type: ignore[arg-type]

    def dialogue(self, settings: GenerationSettings | None = None) -> Dialogue:
        """A new dialogue."""
        from fromage_lite.chat.dialogue import Dialogue

        return Dialogue(self, settings or GenerationSettings())

    def pooled(self, path: str) -> Tensor:
        """The feature of a picture file that becomes visual tokens, (visual_dim,) or (P, visual_dim). The last few are
        remembered.

        Raises:
            ImageError: the file is missing or no picture that can be read.
        """
        path = os.path.expanduser(path)  # noqa: PTH111  unlike pathlib's it leaves "~nobody" as it is
        key = _file_key(path)
        if key is None or key not in self._features:
            feature = self.model.visual_features([open_image(path)])[0]
            if key is None:
                return feature
            self._features[key] = feature
            if len(self._features) > FEATURES_KEPT:
                self._features.popitem(last=False)
        self._features.move_to_end(key)
        return self._features[key]

    def open_segments(self, segments: Sequence[Segment]) -> list[str | Tensor]:
        """Segments with every picture replaced by its pooled feature, as the model takes them.

        Raises:
            ImageError: a picture can't be read.
        """
        return [self.pooled(s.path) if isinstance(s, ImageSegment) else s for s in segments]

    def retrieve(self, query_embeds: Tensor, k: int, exclude: Collection[int] = ()) -> list[Hit]:
        """At most `k` pictures for one query of (R,) or (1, R), best first, none of `exclude`."""
        if self.index is None or k < 1:
            return []
        query = query_embeds.detach().float().reshape(1, -1).cpu().numpy()
        return self.index.search(query, k, exclude=exclude)[0]

    def search(self, segments: Sequence[Segment], k: int, exclude: Collection[int] = ()) -> list[Hit]:
        """Pictures for words and pictures, without generation: `[RET]` is appended and its state is the query. A
        picture alone is its own embedding, which no words need to describe first.

        Raises:
            ConfigError: there is no index, or the model was not trained to find pictures.
            ImageError: a picture can't be read.
            MessageError: there is nothing to search for, or it is too long.
        """
        from fromage_lite.chat.search import Term, search

        message = clean(segments)
        return search(self, [Term(1.0, message)] if message else [], k, exclude)

    def query(self, segments: Sequence[Segment]) -> Tensor:
        """Where words and pictures, read as one message, point in the retrieval space: (1, R), unit norm.

        Raises: as `search`.
        """
        from fromage_lite.chat.limits import check_length
        from fromage_lite.text.queries import query_segments

        self.check_search()
        segments = clean(segments)
        if not segments:
            raise MessageError("There is nothing to search for.", "Type something, or name a picture.")
        rendered = query_segments(self.model.config.query_form, segments)
        # The beginning of the text and [RET] have a position each.
        check_length(self.model, segments, rendered, self.model.language.max_positions - 2)
        return self.model.query_embeds(self.open_segments(rendered))

    def check_search(self) -> None:
        """Refuses a search that can't be.

        Raises:
            ConfigError: there is no index, or the model was not trained to find pictures.
        """
        if not self.model.config.has_retrieval:
            raise ConfigError("This model was not trained to find pictures.")
        if self.index is None:
            raise ConfigError("There is no index to search.", "Name one with --index, or build one of your pictures.")

    def thumbnail(self, hit: Hit) -> bytes:
        """The encoded small picture (JPEG or WebP) of a hit: the one that the index keeps, else one made of its source,
        which may be fetched from the web.

        Raises:
            ImageError: the source is gone, or no picture.
            StoreError: the index can't be read.
        """
        if self.index is None:
            raise ConfigError("There is no index to take a picture from.")
        return self.index.thumbnail(hit.id) or picture_thumbnail(hit.source)  # type: ignore[attr-defined]

    def has_picture(self, hit: Hit) -> bool:
        """Whether a hit can be shown: the index keeps a small picture of it, or its source can be had."""
        try:
            return bool(self.thumbnail(hit))
        except (FromageError, AttributeError):  # a retriever without thumbnails
            return _file_key(hit.source) is not None

    def is_at_hand(self, hit: Hit) -> bool:
        """Whether a hit's picture can be had without asking the web."""
        if not is_address(hit.source):
            return True
        try:
            return bool(self.index.thumbnail(hit.id))  # type: ignore[union-attr]
        except (FromageError, AttributeError):
            return False

    def tokens_near(self, path: str, k: int = 8) -> list[list[TokenMatch]]:
        """For each visual token of a picture file the `k` words of the language model that are nearest to it.

        Raises:
            ImageError: the file is missing or no picture that can be read.
        """
        from fromage_lite.model.inspection import nearest_tokens

        return nearest_tokens(self.model, self.pooled(path)[None], k)[0]

    def patch_grid(self, path: str) -> PatchGrid | None:
        """A picture file as its visual tokens see it, for a model whose visual tokens are patches; None for others.

        Raises:
            ImageError: the file is missing or no picture that can be read.
        """
        from fromage_lite.model.inspection import patch_grid

        return patch_grid(self.model, open_image(os.path.expanduser(path)))  # noqa: PTH111  as in `pooled`

    def describe(self) -> dict[str, Any]:
        """What is loaded, as plain data for status lines and reports."""
        config = self.model.config
        return {
            "model": self.model_name,
            "language_model": config.language_model,
            "vision_encoder": config.vision_encoder,
            "n_visual_tokens": config.n_visual_tokens,
            "retrieval_dim": config.retrieval_dim,
            "max_positions": self.model.language.max_positions,
            "device": self.device,
            "dtype": str(self.model.language.dtype).removeprefix("torch."),
            "fingerprint": self.model.fingerprint(),
            "index": str(self.index_path) if self.index_path else None,
            "index_size": self.index_size,
        }


def model_label(model: str | Path | None) -> str:
    """The short name of a model in messages."""
    if model is None:
        return "playground"
    return Path(model).name if Path(model).exists() else str(model)


def model_argument(model: str | Path | None) -> str:
    """The model as a command line would name it."""
    return str(playground_dir() if model is None else model)


def is_playground(model: str | Path | None) -> bool:
    """Whether a model is one of the shipped ones, whose pictures are the playground's."""
    if model is None:
        return True
    home, path = playground_dir().resolve(), Path(model).resolve()
    return path == home or path.parent == home


def _open_index(
    loaded: Fromage, model: str | Path | None, index: str | Path | None, progress: Progress | None
) -> tuple[Retriever | None, Path | None]:
    if str(index) == NO_INDEX or (index is None and not is_playground(model)):
        return None, None
    if not loaded.config.has_retrieval:
        raise ConfigError("This model was not trained to find pictures, so it can't use an index.", "Leave it out.")
    from index.faiss_index import ImageIndex

    if index is None:
        from fromage_lite.playground.pictures import ensure_playground_index

        path = ensure_playground_index(loaded, progress)
    else:
        path = Path(index).expanduser()
    return ImageIndex.open(path, bridge_fingerprint=loaded.fingerprint(), model=model_argument(model)), path


def _file_key(path: str) -> tuple[str, int, int] | None:
    """What tells a file from a later one of the same name; None if there is no such file."""
    try:
        status = Path(path).stat()
    except (OSError, ValueError):
        return None
    return path, status.st_mtime_ns, status.st_size
