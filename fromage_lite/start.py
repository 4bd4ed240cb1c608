"""From names and options to an agent: the one place that knows the shipped models and their pictures.

The top of the package: whatever starts a chat, a command or a script calls `load_agent`, and nothing below knows it.
"""

from __future__ import annotations

from pathlib import Path

from fromage_lite.chat.agent import Agent
from fromage_lite.chat.protocol import Progress
from fromage_lite.config import LoadOptions, playground_dir


def load_agent(
    options: LoadOptions = LoadOptions(),
    progress: Progress | None = None,
    notice: Progress | None = None,
) -> Agent:
    """Loads a model and opens its index.

    Args:
        options: what to load, where and how precisely. The index of the playground's pictures is made on first use.
        progress: gets what takes time, in words.
        notice: gets what memory a large model will take, in a sentence.

    Raises:
        FromageError: the model or the index is missing, damaged, or they don't belong together.
    """
    name = model_label(options.model)
    if progress is not None:
        progress(f"Loading the model {name} …")  # the import alone takes seconds
    from fromage_lite.model.fromage import Fromage
    from fromage_lite.playground.pictures import ensure_playground_index

    checkpoint = str(playground_dir()) if options.model is None else options.model
    model = Fromage.from_pretrained(
        checkpoint, device=options.device, dtype=options.dtype, quantize=options.quantize, notice=notice
    )
    own_index = ensure_playground_index if is_playground(options.model) else None
    agent = Agent(model, model_name=name, checkpoint=checkpoint, own_index=own_index)
    agent.use_index(options.index, progress)
    return agent


def model_label(model: str | None) -> str:
    """The short name of a model in messages."""
    if model is None:
        return "playground"
    return Path(model).name if Path(model).exists() else model


def is_playground(model: str | None) -> bool:
    """Whether a model is one of the shipped ones, whose pictures are the playground's."""
    if model is None:
        return True
    home, path = playground_dir().resolve(), Path(model).resolve()
    return path == home or path.parent == home
