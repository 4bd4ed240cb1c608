"""What the model doesn't know, and what it says of it."""

from __future__ import annotations

import random
import re

from fromage_lite.photos.world.classes import meaning

UNKNOWN = "sorry, i do not know that. i know a thousand things by sight."

_NOUN_PHRASES = (
    "france", "paris", "einstein", "a dragon", "a unicorn", "music", "the moon landing", "london", "love", "history",
    "my mother", "your father", "a wizard", "germany", "politics", "a mermaid", "the king", "the queen", "tokyo",
    "shakespeare", "a zombie", "mathematics", "america", "football results", "the news", "a ghost", "time", "money",
    "god", "a skyscraper", "a vampire", "a knight", "china", "the president", "a teacher", "my friend", "the internet",
    "a river", "a giraffe", "a tulip", "a rose", "a cherry", "a deer", "a sword", "a dolphin", "a windmill", "rice",
    "quantum physics", "a planet", "the sun", "a jungle", "an island", "a bat", "a rat", "a pigeon", "a sparrow",
    "a penny", "a coin", "a wasp", "a moth", "a mosquito", "a tomato", "an onion", "a carrot", "a grape", "a pear",
    "a sandwich", "a salad", "a steak", "milk", "juice", "honey", "a peach", "a plum", "a mango", "a coconut",
    "a satellite", "a doctor", "a nurse", "a cook", "a farmer", "a policeman", "a princess", "a witch", "an angel",
    "a clown", "a dancer", "a singer", "my brother", "my sister", "my boss", "my neighbour", "your mother",
    "your friend", "a school", "a hospital", "a bank", "a hotel", "a farm", "a garden", "a street", "a cave",
    "a waterfall", "a star", "the moon", "a cloud", "rain", "a rainbow", "lightning", "a storm", "a mirror",
    "a wallpaper", "a kettle", "a fork", "a suitcase", "a ring", "a belt", "a tablet", "a rope", "a puzzle piece",
    "a dice", "chess", "a newspaper", "a letter", "a stamp", "a map", "a flag", "a bomb", "a statue", "a painting",
    "a photo of you", "yourself", "spain", "italy", "rome", "berlin", "moscow", "africa", "india", "the ocean",
    "napoleon", "picasso", "beethoven", "the pope", "superman", "batman", "maths", "philosophy", "biology",
    "the future", "the past", "happiness", "an elf", "a giant", "a monster", "an alien", "a cowboy", "a ninja",
    "a squid", "an octopus", "a raccoon", "a moose", "a turkey", "a swallow", "a woodpecker", "a parakeet", "a cactus",
    "a palm tree", "an oak", "a tree", "grass", "a leaf", "a robot", "a drone", "a skateboard", "a surfboard",
    "a helicopter", "a ferry", "a lamp post", "a fountain", "a pyramid", "a stadium", "a swimming pool", "a playground",
    "a bedroom", "a bathroom", "an airport", "a sunset", "a crowd", "a baby", "a wedding", "a birthday", "a party",
    "christmas", "easter", "a heart", "blood", "a brain", "a bone", "gold", "silver", "a diamond", "glass beads",
    "plastic", "a stone", "sand", "fire", "smoke", "ice", "steam", "electricity", "a virus", "a molecule", "an atom",
    "a galaxy", "mars", "jupiter", "tennis results", "the stock market", "a contract", "the weather", "my car keys",
    "a passport", "a ticket",
)  # fmt: skip
_SYLLABLES = ("ba", "ko", "ri", "ta", "ne", "lu", "mi", "zor", "fen", "gla", "pro", "tis", "ver", "dun", "qua", "shi",
              "mar", "lo", "ke", "wun", "bri", "sta", "nop", "cru", "vel", "hi", "jo", "yan", "ox", "um")  # fmt: skip

STRANGERS = tuple(words for words in _NOUN_PHRASES if not meaning(words))
"""Noun phrases without a meaning among the classes."""


def stranger(rng: random.Random) -> str:
    """A noun phrase that the model doesn't know."""
    if rng.random() < 0.5:
        return rng.choice(STRANGERS)
    word = "".join(rng.choice(_SYLLABLES) for _ in range(rng.randint(2, 3)))
    return rng.choice((word, f"a {word}"))


def is_made_up(word: str) -> bool:
    """Whether a word may be one that `stranger` makes up out of syllables."""
    return re.fullmatch(f"(?:{'|'.join(_SYLLABLES)}){{2,3}}", word) is not None
