"""Everything that is said without a scene: facts, small talk, and honest answers to what the world doesn't hold."""

from __future__ import annotations

import random

from fromage_lite.playground.text.grammar import enumerate_phrases
from fromage_lite.playground.world.things import (
    CATEGORY_OF,
    SETTINGS,
    THINGS,
    THINGS_BY_CATEGORY,
    article,
    is_a,
    plural,
    plural_category,
)

Exchange = tuple[str, str]
"""A question and its answer."""

UNKNOWN = "sorry, i do not know that. i only know my small picture world."

SMALL_TALK: dict[str, tuple[str, ...]] = {
    "hello! what shall we look at?": ("hello.", "hi.", "hello!", "hi!", "hey.", "good morning.", "good evening."),
    "i am fine, thank you.": ("how are you?", "how do you do?", "are you well?"),
    "i am a small model that sees pictures and answers with pictures.": (
        "who are you?", "what are you?", "what is your name?", "are you a robot?", "are you human?",
    ),
    "show me a picture and ask what is in it, or ask me for a picture.": (
        "what can you do?", "help.", "help me.", "how does this work?", "what should i do?",
    ),
    "you are welcome.": ("thank you.", "thanks.", "thank you!", "thanks!", "great, thanks."),
    "goodbye!": ("bye.", "goodbye.", "bye!", "see you.", "good night."),
    "i am glad that you like it.": ("nice.", "great!", "well done.", "good job.", "very nice.", "wow.", "cool."),
    "please show me a picture first.": (
        "what is in the picture?", "what do you see?", "what is this?", "describe the picture.", "where is this?",
        "what is in my picture?", "what is in this picture?",
    ),
}  # fmt: skip

_UNKNOWN_QUESTIONS = (
    "what is the capital of {x}?", "who is {x}?", "what is {x}?", "tell me about {x}.", "show me {x}.",
    "show me a picture of {x}.", "how old is {x}?", "when was {x} born?", "do you know {x}?", "write a poem about {x}.",
    "what is the weather in {x}?", "how far is {x}?", "why is {x} so famous?", "can you find {x}?", "do you like {x}?",
    "i want to see {x}.", "what does {x} mean?", "how do i get to {x}?", "translate {x}.", "who made {x}?",
)  # fmt: skip
_UNKNOWN_THINGS = (
    "france", "paris", "einstein", "a dragon", "a unicorn", "music", "the moon landing", "london", "a volcano", "love",
    "history", "a computer", "my mother", "your father", "a wizard", "germany", "politics", "a mermaid", "a submarine",
    "the king", "the queen", "tokyo", "shakespeare", "a zombie", "mathematics", "a dinosaur", "america", "a pirate",
    "football results", "the news", "a ghost", "time", "money", "god", "a skyscraper", "a vampire", "a knight", "china",
    "the president", "a teacher", "my friend", "the internet", "a river", "a bridge", "a mountain", "a wolf", "a fox",
    "a deer", "a sword", "a table", "a spoon", "a skateboard", "a violin", "a dolphin", "a windmill", "wine", "rice",
    "a person", "a woman", "a man", "a child", "a baby", "quantum physics", "a planet", "the sun", "a jungle",
    "an island",
)  # fmt: skip
_UNKNOWN_ALONE = (
    "what time is it?", "tell me a joke.", "how old are you?", "where do you live?", "what is two plus two?",
    "sing a song.", "what is the meaning of life?", "will it rain tomorrow?", "what day is it?", "why?", "how?",
    "do you like me?", "can you dance?", "are you happy?", "what did you eat?", "how much does it cost?", "who won?",
)  # fmt: skip
_LETTERS = "abcdefghijklmnopqrstuvwxyz"


def unknown(rng: random.Random) -> Exchange:
    """A question that the world has no answer to."""
    if rng.random() < 0.3:
        return rng.choice(_UNKNOWN_ALONE), UNKNOWN
    if rng.random() < 0.4:
        x = "".join(rng.choice(_LETTERS) for _ in range(rng.randint(4, 9)))
        x = rng.choice((x, f"a {x}"))
    else:
        x = rng.choice(_UNKNOWN_THINGS)
    return rng.choice(_UNKNOWN_QUESTIONS).format(x=x), UNKNOWN


def small_talk(rng: random.Random) -> Exchange:
    answer = rng.choice([a for a in SMALL_TALK if not a.startswith("please")])
    return rng.choice(SMALL_TALK[answer]), answer


def no_picture_yet(rng: random.Random) -> Exchange:
    """A question about a picture where none was shown."""
    answer = "please show me a picture first."
    return rng.choice(SMALL_TALK[answer]), answer


def fact(rng: random.Random) -> Exchange:
    """A question about the world's things in general."""
    thing = rng.choice(THINGS)
    category = CATEGORY_OF[thing]
    kind = rng.random()
    if kind < 0.35:
        a = f"{article(thing)} {thing}"
        return rng.choice((f"what is {a}?", f"tell me what {a} is.")), f"{a} is {article(category)} {category}."
    if kind < 0.8:
        claimed = category if rng.random() < 0.5 else rng.choice(list(THINGS_BY_CATEGORY))
        text = f"is {article(thing)} {thing} {article(claimed)} {claimed}?"
        return text, "yes." if is_a(thing, claimed) else "no."
    if kind < 0.9:
        names = enumerate_phrases([plural(t) for t in list(THINGS_BY_CATEGORY[category])[:3]])
        return f"which {plural_category(category)} do you know?", f"i know {names}, for example."
    return "which places do you know?", f"i know the {enumerate_phrases(list(SETTINGS))}."
