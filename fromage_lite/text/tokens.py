"""Texts to ids when a template's own special tokens count and a user's do not."""

from __future__ import annotations

import re
from typing import Any

from fromage_lite.text.marks import split_marks


class TextEncoder:
    """A tokenizer that takes typed special tokens as plain characters.

    Special are the tokens that the tokenizer says are, and those it has added that its chat template writes: some
    models' `<|im_start|>` is special in all but name.
    """

    def __init__(self, tokenizer: Any) -> None:
        self._tokenizer = tokenizer
        self._special = special_tokens(tokenizer)
        self._special_ids = frozenset(self._special.values())

    def encode(self, text: str) -> list[int]:
        """Ids of a text, no beginning of text added. Marked special tokens (`marks.special`) are those tokens.

        The tokenizer sees the text whole, as it would see a rendered chat template, unless that would make something
        typed into a special token; then each stretch between the marked tokens is tokenized on its own.
        """
        parts = split_marks(text)
        if not any(is_marked for _, is_marked in parts):
            return self._plain(text)
        marked = [self._special[part] for part, is_marked in parts if is_marked and part]
        whole = self._call("".join(part for part, _ in parts), split_special_tokens=False)
        if [i for i in whole if i in self._special_ids] == marked:
            return whole
        ids: list[int] = []
        for part, is_marked in parts:
            ids += [self._special[part]] if is_marked and part else self._plain(part)
        return ids

    def _plain(self, text: str) -> list[int]:
        ids = self._call(text, split_special_tokens=True)
        if not any(i in self._special_ids for i in ids):
            return ids
        # A token that is special in all but name: cut after the first character, it is none any more.
        pattern = "|".join(re.escape(token) for token in sorted(self._special, key=len, reverse=True))
        match = re.search(pattern, text)
        if match is None or len(match[0]) == 1:
            return ids
        cut = match.start() + 1
        return self._plain(text[:cut]) + self._plain(text[cut:])

    def _call(self, text: str, split_special_tokens: bool) -> list[int]:
        if not text:
            return []
        return list(
            self._tokenizer(
                text, add_special_tokens=False, split_special_tokens=split_special_tokens, verbose=False
            ).input_ids
        )


def special_tokens(tokenizer: Any) -> dict[str, int]:
    """The texts and ids of the tokens that steer a model: nobody can type them."""
    template = getattr(tokenizer, "chat_template", None) or ""
    written = template if isinstance(template, str) else " ".join(template.values())
    added = {str(token.content): (i, token.special) for i, token in tokenizer.added_tokens_decoder.items()}
    found = {
        text: i
        for text, (i, is_special) in added.items()
        if is_special or (text.strip() and text in written and len(text) > 1)
    }
    return found | dict(zip(tokenizer.all_special_tokens, tokenizer.all_special_ids, strict=True))
