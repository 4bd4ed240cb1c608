"""Everything that is said without a scene: the shared forms of talk with the playground's words."""

from __future__ import annotations

import random

from fromage_lite.playground.text.grammar import enumerate_phrases
from fromage_lite.playground.text.questions import ask
from fromage_lite.playground.world.scene import sample_scene
from fromage_lite.playground.world.things import (
    CATEGORY_OF,
    COLOURS,
    SETTINGS,
    THINGS,
    THINGS_BY_CATEGORY,
    article,
    plural,
    plural_category,
    wider_category,
)
from fromage_lite.text.forms import remarks, talk
from fromage_lite.text.forms.talk import Exchange

UNKNOWN = "sorry, i do not know that. i only know my small picture world."

_STRANGERS = (
    "france", "paris", "einstein", "a dragon", "a unicorn", "music", "the moon landing", "london", "a volcano", "love",
    "history", "a computer", "my mother", "your father", "a wizard", "germany", "politics", "a mermaid", "a submarine",
    "the king", "the queen", "tokyo", "shakespeare", "a zombie", "mathematics", "a dinosaur", "america", "a pirate",
    "football results", "the news", "a ghost", "time", "money", "god", "a skyscraper", "a vampire", "a knight", "china",
    "the president", "a teacher", "my friend", "the internet", "a river", "a bridge", "a mountain", "a wolf", "a fox",
    "a deer", "a sword", "a table", "a spoon", "a skateboard", "a violin", "a dolphin", "a windmill", "wine", "rice",
    "a person", "a woman", "a man", "a child", "a baby", "quantum physics", "a planet", "the sun", "a jungle",
    "an island", "a hamster", "a monkey", "a goat", "a sheep", "a duck", "a goose", "an eagle", "a bat", "a rat",
    "a squirrel", "a zebra", "a gorilla", "a kangaroo", "a koala", "a crocodile", "a lizard", "a seal", "a jellyfish",
    "a wasp", "an ant", "a fly", "a worm", "a scorpion", "a potato", "a tomato", "an onion", "soup", "a sandwich",
    "chocolate", "ice cream", "a salad", "a steak", "milk", "coffee", "tea", "juice", "beer", "honey", "a peach",
    "a plum", "a mango", "a coconut", "a motorcycle", "a scooter", "a taxi", "an ambulance", "a ship", "a van",
    "a tank", "a spaceship", "a satellite", "a doctor", "a nurse", "a cook", "a farmer", "a soldier", "a policeman",
    "a king", "a princess", "a witch", "an angel", "a clown", "a dancer", "a singer", "my brother", "my sister",
    "my boss", "my neighbour", "your mother", "your friend", "a school", "a church", "a hospital", "a bank", "a hotel",
    "a farm", "a garden", "a street", "a beehive", "a cave", "a waterfall", "a star", "the moon", "a cloud", "rain",
    "a rainbow", "lightning", "a storm", "a bed", "a couch", "a desk", "a shelf", "a mirror", "a curtain", "a carpet",
    "a fridge", "an oven", "a kettle", "a pan", "a knife", "a fork", "a plate", "a bottle", "a glass", "a basket",
    "a box", "a bag", "a backpack", "a suitcase", "a wallet", "a ring", "a necklace", "a watch", "glasses", "a glove",
    "a scarf", "a coat", "a jacket", "a belt", "a skirt", "trousers", "a boot", "a television", "a radio", "a printer",
    "a keyboard", "a tablet", "a screwdriver", "a drill", "a rope", "a nail", "a shovel", "a flute", "a harp",
    "a saxophone", "a doll", "a puzzle", "a dice", "a card game", "chess", "a newspaper", "a letter", "a stamp",
    "a map", "a flag", "a candle", "a match", "a bomb", "a gun", "a shield", "a treasure", "a statue", "a painting",
    "a photo of you", "yourself", "spain", "italy", "rome", "berlin", "moscow", "africa", "india", "the ocean",
    "napoleon", "picasso", "beethoven", "the pope", "superman", "batman", "winter sports",
    "maths", "philosophy", "biology", "the future", "the past", "happiness",
    "an elf", "a giant", "a monster", "an alien", "a cowboy", "a ninja", "a tiger", "a mouse", "a window", "a shark",
    "a fish", "a door", "a pencil", "a lake", "water",
)  # fmt: skip


class Playground:
    """The playground's words for the shared forms (`fromage_lite.text.forms.world.World`)."""

    nouns = THINGS
    kinds = {name: tuple(things) for name, things in THINGS_BY_CATEGORY.items()}
    strangers = _STRANGERS
    unknown = UNKNOWN

    def kinds_of(self, noun: str) -> tuple[str, ...]:
        own = CATEGORY_OF[noun]
        return (own, wider) if (wider := wider_category(own)) else (own,)

    def article(self, word: str) -> str:
        return article(word)

    def plural(self, noun: str) -> str:
        return plural(noun)

    def plural_kind(self, kind: str) -> str:
        return plural_category(kind)


WORLD = Playground()


def small_talk(rng: random.Random) -> Exchange:
    return talk.small_talk(rng)


def unknown(rng: random.Random) -> Exchange:
    """A question that the world has no answer to."""
    return talk.unknown(WORLD, rng)


def fact(rng: random.Random) -> Exchange:
    """A question about the world's things in general."""
    if rng.random() < 0.06:
        form = rng.choice(("which places do you know?", "what places do you know?", "which places are there?"))
        return form, f"i know the {enumerate_phrases(list(SETTINGS))}."
    if rng.random() < 0.04:
        form = rng.choice(("which colours do you know?", "what colours do you know?", "which colours are there?"))
        return form, f"i know {enumerate_phrases(list(COLOURS))}."
    return talk.fact(WORLD, rng)


def no_picture_yet(rng: random.Random) -> Exchange:
    """A question about a picture where none was shown."""
    kind = rng.random()
    if kind < 0.4:
        return rng.choice(remarks.ABOUT_NO_PICTURE), remarks.SHOW_FIRST
    if kind < 0.55:
        question = None
        while question is None:
            question = ask(
                sample_scene(rng),
                rng,
                rng.choice(("what", "where", "how_many", "colour", "size", "is_there", "yes_no")),
            )
        return question.text, remarks.SHOW_FIRST
    if kind < 0.65:
        return rng.choice(remarks.COUNTING), remarks.count_answer(0)
    if kind < 0.72:
        return rng.choice(remarks.IN_ORDER).format(n=rng.choice(remarks.ORDINALS)), remarks.SHOW_FIRST
    places = tuple(wording for wordings in SETTINGS.values() for wording in wordings)
    return talk.ask_first(rng, places, tuple(COLOURS))
