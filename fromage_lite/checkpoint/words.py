"""The file of the words that a model knows: one a line; one behind a `-` is unknown, but not misspelt either."""

from __future__ import annotations

import re
from pathlib import Path

from fromage_lite.errors import CheckpointError
from fromage_lite.text.spelling import Spelling
from index.errors import reason
from index.files import write_bytes

WORDS_FILE = "words.txt"
MOST_BYTES = 1_000_000

_LINE = re.compile(r"-?[^\W\d_]{1,40}")


def read_words(name: str, base_dir: Path | None) -> Spelling:
    """The words in a file.

    Args:
        name: the file; a relative path counts from `base_dir`.
        base_dir: the checkpoint's folder; None is the working directory.

    Raises:
        CheckpointError: it is missing, too large, or not a list of words.
    """
    path = (base_dir or Path()) / name
    if not path.is_file():
        raise CheckpointError(
            f"The model's list of words is missing: there is no file {path}.",
            "Copy or download the model again, or remove vocabulary from its config.json.",
        )
    try:
        with path.open("rb") as file:
            data = file.read(MOST_BYTES + 1)
        lines = data.decode().split()
    except (OSError, UnicodeDecodeError) as error:
        raise CheckpointError(f"{path} can't be read: {reason(error)}.", "Copy or download the model again.") from error
    if len(data) > MOST_BYTES or not all(map(_LINE.fullmatch, lines)):
        raise CheckpointError(
            f"{path} is not a list of words, one a line, of at most {MOST_BYTES:,} bytes.",
            "Copy or download the model again.",
        )
    lines = [line.lower() for line in lines]
    others = [line[1:] for line in lines if line.startswith("-")]
    return Spelling((line for line in lines if not line.startswith("-")), others)


def write_words(file: Path, spelling: Spelling) -> None:
    """Writes the file atomically.

    Raises:
        OSError: it can't be written.
    """
    known, others = spelling.words
    write_bytes(file, "".join(f"{line}\n" for line in [*known, *(f"-{word}" for word in others)]).encode())
