"""Captions as lower-case words without punctuation, as COCO's evaluation has them."""

from __future__ import annotations

import re
from typing import Protocol

from fromage_lite.evaluate.extra import SCORES, need

# What pycocoevalcap takes for punctuation. It means to leave out brackets, too, but its tokenizer writes them `-lrb-`,
# which it does not know; they stay words here as well.
_PUNCTUATION = frozenset("'' ' `` ` . ? ! , : - -- ... ;".split())
_SENTENCE_END = re.compile(r"(?<=[A-Za-z]{3})\.(?=\s)")  # "mr." and "u.s." stay one word
_OPENING_QUOTE = re.compile(r"(?<!\S)'(?=\w)")


class _Tokenizer(Protocol):
    def tokenize(self, text: str, convert_parentheses: bool = False) -> list[str]: ...


class CaptionTokenizer:
    """The Penn Treebank's words by NLTK, in place of the Stanford tokenizer, which needs Java.

    On COCO's captions both give the same; they differ in abbreviations at the end of a sentence, in web addresses, and
    Stanford's writes some British words in the American way.
    """

    def __init__(self) -> None:
        """
        Raises:
            ConfigError: NLTK is not installed.
        """
        need(SCORES)
        from nltk.tokenize import TreebankWordTokenizer

        self._tokenizer: _Tokenizer = TreebankWordTokenizer()

    def __call__(self, caption: str) -> tuple[str, ...]:
        """The words of a caption."""
        text = _OPENING_QUOTE.sub("' ", _SENTENCE_END.sub(" .", caption))
        words = self._tokenizer.tokenize(text, convert_parentheses=True)
        return tuple(word for word in map(str.lower, words) if word not in _PUNCTUATION)
