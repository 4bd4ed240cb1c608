"""Earlier prompts, kept across runs."""

from __future__ import annotations

import contextlib
import json
import logging
from pathlib import Path

from index.files import write_bytes

FILE = "prompts.jsonl"
MOST_PROMPTS = 1000
LONGEST_PROMPT = 20_000  # characters; longer ones are remembered for this run only

log = logging.getLogger(__name__)


class PromptHistory:
    """What was sent, oldest first, and the draft that browsing it leaves.

    Args:
        path: where earlier ones are kept; None knows none.
        keep: whether what is sent now is kept there, too.
    """

    def __init__(self, path: Path | None = None, *, keep: bool = True) -> None:
        self._path, self._keeps = path, keep
        self._prompts = read_prompts(path) if path is not None else []
        self._place = len(self._prompts)
        self._draft = ""

    def add(self, prompt: str) -> bool:
        """Remembers a prompt as the newest one; whether it is news."""
        is_news = bool(prompt.strip()) and (not self._prompts or self._prompts[-1] != prompt)
        if is_news:
            self._prompts.append(prompt)
        self._place = len(self._prompts)
        return is_news

    def keep(self, prompt: str) -> None:
        """Writes a prompt to the file, after what other runs of the app have written meanwhile. For a thread: it
        waits for the disk. A history that can't be written is no reason to bother the user."""
        if self._path is None or not self._keeps or len(prompt) > LONGEST_PROMPT:
            return
        from filelock import FileLock

        with contextlib.suppress(OSError):
            self._path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with FileLock(self._path.with_suffix(".lock"), timeout=5):
                prompts = [*read_prompts(self._path), prompt][-MOST_PROMPTS:]
                text = "".join(json.dumps(entry) + "\n" for entry in prompts)
                write_bytes(self._path, text.encode("ascii"), mode=0o600)
        except OSError as error:  # the lock's Timeout is one too
            log.warning("the history of prompts can't be written: %s", error)

    def move(self, step: int, current: str) -> str | None:
        """The prompt one step back (-1) or forward (1); None at either end."""
        place = self._place + step
        if not 0 <= place <= len(self._prompts):
            return None
        if self._place == len(self._prompts):
            self._draft = current
        self._place = place
        return self._draft if place == len(self._prompts) else self._prompts[place]


def read_prompts(path: Path) -> list[str]:
    """The prompts of a file, oldest first; lines that are none are passed over."""
    try:
        lines = path.read_bytes().decode("ascii", "replace").rstrip("\n").split("\n")
    except OSError:
        return []
    prompts = []
    for line in lines[-MOST_PROMPTS:]:
        with contextlib.suppress(ValueError, RecursionError):
            if isinstance(prompt := json.loads(line), str) and prompt.strip():
                prompts.append(prompt)
    return prompts
