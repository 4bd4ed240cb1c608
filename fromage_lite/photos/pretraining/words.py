"""The words that the LM for photographs knows: those of its training text, by which slips of the finger are told."""

from __future__ import annotations

import random
from collections import Counter
from functools import cache
from importlib.resources import files

from fromage_lite.photos.pretraining.corpus import MIXTURE
from fromage_lite.photos.text.document import Words, as_typed
from fromage_lite.photos.text.searches import searches
from fromage_lite.photos.text.strangers import STRANGERS, is_made_up
from fromage_lite.photos.text.words import VOCABULARY
from fromage_lite.text.spelling import Spelling, words_in

_DOCUMENTS = 30_000
_OFTEN = 3


def spelling() -> Spelling:
    """What reads the words of the users of photographs."""
    return Spelling(known_words(), lookalikes())


@cache
def lookalikes() -> tuple[str, ...]:
    """Everyday words that the LM has never read and that are a slip away from one that it has."""
    return tuple((files("fromage_lite.photos.text") / "lookalikes.txt").read_text(encoding="utf-8").split())


def known_words(documents: int = _DOCUMENTS, seed: int = 0) -> list[str]:
    """The words of the training text in lower case and in their order, strangers included; none is misspelt."""
    rng = random.Random(f"words {seed}")
    makers = {maker: weight for maker, weight in MIXTURE.items() if maker is not searches}  # its slips are its own
    seen: Counter[str] = Counter()
    for _ in range(documents):
        document = as_typed(rng.choices(list(makers), list(makers.values()))[0](rng), rng, slips=0.0)
        seen.update(word for piece in document if isinstance(piece, Words) for word in words_in(piece.text))
    often = {word for word, count in seen.items() if count >= _OFTEN and not is_made_up(word)}
    return sorted(often.union(*map(words_in, [*VOCABULARY, *STRANGERS])))
