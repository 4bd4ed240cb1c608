"""Whether a language model can be driven by embeddings and a cache, tried at loading on a dozen positions."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import TypeVar

import torch

from fromage_lite.errors import CheckpointError
from fromage_lite.language.feeding import difference, mixed, some_ids, tolerance
from fromage_lite.language.model import LanguageModel
from index.errors import reason

_HINT = "Choose another language model."

T = TypeVar("T")


@torch.no_grad()
def check_logits(language: LanguageModel) -> None:
    """Tries a model as a dialogue will use it.

    There are hundreds of architectures. One that has a factor or a state of its own must be refused, not talk nonsense:

    1. Its own logits of some ids are ours: embedded here, head applied here.
    2. Embeddings that are no word's pass, as a picture's must.
    3. In several passes with a cache, another dialogue between them and some positions undone, they give what one pass
       gives (`Decoder.find_feeding`, which also finds how later passes must be fed).

    Raises:
        CheckpointError: the model can't be driven so, or gives something else.
    """
    taken = inspect.signature(language.decoder.forward).parameters
    if missing := {"inputs_embeds", "past_key_values"} - set(taken):
        raise _unable(language, f"it does not take {' and '.join(sorted(missing))}")
    if getattr(language.model.config.get_text_config(), "hidden_size_per_layer_input", 0):  # Gemma 3n, small Gemma 4s
        raise _unable(language, "its words have inputs of their own at every layer, which pictures have not")
    ids, row, head_row = some_ids(language.vocab_size), torch.zeros(language.dim), torch.zeros(language.head_dim)
    own = _attempt(language, lambda: language.model(input_ids=ids.to(language.device), use_cache=False).logits)
    embeds = language.embed(ids, row)
    ours = _attempt(language, lambda: language.logits(language.forward(embeds).hidden, head_row))
    off = difference(ours[..., :-1], own[..., : language.vocab_size], language.model)
    if not off < tolerance(language.model):
        raise CheckpointError(
            f"The language model {language.name} computes its logits in a way that is not known here: "
            f"they differ by {_percent(off)}.",
            _HINT,
        )
    _attempt(language, lambda: language.forward(mixed(embeds)), "it takes no embeddings but those of its own words: ")
    off = _attempt(language, language.find_feeding)
    if not off < tolerance(language.model):
        raise CheckpointError(
            f"The language model {language.name} does not remember what it has read as a dialogue needs it: "
            f"in a later turn its results are off by {_percent(off)}.",
            _HINT,
        )


def _attempt(language: LanguageModel, run: Callable[[], T], why: str = "") -> T:
    try:
        return run()
    except Exception as error:  # a foreign architecture may fail in any way
        raise _unable(language, why + reason(error).rstrip(".")) from error


def _unable(language: LanguageModel, why: str) -> CheckpointError:
    return CheckpointError(f"The language model {language.name} can't take pictures: {why}.", _HINT)


def _percent(off: float) -> str:
    return f"{off:.1%}" if off < 0.1 else f"{off:.0%}"
