"""Articles and plurals of the names of classes and kinds."""

from __future__ import annotations

# fmt: off
# Stuff, plurals and whole phrases.
_WITHOUT_ARTICLE: frozenset[str] = frozenset({
    "alcohol", "alps", "armor", "armour", "arms", "bathing trunks", "bedding", "beer", "beverage", "binoculars",
    "blinds", "blue jeans", "bread", "broccoli", "broth", "cabbage", "camera equipment", "camera gear", "carbonara",
    "cattle", "cauliflower", "chain mail", "chocolate", "chocolate sauce", "clothes", "clothing", "coffee",
    "consomme", "cookware", "corn", "cosmetics", "dark glasses", "denim", "dough", "drinkware", "eggnog",
    "electronics", "equipment", "espresso", "eyeglasses", "fabric", "face powder", "field glasses", "food",
    "footwear", "french bread", "fruit", "fur", "furniture", "glasses", "guacamole", "gym equipment", "hair spray",
    "hairspray", "hardware", "hay", "ice cream", "jeans", "jewellery", "jewelry", "kitchenware", "maize", "makeup",
    "mashed potato", "mashed potatoes", "meat loaf", "meatloaf", "medical equipment", "nature", "office supplies",
    "opera glasses", "pajamas", "pan pipes", "pants", "paprika", "parallel bars", "pasta", "people", "pills",
    "pyjamas", "rapeseed", "red wine", "salmon", "scales", "scenery", "shades", "skis", "soap", "somebody",
    "someone", "something to drink", "something to eat", "something to ride", "something to wear", "soup",
    "spaghetti", "spectacles", "sports equipment", "sports gear", "stationery", "sunglasses", "sunscreen",
    "sweetcorn", "swim trunks", "swimming trunks", "swimwear", "swine", "tea", "text", "toilet paper", "tools",
    "traffic lights", "trousers", "underwear", "velvet", "wine", "wool", "yarn",
})
_AN = ("hour", "mp3", "rv")
_A = ("euro", "one", "uni", "used")
_PLURALS: dict[str, str] = {
    "aircraft": "aircraft", "anemone fish": "anemone fish", "angelfish": "angelfish", "bison": "bison",
    "blowfish": "blowfish", "bookshelf": "bookshelves", "buffalo": "buffaloes", "clownfish": "clownfish",
    "coho salmon": "coho salmon", "crawfish": "crawfish", "crayfish": "crayfish", "dragonfly": "dragonflies",
    "fish": "fish", "fungus": "fungi", "garfish": "garfish", "goldfish": "goldfish", "goose": "geese",
    "grouse": "grouse", "hen-of-the-woods": "hen-of-the-woods", "human": "humans", "jellyfish": "jellyfish",
    "knife": "knives", "lionfish": "lionfish", "loaf": "loaves", "man": "men", "mouse": "mice", "ox": "oxen",
    "person": "people", "potato": "potatoes", "pufferfish": "pufferfish", "salmon": "salmon", "scarf": "scarves",
    "sheep": "sheep", "spacecraft": "spacecraft", "starfish": "starfish", "swine": "swine", "volcano": "volcanoes",
    "wolf": "wolves", "woman": "women", "woodlouse": "woodlice",
}
# fmt: on


def has_article(noun: str) -> bool:
    """Whether one says "a" or "an" with it: not with stuff (espresso) and not with plurals (jeans)."""
    return noun not in _WITHOUT_ARTICLE


def article(noun: str) -> str:
    """`a`, `an`, or nothing: a tabby, an egyptian cat, espresso, an hourglass, a unicycle."""
    if not has_article(noun):
        return ""
    if noun.startswith(_AN):
        return "an"
    return "an" if noun[0] in "aeiou" and not noun.startswith(_A) else "a"


def with_article(noun: str) -> str:
    """The noun as an answer says it: `a tabby`, `espresso`."""
    return f"{article(noun)} {noun}".lstrip()


def plural(noun: str) -> str:
    """Its plural: tabbies, chests of drawers, wolves, mountain goats; stuff and plurals stay as they are."""
    if noun in _WITHOUT_ARTICLE:
        return noun
    if noun in _PLURALS:
        return _PLURALS[noun]
    head, of, rest = noun.partition(" of ")
    if of:
        return f"{plural(head)} of {rest}"
    before, space, last = noun.rpartition(" ")
    if space:
        return f"{before} {plural(last) if last not in _WITHOUT_ARTICLE else last}"
    if noun.endswith(("s", "x", "z", "ch", "sh")):
        return f"{noun}es"
    if noun.endswith("y") and noun[-2:-1] not in "aeiou":
        return f"{noun[:-1]}ies"
    return f"{noun}s"
