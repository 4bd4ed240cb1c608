"""Texts to ids when a template's own special tokens count and a user's do not, and back."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from fromage_lite.text.marks import split_marks

# What may stand before a piece while it is tokenized, in the order of trying. None of them ends in a blank, and hardly
# any token begins with one of these characters and goes on into the next word.
_GUARDS = (".", "x", "\n", "x\n", "。")
_PROBES = (" a", "a", "a b", ".", "\n", "\nQ: a", "  a")


class TextEncoder:
    """A tokenizer that takes typed special tokens as plain characters, and a piece as what it is in the whole text.

    Special are the tokens that the tokenizer says are, and those it has added that its chat template writes: some
    models' `<|im_start|>` is special in all but name.

    SentencePiece's tokenizers (Llama, Gemma, XGLM, …) put a blank before whatever they are given. That is right where a
    text begins; a later piece is therefore tokenized behind a guard, whose ids are cut off again. Whether a tokenizer
    needs that is tried once.
    """

    def __init__(self, tokenizer: Any) -> None:
        self._tokenizer = tokenizer
        self._special = special_tokens(tokenizer)
        self._special_ids = frozenset(self._special.values())
        guards = [(guard, ids) for guard in _GUARDS if (ids := self._known(guard))]
        self._guards = guards if any(self._needs_guard(*guard) for guard in guards) else []
        self._begins_after_special = self._begins_anew()
        self._decoding_guard = self._guard_of_decoding(guards[0][1]) if guards else []

    def encode(self, text: str, begins: bool = False) -> list[int]:
        """Ids of a text. Marked special tokens (`marks.special`) are those tokens.

        The tokenizer sees the text whole, as it would see a rendered chat template, unless that would make something
        typed into a special token; then each stretch between the marked tokens is tokenized on its own.

        Args:
            text: whole or a piece.
            begins: whether the whole text begins with it. What a tokenizer puts before a text is not added.
        """
        parts = split_marks(text)
        if not any(is_marked for _, is_marked in parts):
            return self._plain(text, begins)
        marked = [self._special[part] for part, is_marked in parts if is_marked and part]
        whole = self._placed("".join(part for part, _ in parts), begins, split_special_tokens=False)
        if [i for i in whole if i in self._special_ids] == marked:
            return whole
        ids: list[int] = []
        for part, is_marked in parts:
            if not is_marked:
                ids += self._plain(part, begins)
            elif part:
                ids.append(self._special[part])
                begins = self._begins_after_special
        return ids

    def decode(self, ids: Sequence[int]) -> str:
        """The text of ids from the middle of a text, the blank at its beginning included; special tokens are left
        out."""
        before = self._decoding_guard
        return self._decode([*before, *ids])[len(self._decode(before)) if before else 0 :]

    def beginning(self) -> tuple[int, ...]:
        """The ids that the tokenizer puts before every text."""
        whole = list(self._tokenizer("a").input_ids)
        plain = self._call("a", split_special_tokens=True)
        starts = range(len(whole) - len(plain) + 1)
        return tuple(whole[: next((i for i in starts if whole[i : i + len(plain)] == plain), 0)])

    def _plain(self, text: str, begins: bool) -> list[int]:
        ids = self._placed(text, begins, split_special_tokens=True)
        if not any(i in self._special_ids for i in ids):
            return ids
        # A token that is special in all but name: cut after the first character, it is none any more.
        pattern = "|".join(re.escape(token) for token in sorted(self._special, key=len, reverse=True))
        match = re.search(pattern, text)
        if match is None or len(match[0]) == 1:
            return ids
        cut = match.start() + 1
        return self._plain(text[:cut], begins) + self._plain(text[cut:], False)

    def _placed(self, text: str, begins: bool, split_special_tokens: bool) -> list[int]:
        """Ids of a text at its place. Behind a guard they are those of the whole text if a token ends at the seam."""
        if text and not begins:
            for guard, before in self._guards:
                ids = self._call(guard + text, split_special_tokens)
                if ids[: len(before)] == before:
                    return ids[len(before) :]
        return self._call(text, split_special_tokens)

    def _known(self, guard: str) -> list[int]:
        """Ids of a guard; none if the tokenizer does not know it and takes what follows along, as one unknown word."""
        ids = self._call(guard, True)
        return ids if self._call(f"{guard}a", True) != ids else []

    def _needs_guard(self, guard: str, before: list[int]) -> bool:
        """Whether something behind the guard is tokenized otherwise than alone."""
        behind = ((self._call(guard + probe, True), self._call(probe, True)) for probe in _PROBES)
        return any(ids[: len(before)] == before and ids[len(before) :] != alone for ids, alone in behind)

    def _begins_anew(self) -> bool:
        """Whether the tokenizer takes what follows a special token as it takes the beginning of a text."""
        token = next((token for token in self._special if len(token) > 1), None)
        if token is None or not self._guards:
            return False
        return self._call(f"x{token}a", False)[-len(self._call("a", True)) :] == self._call("a", True)

    def _guard_of_decoding(self, before: list[int]) -> list[int]:
        """Ids to decode along with a piece; none where a piece decodes to itself. (Decoders may strip a blank.)"""
        blank = self._placed(" a", False, True)
        return before if self._decode([*before, *blank]) != self._decode(before) + self._decode(blank) else []

    def _call(self, text: str, split_special_tokens: bool) -> list[int]:
        if not text:
            return []
        return list(
            self._tokenizer(
                text, add_special_tokens=False, split_special_tokens=split_special_tokens, verbose=False
            ).input_ids
        )

    def _decode(self, ids: Sequence[int]) -> str:
        return str(self._tokenizer.decode(ids, skip_special_tokens=True, clean_up_tokenization_spaces=False))


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
