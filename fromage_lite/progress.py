"""How long work reports to whoever waits for it: in words, or as a bar over what it counts."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from index.progress import Progress

Report = Callable[[str], None]
"""Called with a sentence: what is being done, or what the user should know."""


def ignore(text: str) -> None:
    """A `Report` that nobody hears."""


@contextmanager
def progress_bar(title: str, unit: str) -> Iterator[Progress]:
    """A bar on stderr.

    Args:
        title: what is being done.
        unit: one of what is counted.

    Yields:
        A function of (how many are done, how many there are).
    """
    from tqdm import tqdm

    with tqdm(desc=title, unit=f" {unit}s", dynamic_ncols=True) as bar:

        def update(done: int, total: int) -> None:
            bar.total = total
            bar.update(done - bar.n)

        yield update
