"""Wordings of requests for pictures and of what follows them.

In a form `{x}` is a noun phrase ("two cats"), `{w}` a place ("at night"), `{c}` a colour, `{y}` what is not wanted.
"""

from __future__ import annotations

REQUESTS = (
    "show me {x}.", "can you show me {x}?", "find {x}.", "find me {x}.", "i want to see {x}.",
    "i would like to see {x}.",
    "do you have a picture of {x}?", "show me a picture of {x}.", "a picture of {x}, please.", "give me {x}.",
    "search for {x}.", "please show me {x}.", "could you find a picture of {x}?", "let me see {x}.", "show {x}.",
    "i need a picture of {x}.", "got a photo of {x}?", "{x}, please.", "draw {x}.", "draw me {x}.", "pictures of {x}.",
    "find pictures of {x}.", "can i see {x}?", "{x}.", "{x} please.", "i want {x}.", "i'd like {x}.", "show us {x}.",
    "now show me {x}.", "and now {x}, please.", "hi, show me {x}.", "images of {x}.", "photos of {x}.",
    "do you have {x}?", "have you got {x}?", "get me {x}.", "i am looking for a picture of {x}.",
)  # fmt: skip
"""Whole messages that ask for a picture."""

SEARCHES = (
    "{x}", "{x}", "{x}", "{x}", "{x}", "{x}", "{x}.", "{x}.", "{x}?", "{x}!", "{x} please", "show me {x}", "find {x}",
    "pictures of {x}", "a picture of {x}", "picture of {x}", "photo of {x}", "photos of {x}", "images of {x}",
    "search for {x}", "i want {x}", "some {x}", "any {x}", "the {x}", "find me {x}", "look for {x}", "there is {x}",
)  # fmt: skip
"""What is typed into a search field."""

PLACE_CHANGES = (
    "and {w}?", "now {w}.", "the same {w}, please.", "what about {w}?", "and {w}, please.", "show me the same {w}.",
    "now show it {w}.", "{w}, please.", "how about {w}?", "can i see it {w}?", "but {w}.", "the same but {w}.", "{w}.",
    "show me that {w}.", "no, {w}.",
)  # fmt: skip
"""The same again somewhere else."""

THING_CHANGES = (
    "and {x}?", "now {x}.", "what about {x}?", "and {x}, please.", "now with {x}.", "{x} instead, please.",
    "how about {x}?", "{x} instead.", "rather {x}.", "no, {x}.", "not that, {x}.", "i meant {x}.", "no, i want {x}.",
    "that is not what i want. show me {x}.", "no, i mean {x}.", "no, not that. {x}.", "i wanted {x}.",
    "now {x}, please.",
    "{x} this time.", "let us have {x}.", "then {x}.", "better {x}.",
)  # fmt: skip
"""Something else in the same place."""

CORRECTIONS = ("not {y}, {x}.", "no {y}, {x}.", "{x}, not {y}.", "i said {x}, not {y}.", "{x} instead of {y}.",
               "no, i mean {x}, not {y}.", "{x} and not {y}.", "rather {x} than {y}.")  # fmt: skip
"""Something else, and what it is not to be."""

ADDITIONS = ("with {x} too.", "and add {x}.", "also {x}.", "together with {x}.", "and {x} with it.", "add {x}, please.",
             "with {x}.", "with {x}, please.", "and {x} too.", "put {x} next to it.")  # fmt: skip
REMOVALS = ("without {y}.", "without {y}, please.", "but no {y}.", "leave out {y}.", "take away {y}.")

SIZE_CHANGES = {
    "big": ("bigger.", "a bigger one.", "bigger, please.", "can it be bigger?", "a big one.", "larger.",
            "make it big."),
    "small": ("smaller.", "a smaller one.", "smaller, please.", "can it be smaller?", "a small one.", "a tiny one.",
              "make it small."),
}  # fmt: skip

COLOUR_CHANGES = (
    "a {c} one, please.", "in {c}.", "now in {c}.", "the same in {c}, please.", "and a {c} one?", "{c}.", "and {c}?",
    "make it {c}.", "and in {c}?", "a {c} one.", "i want it in {c}.",
)  # fmt: skip

SIMILAR = (
    "more like this.", "show me a similar picture.", "find a picture like this.", "show me something like this.",
    "a similar picture, please.", "find me one like this.", "do you have one like this?", "something similar, please.",
)  # fmt: skip
"""More of a picture that the user has shown."""

AGAIN = (
    "another one.", "one more.", "another one, please.", "show me another one.", "more like this.", "again, please.",
    "show me a similar one.", "show me a similar picture.", "more.", "next.", "another.", "a different one.",
    "show me more.", "again.", "once more.", "one more, please.", "do you have another one?", "more of that.",
    "another picture, please.",
)  # fmt: skip
"""More of what was found."""
