"""The tokenizer for photographs: whole words from a list, everything else in pieces, in OPT's layout.

A thousand names need their words whole, so that each stands at one place of a picture span; a list of words does that
with fewer rows than merges would, and a plural stays the noun with an s behind it. Bytes are the last resort, so that
no text is without tokens.
"""

from __future__ import annotations

import random
import re
from collections import Counter
from pathlib import Path

from fromage_lite.photos.pretraining.corpus import as_text, random_document
from fromage_lite.photos.text.document import as_typed
from fromage_lite.photos.text.words import N_TAGS, WORDS_OF_KINDS, words_of
from fromage_lite.photos.world.classes import CLASSES
from fromage_lite.pretraining.tokenizer import SPECIAL_TOKENS, new_tokenizer, save_tokenizer

SLOTS = tuple(f"<v{number}>" for number in range(1, N_TAGS + 1))
"""One token for each place of a picture span; no text has them, since its words are cut at `<`."""

_WORD = r" ?[\p{L}\p{N}]+(?:[-'][\p{L}\p{N}]+)*| ?[^\s\p{L}\p{N}]|\s"
_LEAST_COUNT = 8
_PAIRS, _TRIPLES = 160, 80


def make_tokenizer(out: Path, seed: int = 0, documents: int = 12_000) -> None:
    """Makes the tokenizer from the names, and from the words of a sample of the corpus."""
    from tokenizers import Regex, models, pre_tokenizers

    pieces = [*SPECIAL_TOKENS, *SLOTS, *sorted(pre_tokenizers.ByteLevel.alphabet())]
    pieces += [token for token in _words(seed, documents) if token not in set(pieces)]
    vocabulary = {piece: number for number, piece in enumerate(dict.fromkeys(pieces))}
    longest_first = models.WordPiece(
        vocabulary, unk_token="<unk>", continuing_subword_prefix="", max_input_chars_per_word=100
    )
    tokenizer = new_tokenizer(longest_first)
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(_WORD), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    save_tokenizer(tokenizer, out)


def _words(seed: int, documents: int) -> list[str]:
    """All words of names, synonyms and kinds, those of the grammar, and frequent pairs and triples of letters."""
    known = [phrase for number in range(len(CLASSES)) for phrase in words_of(number)]
    known += [phrase for phrases in WORDS_OF_KINDS.values() for phrase in phrases]
    words = dict.fromkeys(word for phrase in known for word in phrase.split())
    rng = random.Random(f"words {seed}")
    counts: Counter[str] = Counter()
    for _ in range(documents):
        text = as_text(as_typed(random_document(rng, 0.1), rng, slips=0.0))
        counts.update(re.findall(r"[a-z0-9]+(?:[-'][a-z0-9]+)*|[^\sa-z0-9]", text.lower()))
    for word, count in sorted(counts.items(), key=lambda item: (-item[1], item[0])):
        is_plural = word.endswith("s") and (word[:-1] in words or word.removesuffix("es") in words)
        if count >= _LEAST_COUNT and not is_plural:
            words.setdefault(word)
    letters: Counter[str] = Counter()
    for word in words:
        letters.update(word[i : i + size] for size in (2, 3) for i in range(len(word) - size + 1) if word.isalpha())
    common = [piece for piece, _ in sorted(letters.items(), key=lambda item: (-item[1], item[0]))]
    pieces = [p for p in common if len(p) == 2][:_PAIRS] + [p for p in common if len(p) == 3][:_TRIPLES]
    return [*(f"Ġ{word}" for word in words), *pieces]
