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
def progress_bar(title: str, unit: str, note: Callable[[], str] = lambda: "") -> Iterator[Progress]:
    """A bar on stderr.

    Args:
        title: what is being done.
        unit: one of what is counted.
        note: what else is to stand behind the bar.

    Yields:
        A function of (how many are done, how many there are).
    """
    from tqdm import tqdm

    with tqdm(desc=title, unit=f" {unit}s", dynamic_ncols=True) as bar:

        def update(done: int, total: int) -> None:
            bar.total = total
            if words := note():
                bar.set_postfix_str(words, refresh=False)
            bar.update(done - bar.n)

        yield update
