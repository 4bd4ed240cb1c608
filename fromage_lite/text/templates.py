"""The prompt templates by name: two of our own, and those that a tokenizer brings."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from fromage_lite.errors import ConfigError
from fromage_lite.text.marks import NO_BOS, special
from fromage_lite.text.template import Template
from fromage_lite.text.tokens import special_tokens
from index.errors import reason

HINT = "Set prompt_template to qa."

TEMPLATES = {
    "qa": Template(before="Q: ", after="\nA:", turn_end="\n", stop_strings=("\n", "Q:")),
    "plain": Template(before="", after="", turn_end="\n", stop_strings=("\n",)),
}
FROM_TOKENIZER = ("chat", "inst")  # their special tokens are the tokenizer's


def get_template(name: str, tokenizer: Any = None) -> Template:
    """The template of that name (`FromageConfig.prompt_template`).

    Args:
        name: `qa`, `plain`, `chat` (the tokenizer's own chat template) or `inst` (`[INST] … [/INST]`).
        tokenizer: the language model's, for the last two.

    Raises:
        ConfigError: if this version has no such template, or the tokenizer does not have what it needs.
    """
    if name in FROM_TOKENIZER:
        return read_chat_template(tokenizer) if name == "chat" else inst_template(tokenizer)
    if name not in TEMPLATES:
        known = ", ".join([*TEMPLATES, *FROM_TOKENIZER])
        raise ConfigError(f"There is no prompt template {name!r}.", f"Choose one of: {known}.")
    return TEMPLATES[name]


def read_chat_template(tokenizer: Any) -> Template:
    """The tokenizer's chat template as the text around messages and replies, special tokens marked.

    Whether a text begins with the beginning-of-text token is the template's affair: nothing is added to it.

    Raises:
        ConfigError: there is none, or what it writes round a turn depends on the turns around.
    """
    if not getattr(tokenizer, "chat_template", None):
        raise ConfigError("The language model's tokenizer has no chat template.", HINT)
    names = [f"placeholder{number}of5" for number in range(5)]
    head, answer, between, *rest = _around(names, _render(tokenizer, names))
    alone_head, tail = _around(names[:1], _render(tokenizer, names[:1]))
    if [head, answer, between, answer, between, tail] != [alone_head, answer, between, *rest]:
        raise ConfigError("The language model's chat template does not write every turn alike.", HINT)
    after, reply_start = _reply_begins(answer, tail)
    mark = _marker(tokenizer)
    ends = mark.search(between)
    return Template(
        before=NO_BOS + _marked(mark, head),
        after=_marked(mark, after),
        turn_end=_marked(mark, between[: ends.end()] if ends else between),
        stop_strings=() if ends or not between.strip() else (between.rstrip(), between.strip()),
        before_next=_marked(mark, between[ends.end() :]) if ends else "",
        reply_start=reply_start,
        stop_tokens=(ends[0],) if ends else (),
    )


def inst_template(tokenizer: Any) -> Template:
    """`[INST] message [/INST] reply</s>[INST] …`, as Mistral's first instruction models and the adapters on them have
    it: the beginning of text once, the end of text after every reply.

    Raises:
        ConfigError: the tokenizer has no end-of-text token.
    """
    if tokenizer.eos_token is None:
        raise ConfigError("The language model's tokenizer has no end-of-text token, which [INST] needs.", HINT)
    mark = _marker(tokenizer)  # later models have special tokens of these names
    return Template(
        before=_marked(mark, "[INST] "),
        after=_marked(mark, " [/INST]"),
        turn_end=special(tokenizer.eos_token),
        stop_strings=("[INST]",),
        stop_tokens=(tokenizer.eos_token,),
    )


def _render(tokenizer: Any, texts: Sequence[str]) -> str:
    messages = [{"role": ("user", "assistant")[number % 2], "content": text} for number, text in enumerate(texts)]
    try:
        # Models that may think first are asked not to: a reply is short, and the bridge has learnt none of it.
        return tokenizer.apply_chat_template(
            messages, tokenize=False, add_generation_prompt=True, enable_thinking=False
        )
    except Exception as error:  # a template is a program
        raise ConfigError(f"The language model's chat template does not work: {reason(error)}.", HINT) from error


def _around(names: Sequence[str], rendered: str) -> list[str]:
    """What stands around the placeholders, each of which must be there once and in order."""
    pieces = re.split(f"({'|'.join(names)})", rendered)
    if pieces[1::2] != list(names):
        raise ConfigError("The language model's chat template does not keep the messages as they are.", HINT)
    return pieces[::2]


def _reply_begins(answer: str, tail: str) -> tuple[str, str]:
    """The text up to a reply, and the blanks with which the reply begins.

    Args:
        answer: what the template writes between a message and its reply.
        tail: what it writes after the last message, where a reply is asked for.
    """
    if tail.startswith(answer):  # perhaps with more, such as an empty thought
        return tail, ""
    if not answer.startswith(tail):
        raise ConfigError(
            "The language model's chat template asks for a reply in another way than it writes one.", HINT
        )
    rest = answer[len(tail) :]
    if not rest.strip(" "):
        return tail, rest
    after = answer.rstrip(" ")  # the template knows nothing of asking for a reply
    return after, answer[len(after) :]


def _marker(tokenizer: Any) -> re.Pattern[str]:
    tokens = sorted(special_tokens(tokenizer), key=len, reverse=True)
    return re.compile("|".join(map(re.escape, tokens)) or "(?!)")


def _marked(mark: re.Pattern[str], text: str) -> str:
    return mark.sub(lambda match: special(match[0]), text)
