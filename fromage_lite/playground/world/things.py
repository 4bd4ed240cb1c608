"""The vocabulary of the playground: what can be in a picture, where, and in which words.

Plain data. Names are single lower-case words, so that each is one token of the language model.
"""

from __future__ import annotations

# fmt: off
THINGS_BY_CATEGORY: dict[str, dict[str, str]] = {
    "animal": {
        "cat": "🐱", "dog": "🐶", "lion": "🦁", "bear": "🐻", "panda": "🐼", "frog": "🐸", "pig": "🐷", "cow": "🐮",
        "rabbit": "🐰", "elephant": "🐘", "horse": "🐎", "camel": "🐫", "whale": "🐳", "octopus": "🐙",
        "turtle": "🐢", "snake": "🐍", "crab": "🦀", "snail": "🐌", "giraffe": "🦒",
    },
    "bird": {"chicken": "🐔", "penguin": "🐧", "owl": "🦉", "parrot": "🦜", "flamingo": "🦩", "swan": "🦢"},
    "bug": {"bee": "🐝", "butterfly": "🦋", "ladybug": "🐞", "spider": "🕷"},
    "fruit": {
        "apple": "🍎", "banana": "🍌", "orange": "🍊", "lemon": "🍋", "pear": "🍐", "grape": "🍇", "cherry": "🍒",
        "strawberry": "🍓", "pineapple": "🍍", "melon": "🍉",
    },
    "food": {
        "bread": "🍞", "cheese": "🧀", "pizza": "🍕", "burger": "🍔", "egg": "🍳", "cake": "🎂", "cookie": "🍪",
        "donut": "🍩", "carrot": "🥕", "corn": "🌽",
    },
    "vehicle": {
        "car": "🚗", "bus": "🚌", "truck": "🚚", "train": "🚆", "plane": "✈", "boat": "⛵", "rocket": "🚀",
        "bicycle": "🚲", "tractor": "🚜", "helicopter": "🚁",
    },
    "plant": {"tree": "🌳", "palm": "🌴", "cactus": "🌵", "rose": "🌹", "sunflower": "🌻", "tulip": "🌷", "mushroom": "🍄"},
    "building": {"house": "🏠", "castle": "🏰", "tent": "⛺", "tower": "🗼"},
    "tool": {
        "hammer": "🔨", "key": "🔑", "saw": "🪚", "axe": "🪓", "ladder": "🪜", "magnet": "🧲", "broom": "🧹",
    },
    "instrument": {"guitar": "🎸", "trumpet": "🎺", "drum": "🥁", "piano": "🎹", "bell": "🔔"},
    "toy": {"ball": "⚽", "kite": "🪁", "balloon": "🎈", "robot": "🤖"},
    "clothing": {"shirt": "👕", "dress": "👗", "shoe": "👟", "crown": "👑", "sock": "🧦", "hat": "🎩"},
    "object": {
        "chair": "🪑", "clock": "⏰", "lamp": "💡", "book": "📕", "phone": "📱", "camera": "📷", "umbrella": "☂", "cup": "☕",
    },
}
# fmt: on

CATEGORY_OF: dict[str, str] = {thing: category for category, things in THINGS_BY_CATEGORY.items() for thing in things}
_WIDER_CATEGORY = {"bird": "animal", "bug": "animal", "fruit": "food"}
THINGS: tuple[str, ...] = tuple(CATEGORY_OF)
EMOJI: dict[str, str] = {thing: emoji for things in THINGS_BY_CATEGORY.values() for thing, emoji in things.items()}

TINTABLE: frozenset[str] = frozenset(
    {"car", "bus", "balloon", "shirt", "dress", "umbrella", "book", "tulip", "chair", "bell"}
)
COLOURS: dict[str, tuple[int, int, int]] = {
    "red": (226, 40, 40),
    "blue": (40, 96, 232),
    "green": (36, 168, 64),
    "yellow": (246, 204, 24),
    "purple": (150, 60, 200),
}

SETTINGS: dict[str, tuple[str, ...]] = {
    "beach": ("on the beach", "by the sea"),
    "snow": ("in the snow",),
    "forest": ("in the forest", "in the woods"),
    "night": ("at night",),
    "city": ("in the city", "in town"),
    "desert": ("in the desert",),
    "kitchen": ("in the kitchen",),
    "field": ("in the field", "on the grass"),
}

TYPED_PLACES: dict[str, tuple[str, ...]] = {
    "beach": ("on a beach", "at the beach", "on beach", "beach", "at the sea", "at sea", "on the sand"),
    "snow": ("in snow", "snow", "on snow", "in winter", "on the snow"),
    "forest": ("in a forest", "in forest", "forest", "in the wood", "woods", "in a wood"),
    "night": ("by night", "in the night", "night", "in the dark", "during the night"),
    "city": ("in a city", "in city", "city", "in a town", "in the town", "town"),
    "desert": ("in a desert", "in desert", "desert"),
    "kitchen": ("in a kitchen", "in kitchen", "kitchen", "inside the kitchen"),
    "field": ("in a field", "on a field", "field", "on grass", "in the grass", "on the field", "grass"),
}
"""Further wordings of places as people type them; the models themselves say those of `SETTINGS`."""

SIZES: tuple[str, ...] = ("small", "big")
NUMBERS: tuple[str, ...] = ("zero", "one", "two", "three", "four")
MAX_GROUPS = 4
MAX_INSTANCES = 4

SYNONYMS: dict[str, str] = {
    "cat": "kitty", "dog": "puppy", "rabbit": "bunny", "pig": "piggy", "bicycle": "bike", "plane": "airplane",
    "boat": "sailboat", "phone": "smartphone", "house": "home", "burger": "hamburger", "ball": "football",
    "cup": "mug", "hat": "cap", "car": "automobile", "lamp": "bulb", "melon": "watermelon", "horse": "pony",
}  # fmt: skip

_IRREGULAR_PLURALS: dict[str, str] = {
    "cherry": "cherries", "strawberry": "strawberries", "butterfly": "butterflies", "bus": "buses",
    "cactus": "cactuses", "octopus": "octopuses", "dress": "dresses", "kitty": "kitties", "bunny": "bunnies",
    "puppy": "puppies", "piggy": "piggies", "pony": "ponies",
}  # fmt: skip


def plural(noun: str) -> str:
    """The plural of a thing or a synonym of one."""
    return _IRREGULAR_PLURALS.get(noun, noun + "s")


VOCABULARY: frozenset[str] = frozenset(
    (*THINGS, *map(plural, THINGS), *SYNONYMS.values(), *map(plural, SYNONYMS.values()), *COLOURS, *SETTINGS, *SIZES)
)
"""The words that mean something here, so that no misspelt word is one of them by chance."""


def plural_category(category: str) -> str:
    """The plural of a category's name."""
    return category if category in ("clothing", "food", "fruit") else category + "s"


def article(word: str) -> str:
    """`a` or `an`, by the first letter of the word that follows."""
    return "an" if word[0] in "aeiou" else "a"


def wider_category(category: str) -> str | None:
    """The category that another is part of: birds are animals."""
    return _WIDER_CATEGORY.get(category)


def is_a(thing: str, category: str) -> bool:
    """Whether a thing belongs to a category, or to one that is part of it: a bee is a bug and an animal."""
    own = CATEGORY_OF[thing]
    return category in (own, _WIDER_CATEGORY.get(own))
