"""An agent: a model and its pictures, as a chat, a command or a script uses them."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fromage_lite.chat.engine import Engine
from fromage_lite.chat.lookup import look_up
from fromage_lite.chat.request import SearchRequest, parse_request
from fromage_lite.chat.search import Term, as_read, find, prepared
from fromage_lite.config import NO_INDEX, AskBy, GenerationSettings, SpellingMode
from fromage_lite.errors import ConfigError, FingerprintError, FromageError
from fromage_lite.files import expand_user
from fromage_lite.progress import Report
from fromage_lite.text.message import Segment, clean
from index.commands import rederiving_command
from index.pictures.facts import Facts
from index.pictures.images import one_line, open_image
from index.search.hits import Hit, Retriever
from index.store.manifest import INDEX_MANIFEST, IndexManifest

if TYPE_CHECKING:
    from fromage_lite.chat.dialogue import Dialogue
    from fromage_lite.model.fromage import Fromage
    from fromage_lite.model.inspection import PatchGrid, TokenMatch

OwnIndex = Callable[["Fromage", Report | None], Path | None]
"""Makes a model's own index if need be, and returns its folder; None where there is none yet."""


class Agent:
    """A `ChatAgent` whose model is in this process. Any number of dialogues can share it, one reply at a time.

    `fromage_lite.start.load_agent` makes one from names and options.

    Args:
        model: the joined model.
        index: what retrieves pictures; with None, replies come without.
        model_name: the model's name in messages.
        checkpoint: the model as a command line names it, for the commands in hints; by default its name.
        own_index: makes the index of the model's own pictures if need be, and returns its folder; None if it has none.

    Attributes:
        engine: model and index, which all dialogues share.
        model_name: as above.
        index_path: the index's folder, or its address in Milvus; None without an index, or if nobody named it.
    """

    def __init__(
        self,
        model: Fromage,
        index: Retriever | None = None,
        *,
        model_name: str = "model",
        checkpoint: str = "",
        own_index: OwnIndex | None = None,
    ) -> None:
        self.engine = Engine(model, index)
        self.model_name = model_name
        self.index_path: Path | None = None
        self._checkpoint, self._own_index = checkpoint or model_name, own_index

    @property
    def model(self) -> Fromage:
        """The engine's model."""
        return self.engine.model

    @property
    def index(self) -> Retriever | None:
        """The engine's index; None if there is none."""
        return self.engine.index

    @property
    def device(self) -> str:
        """Where the model computes, as torch names it."""
        return str(self.model.language.device)

    @property
    def index_size(self) -> int:
        """Pictures that can be found; 0 without an index."""
        return len(self.index) if self.index is not None else 0

    @property
    def way(self) -> AskBy | None:
        """As `Searcher.way`."""
        return self.engine.ways[0] if self.engine.ways else None

    @property
    def match_score(self) -> float | None:
        """As `Searcher.match_score`."""
        return self.model.config.match_score

    def use_index(self, index: str | Path | None, progress: Report | None = None) -> None:
        """As `ChatAgent.use_index`.

        A model that was not trained to find pictures takes any index that keeps its encoder's features, if that has a
        text tower.

        Raises:
            ConfigError: the model can't find pictures in any way.
            FingerprintError: another model made the index; the hint is the command that rebuilds it.
            StoreError: there is no index, or it is damaged.
        """
        if index is None:
            index = (self._own_index(self.model, progress) if self._own_index is not None else None) or NO_INDEX
        if str(index) == NO_INDEX:
            self.engine.index = self.index_path = None
            self.engine.reopened = lambda: None
            return
        if not self.engine.ways:
            raise ConfigError("This model was not trained to find pictures, so it can't use an index.", "Omit it.")
        from index.search.reloading import Reopening

        path = Path(index).expanduser()
        before = self.engine.index, self.engine.reopened
        reopening = Reopening(path, lambda: self._opened(path))
        self.engine.index, self.engine.reopened = self._opened(path), reopening
        if not self.model.config.has_retrieval:
            try:
                _ = self.engine.tower  # fails now rather than at the first search
            except FromageError:
                self.engine.index, self.engine.reopened = before
                raise
        self.index_path = path

    def _opened(self, path: Path) -> Retriever:
        from index.milvus.server import is_milvus
        from index.search.faiss_index import ImageIndex

        if is_milvus(path):
            from index.milvus.milvus_index import MilvusIndex

            fingerprint = self.model.fingerprint() if self.model.config.has_retrieval else None
            return MilvusIndex.open(path, fingerprint, self._checkpoint)

        if not self.model.config.has_retrieval:
            return ImageIndex.open(path, model=self._checkpoint)
        if (path / INDEX_MANIFEST).is_file() and not (made := IndexManifest.read(path / INDEX_MANIFEST)).has_bridge:
            raise FingerprintError(
                f"The index at {path} was made with the image encoder {one_line(made.model, 200)} alone, for searches "
                "without a bridge.",
                f"Make one of its pictures for this model: {rederiving_command(path, self._checkpoint)}",
            )
        return ImageIndex.open(path, bridge_fingerprint=self.model.fingerprint(), model=self._checkpoint)

    def dialogue(self, settings: GenerationSettings | None = None) -> Dialogue:
        """As `ChatAgent.dialogue`; without settings, with the defaults."""
        from fromage_lite.chat.dialogue import Dialogue

        return Dialogue(self.engine, settings)

    def read_as(self, segments: Sequence[Segment], by: AskBy | None = None) -> tuple[Segment, ...]:
        """As `ChatAgent.read_as`."""
        message = clean(segments)
        return as_read(self.engine, [Term(1.0, message)], by=by)[0].segments if message else ()

    def search(
        self,
        segments: Sequence[Segment],
        k: int,
        exclude: Collection[int] = (),
        spelling: SpellingMode = "auto",
        by: AskBy | None = None,
    ) -> list[Hit]:
        """As `ChatAgent.search`: by default, `[RET]` is appended and its state is the query. A picture alone is its own
        embedding; the language model does not have to put it into words first.

        Raises:
            ConfigError: there is no index, or the model was not trained to find pictures.
            ImageError: a picture can't be read.
            MessageError: there is nothing to search for, or it is too long.
        """
        message = clean(segments)
        return self.find([Term(1.0, message)] if message else [], k, exclude, spelling, by)

    def terms_as_read(self, terms: Sequence[Term], by: AskBy | None = None) -> list[Term]:
        """As `Searcher.terms_as_read`."""
        return as_read(self.engine, terms, by=by)

    def find(
        self,
        terms: Sequence[Term],
        k: int,
        exclude: Collection[int] = (),
        spelling: SpellingMode = "auto",
        by: AskBy | None = None,
    ) -> list[Hit]:
        """As `Searcher.find`. By dialogue, `Dialogue.find` asks.

        Raises: as `search`, and MessageError if the terms cancel each other out.
        """
        return find(self.engine, terms, k, exclude, spelling, by)

    def look_up(
        self,
        request: SearchRequest | str,
        k: int = 5,
        exclude: Collection[int] = (),
        spelling: SpellingMode = "auto",
    ) -> list[Hit]:
        """As `ChatAgent.look_up`, also for what a person types: `agent.look_up("a cat - indoors after:2024-05")`.

        Raises:
            ConfigError: there is no index, it can't be filtered, or the model can't be asked so.
            FilterError: a filter can't be understood.
            ImageError: a picture can't be read.
            MessageError: there is nothing to search for, it is too long, or the terms cancel each other out.
        """
        asked = parse_request([request]) if isinstance(request, str) else request
        album, query = prepared(self.engine, asked.terms, spelling, asked.by)
        return look_up(
            asked,
            asked.top or k,
            lambda: album.index,
            lambda wanted, among: album.retrieve(query, wanted, exclude, among),
            self.match_score if album is self.engine else None,
        )

    def facts(self, hits: Sequence[Hit]) -> list[Facts]:
        """As `Searcher.facts`."""
        return self.engine.facts(hits)

    def row(self, id: int) -> tuple[str, str] | None:
        """As `ChatAgent.row`; None, too, if the index can't be read."""
        return self.engine.row(id)

    def thumbnail(self, hit: Hit) -> bytes:
        """As `Engine.thumbnail`."""
        return self.engine.thumbnail(hit)

    def is_at_hand(self, hit: Hit) -> bool:
        """As `ChatAgent.is_at_hand`."""
        return self.engine.is_at_hand(hit)

    def tokens_near(self, path: str, k: int) -> list[list[TokenMatch]]:
        """As `ChatAgent.tokens_near`."""
        from fromage_lite.model.inspection import nearest_tokens

        return nearest_tokens(self.model, self.engine.features(path)[None], k)[0]

    def patch_grid(self, path: str) -> PatchGrid | None:
        """As `ChatAgent.patch_grid`."""
        from fromage_lite.model.inspection import patch_grid

        return patch_grid(self.model, open_image(expand_user(path)))

    def describe(self) -> dict[str, Any]:
        """What is loaded, as plain data for reports."""
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
