"""A complete reply with its Markdown formatted. Streamed text stays plain: parsing it again and again is dear."""

from __future__ import annotations

import re

from markdown_it import MarkdownIt
from markdown_it.rules_core import StateCore
from textual.widgets import Markdown

_MARKDOWN = re.compile(
    r"^ {0,3}#{1,6} \S"  # heading
    r"|^\s*(?:[-*+]|\d{1,3}[.)]) \S.*\n\s*(?:[-*+]|\d{1,3}[.)]) \S"  # a list of two entries at least
    r"|^ {0,3}> \S|^ {0,3}(?:```|~~~)"  # quotation, code
    r"|^ {0,3}\|.+\|\s*\n {0,3}\|[ :|-]+\|"  # table
    r"|(?<!\*)\*\*\S(?:.*\S)?\*\*"  # strong
    r"|(?<![\w_])__[^\s_]\S*[ \t](?:.*\S)?__(?!\w)"  # the same, but not __init__
    r"|(?<![\w*])\*[^\s*](?:[^*\n]*[^\s*])?\*(?![\w*])|(?<![\w_])_[^\s_](?:[^_\n]*[^\s_])?_(?![\w_])"  # emphasis
    r"|(?<!`)`[^`\n]+`(?!`)|\[[^\]\n]+\]\(https?://[^)\s]+\)",  # code, link
    re.MULTILINE,
)


def looks_formatted(text: str) -> bool:
    """Whether a text has any Markdown in it; most replies are plain, and stay as they were drawn."""
    return _MARKDOWN.search(text) is not None


def _keep_line_breaks(state: StateCore) -> None:
    """Language models end a line where they mean it."""
    for block in state.tokens:
        for token in block.children or ():
            if token.type == "softbreak":
                token.type = "hardbreak"


def _parser() -> MarkdownIt:
    parser = MarkdownIt("gfm-like", {"linkify": False})
    parser.core.ruler.push("keep_line_breaks", _keep_line_breaks)
    return parser


class Formatted(Markdown):
    """Markdown. Links are not followed: a model may name any address; the screen shows where one leads."""

    def __init__(self, text: str) -> None:
        super().__init__(text.strip(), classes="prose", parser_factory=_parser, open_links=False)
        self.text = text
