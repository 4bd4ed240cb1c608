"""What a person names as pictures, recognised: the one place to add another kind of source.

A kind is a row of `KINDS`: how it is told, and the reader that lists its pictures (`readers.Reader`). A kind whose
pictures lie inside another file also has its way back from a place to the bytes in `index.pictures.containers`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from index.errors import StoreError
from index.pictures.containers import PARQUET, TAR
from index.pictures.images import is_picture_name
from index.sources.clip_retrieval import is_export
from index.sources.download import Downloader, DownloadLimits
from index.sources.hub_datasets import HubReader, is_dataset_name
from index.sources.parquets import ParquetReader, parquets
from index.sources.readers import FileReader, FolderReader, Reader, TsvReader
from index.sources.saved_datasets import DatasetReader, splits
from index.sources.several import SeveralReaders
from index.sources.tars import TarReader, shards
from index.text import sanitize


@dataclass(frozen=True)
class SourceOptions:
    """How pictures are read, where a kind of source has a choice.

    Attributes:
        captions: a table of captions for the pictures of a folder.
        exclude: patterns of what is left out of a folder, as in a `.gitignore`.
        limits: of downloading.
        split: of a data set that is named; without it nothing is taken for such a name, and no network asked.
    """

    captions: Path | None = None
    exclude: Sequence[str] = ()
    limits: DownloadLimits = field(default_factory=DownloadLimits)
    split: str = ""

    def words(self) -> list[str]:
        """The options of the command `index` that say the same."""
        words = ["--captions", str(self.captions.absolute())] if self.captions is not None else []
        for pattern in self.exclude:
            words += ["--exclude", pattern]
        if self.split:
            words += ["--split", self.split]
        usual = DownloadLimits()
        if self.limits.at_once != usual.at_once:
            words += ["--downloads", str(self.limits.at_once)]
        if self.limits.per_host != usual.per_host:
            words += ["--per-host", f"{self.limits.per_host:g}"]
        if self.limits.total_bytes != usual.total_bytes:
            words += ["--max-download", f"{self.limits.total_bytes / 1e9:g}"]
        return words


@dataclass(frozen=True)
class Kind:
    """A kind of source.

    Attributes:
        name: what it is, for help texts and documents.
        fits: whether what is at a path, which exists, is of this kind.
        reader: makes its reader.
    """

    name: str
    fits: Callable[[Path], bool]
    reader: Callable[[Path, SourceOptions], Reader]


def _table(path: Path, options: SourceOptions) -> Reader:
    return TsvReader(path, fetch=Downloader(options.limits), at_once=options.limits.at_once)


KINDS = (
    Kind("a saved data set", lambda path: bool(splits(path)), lambda path, options: DatasetReader(path)),
    Kind("a folder of tars", lambda path: _holds(path, shards), lambda path, options: TarReader(path)),
    Kind("a folder of Parquet files", lambda path: _holds(path, parquets), lambda path, options: ParquetReader(path)),
    Kind(
        "a folder of pictures",
        lambda path: path.is_dir(),
        lambda path, options: FolderReader(path, options.captions, options.exclude),
    ),
    Kind("a Parquet file", lambda path: path.suffix.lower() == PARQUET, lambda path, options: ParquetReader(path)),
    Kind("a tar", lambda path: path.suffix.lower() == TAR, lambda path, options: TarReader(path)),
    Kind("a picture", is_picture_name, lambda path, options: FileReader(path)),
    Kind("a table", lambda path: path.is_file(), _table),
)
"""In order: the first that fits reads the path."""


def is_streamed(path: Path, options: SourceOptions) -> bool:
    """Whether a data set is named that is read over the network, and is nothing on this computer."""
    return bool(options.split) and is_dataset_name(path)


def open_source(path: Path, options: SourceOptions = SourceOptions()) -> Reader:
    """The reader for what a person named.

    Args:
        path: a folder or a file, or the name of a data set.
        options: choices that some kinds have.

    Raises:
        StoreError: there is nothing, or it can't be read.
    """
    if is_streamed(path, options):
        return HubReader(str(path), options.split)
    if is_export(path):
        raise StoreError(
            f"{sanitize(str(path))} has clip-retrieval's features of pictures, and no pictures.",
            "Name the model whose image encoder made them: --encoder-of MODEL.",
        )
    if not path.exists() and not is_picture_name(path):
        hint = "Name a folder of pictures, a picture, a tar or a table."
        if is_dataset_name(path):
            hint += " A data set of Hugging Face's of that name needs --split, as in --split train."
        raise StoreError(f"There is no folder or file {path}.", hint)
    return next(kind for kind in KINDS if kind.fits(path)).reader(path, options)


def open_sources(paths: Sequence[Path], options: SourceOptions = SourceOptions()) -> Reader:
    """The reader for all that a person named, one after the other.

    Raises:
        StoreError: as `open_source`, or there are none.
    """
    if not paths:
        raise StoreError("There are no pictures to index.", "Name a folder of pictures, a picture, a tar or a table.")
    readers = [open_source(path, options) for path in paths]
    return readers[0] if len(readers) == 1 else SeveralReaders(readers)


def _holds(path: Path, containers: Callable[[Path], Sequence[Path]]) -> bool:
    """Whether a folder has tars or Parquet files directly in it, and no picture file there or deeper."""
    return path.is_dir() and bool(containers(path)) and all(picture.problem for picture in FolderReader(path))
