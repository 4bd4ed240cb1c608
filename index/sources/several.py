"""Several sources of pictures as one."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from index.sources.readers import PictureFile, Reader


class SeveralReaders:
    """The pictures of several readers, one after the other. One that two of them list is indexed once.

    Args:
        readers: at least one.
    """

    def __init__(self, readers: Sequence[Reader]) -> None:
        self.readers = list(readers)
        self.at_once = max(reader.at_once for reader in readers)

    def __len__(self) -> int:
        return sum(len(reader) for reader in self.readers)

    def __iter__(self) -> Iterator[PictureFile]:
        for reader in self.readers:
            yield from reader

    def covers(self, source: str) -> bool:
        """Where one of the readers does."""
        return any(reader.covers(source) for reader in self.readers)
