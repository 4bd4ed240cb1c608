"""From names and options to an agent: the one place that knows the shipped models and their pictures."""

from __future__ import annotations

from fromage_lite.chat.agent import Agent, Progress
from fromage_lite.config import LoadOptions


def load_agent(
    options: LoadOptions = LoadOptions(), progress: Progress | None = None, notice: Progress | None = None
) -> Agent:
    """Loads a model and opens its index.

    Args:
        options: what to load, where and how precisely.
        progress: gets what takes time, in words.
        notice: gets what memory a large model will take, in a sentence.

    Raises:
        FromageError: the model or the index is missing or damaged, or they don't belong together.
    """
    return Agent.load(
        options.model, options.index, options.device, options.dtype, options.quantize, progress=progress, notice=notice
    )
