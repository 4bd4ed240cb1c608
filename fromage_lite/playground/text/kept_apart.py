"""Messages at the edge of the world that no training text holds, with what may be answered: the figure `small_talk`.

`is_kept_apart` lets the makers of training text leave out whatever holds one of them.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from fromage_lite.playground.text.document import Document, Words
from fromage_lite.playground.text.talk import UNKNOWN
from fromage_lite.playground.world.scene import Group, Scene
from fromage_lite.text.forms.remarks import ASK_FIRST, CAN_NOT_TELL, NOT_ALWAYS_RIGHT, REMARKS, SHOW_FIRST

SHOWN = Scene((Group("cat", 2, "small"), Group("car", 1, "big", "red")), "night")
"""What the user's picture shows where a message comes after one."""

Before = str
"""`first`, `picture` (after `SHOWN` and a question), or a request that was answered."""

_HONEST = (UNKNOWN,)
_HELLO, _FINE, _ME, _HELP, _WELCOME, _BYE, _GLAD, _ALRIGHT = [answer for answer in REMARKS][:8]


@dataclass(frozen=True)
class Edge:
    """A message with what may be said to it.

    Attributes:
        message: as the user types it.
        answers: whole replies of which one must be given; empty if a picture must be.
        finds: things that the first found picture must show, if a picture may be the answer.
        before: what came before it.
    """

    message: str
    answers: tuple[str, ...] = ()
    finds: frozenset[str] = frozenset()
    before: Before = "first"


def _edges(before: Before, answers: tuple[str, ...], *messages: str) -> list[Edge]:
    return [Edge(message, answers, before=before) for message in messages]


def _finds(before: Before, things: str, *messages: str, answers: tuple[str, ...] = ()) -> list[Edge]:
    return [Edge(message, answers, frozenset(things.split()), before) for message in messages]


_TWO_CATS, _DOG, _ROSE = "show me two cats", "show me a dog on the beach", "find a rose"
_CATS_SEEN = "two cats and a red car at night."

EDGES: tuple[Edge, ...] = (
    # Nothing was shown yet.
    *_edges("first", (SHOW_FIRST, ASK_FIRST, UNKNOWN, _HELP),
            "what's that thing?", "what is that thing?", "what am i looking at?", "is it a cat?", "who is it?",
            "what is in the third picture?", "tell me what it is", "what did you see?", "where was it?",
            "can you see it?", "what do you see in the picture?", "what is in the image?", "describe my photo"),
    *_edges("first", (ASK_FIRST, SHOW_FIRST, UNKNOWN),
            "one more like this", "another one like that", "much bigger", "even smaller", "the next one",
            "a different picture", "again please!", "now the same thing by the sea", "the same thing in red",
            "other ones", "more please", "two more"),
    *_edges("first", ("i see no picture.", SHOW_FIRST), "how many pictures do you see now?",
            "so how many pictures do you see?", "how many images do you see?", "how many pictures did you get?"),
    *_edges("first", (_HELLO, _FINE), "hello friend", "hi, how are you?", "hey there!", "good afternoon"),
    *_edges("first", (_ME, UNKNOWN, SHOW_FIRST), "so who are you?", "what's your name then?", "are you a person?",
            "are you a machine?", "who is this?"),
    *_edges("first", (_HELP, UNKNOWN, "i know animals, birds, bugs, fruit and food, for example."),
            "so what can you do?", "what should i type?", "how do i start?", "what do i do now?",
            "help me please", "what can you do for me?"),
    *_edges("first", (_WELCOME, _GLAD), "thank you, that is nice", "ok thank you", "thanks so much", "cheers"),
    *_edges("first", (_BYE,), "bye then", "goodbye for now", "see you tomorrow", "ok bye"),
    *_edges("first", (_ALRIGHT, UNKNOWN, _GLAD, _HELP), "ok then", "yes yes", "no no", "hmm", "well, ok", "aha"),
    *_edges("first", (UNKNOWN, _ME), "what is the time?", "how old is the earth?", "tell me something funny",
            "can you sing?", "who is the king of france?", "what is the capital of spain?", "show me a wizzard",
            "show me a laptop", "find me a helmet", "do you have a sofa?", "a picture of my dentist", "qwertz",
            "why is the sky blue?", "i feel sad", "what is your age?"),
    *_finds("first", "cat", "a cat, and be quick!", "a cat, thank you", "could i have a cat?", "ok, a cat",
            "shwo me a cat", "show me a catt", "may i see cats?", answers=_HONEST),
    *_finds("first", "elephant", "elehpant", "an elefant", "shoe me an elephant", "show me elephents", answers=_HONEST),
    *_finds("first", "helicopter", "a helicoptr", "a helicopter pleeease", answers=_HONEST),
    # After a picture of the user's.
    *_edges("picture", (_CATS_SEEN,), "so what is it?", "what is it then?", "what's shown in it?", "and what is that?",
            "what is in the picture i showed you?", "what was in my picture?", "what does my picture show?"),
    *_edges("picture", (_CATS_SEEN,), "please tell me what is in the first picture",
            "so what is in the first picture?", "what did the first picture show?"),
    *_edges("picture", ("there is no second picture.",), "so what is in the second picture?",
            "is there something in the second picture?", "what did the second picture show?"),
    *_edges("picture", ("i see one picture.",), "how many pictures do you see here?", "how many pictures was that?",
            "how many images are there?"),
    *_edges("picture", ("at night.",), "and where is it?", "so where is this?", "where is that?"),
    *_edges("picture", ("two.",), "and how many cats?", "so how many cats are there?", "how many cats can you count?"),
    *_edges("picture", ("red.",), "and the car, what colour is it?", "what is the colour of the car?"),
    *_edges("picture", ("no.", "there is no dog."), "and is there a dog?", "is that a dog?", "no dog there?"),
    *_edges("picture", (_WELCOME, _GLAD), "thank you, nice", "that is right, thanks"),
    *_edges("picture", (NOT_ALWAYS_RIGHT, CAN_NOT_TELL, _ALRIGHT), "are you really sure?", "that is all wrong",
            "no, you are wrong"),
    # After a request.
    *_finds(_TWO_CATS, "cat", "a cat pls", "now only one cat", "just a cat please", "one cat, please"),
    *_finds(_TWO_CATS, "dog", "and a dog now", "no, i mean dogs", "not cats, dogs", "dogs, please"),
    *_finds(_TWO_CATS, "cat", "bigger cats", "smaller cats, please", "the same, but at night", "yet another one",
            "one more of those", "more cats"),
    *_edges(_TWO_CATS, (_GLAD, _WELCOME), "what lovely cats!", "that is nice!", "wow, thank you"),
    *_edges(_TWO_CATS, ("i see one picture.",), "how many pictures do you see by now?", "how many pictures were that?"),
    *_finds(_DOG, "dog", "even bigger", "and by night?", "the same in the city now", "one more dog", "a smaller dog"),
    *_finds(_DOG, "camel", "a camel this time", "with a camel, please", "a camel instead of the dog"),
    *_edges(_DOG, ("i see one picture.",), "how many pictures did you find?"),
    *_edges(_DOG, ("yes.",), "so is that a dog?", "you see a dog?"),
    *_edges(_DOG, ("no.", "there is no cat."), "so is that a cat?", "you see a cat?"),
    *_finds(_ROSE, "rose", "same in the kitchen", "another rose", "two roses now", "again, but at the beach"),
    *_edges(_ROSE, (_BYE,), "that was all, bye", "bye now"),
    *_edges(_ROSE, (UNKNOWN,), "and a spaceship captain?", "now a refrigerator", "what is its price?"),
)  # fmt: skip


def _plain(text: str) -> str:
    return " ".join(re.findall(r"[a-z0-9']+", text.lower()))


_PLAIN = frozenset(_plain(edge.message) for edge in EDGES)


def is_kept_apart(document: Document) -> bool:
    """Whether a document holds one of the messages, whatever its marks."""
    return any(
        _plain(piece.text.removeprefix("Q:").removesuffix("\nA:")) in _PLAIN
        for piece in document
        if isinstance(piece, Words) and piece.text.endswith("\nA:")
    )
