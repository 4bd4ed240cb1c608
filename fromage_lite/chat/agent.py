"""An agent: a model and its pictures, as a chat, a command or a script uses them."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fromage_lite.chat.engine import Engine
from fromage_lite.chat.search import Term, as_read, find
from fromage_lite.config import NO_INDEX, GenerationSettings, SpellingMode
from fromage_lite.errors import ConfigError
from fromage_lite.files import expand_user
from fromage_lite.progress import Report
from fromage_lite.text.message import Segment, clean
from index.hits import Hit, Retriever
from index.images import open_image

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

    def use_index(self, index: str | Path | None, progress: Report | None = None) -> None:
        """As `ChatAgent.use_index`.

        Raises:
            ConfigError: the model was not trained to find pictures.
            FingerprintError: another model made the index; the hint is the command that rebuilds it.
            StoreError: there is no index, or it is damaged.
        """
        if index is None:
            index = (self._own_index(self.model, progress) if self._own_index is not None else None) or NO_INDEX
        if str(index) == NO_INDEX:
            self.engine.index = self.index_path = None
            self.engine.reopened = lambda: None
            return
        if not self.model.config.has_retrieval:
            raise ConfigError("This model was not trained to find pictures, so it can't use an index.", "Omit it.")
        from index.reloading import Reopening
        from index.retrievers import open_retriever

        path = Path(index).expanduser()

        def open_index() -> Retriever:
            return open_retriever(path, self.model.fingerprint(), self._checkpoint)

        reopening = Reopening(path, open_index)
        self.engine.index, self.index_path, self.engine.reopened = open_index(), path, reopening

    def dialogue(self, settings: GenerationSettings | None = None) -> Dialogue:
        """As `ChatAgent.dialogue`; without settings, with the defaults."""
        from fromage_lite.chat.dialogue import Dialogue

        return Dialogue(self.engine, settings)

    def read_as(self, segments: Sequence[Segment]) -> tuple[Segment, ...]:
        """As `ChatAgent.read_as`."""
        return self.engine.read_as(clean(segments))

    def search(
        self, segments: Sequence[Segment], k: int, exclude: Collection[int] = (), spelling: SpellingMode = "auto"
    ) -> list[Hit]:
        """As `ChatAgent.search`: `[RET]` is appended and its state is the query. A picture alone is its own embedding;
        the language model does not have to put it into words first.

        Raises:
            ConfigError: there is no index, or the model was not trained to find pictures.
            ImageError: a picture can't be read.
            MessageError: there is nothing to search for, or it is too long.
        """
        message = clean(segments)
        return self.find([Term(1.0, message)] if message else [], k, exclude, spelling)

    def terms_as_read(self, terms: Sequence[Term]) -> list[Term]:
        """Terms with their misspelt words as they were meant, as `find` looks for them."""
        return as_read(self.engine, terms)

    def find(
        self, terms: Sequence[Term], k: int, exclude: Collection[int] = (), spelling: SpellingMode = "auto"
    ) -> list[Hit]:
        """At most `k` pictures for a weighted sum of terms, best first; a score is the cosine with that sum.

        Raises: as `search`, and MessageError if the terms cancel each other out.
        """
        return find(self.engine, terms, k, exclude, spelling)

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
