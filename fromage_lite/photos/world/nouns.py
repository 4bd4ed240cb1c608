"""Articles and plurals of the names of classes and kinds."""

from __future__ import annotations

# fmt: off
_WITHOUT_ARTICLE: frozenset[str] = frozenset({
    # Stuff
    "alcohol", "beer", "bedding", "beverage", "bread", "broccoli", "broth", "cabbage", "camera gear", "cattle",
    "cauliflower", "chain mail", "chocolate", "chocolate sauce", "clothing", "coffee", "consomme", "corn", "cosmetics", "denim",
    "dough", "drinkware", "eggnog", "electronics", "equipment", "espresso", "fabric", "face powder", "food", "french bread",
    "fruit", "fur", "furniture", "guacamole", "hairspray", "hair spray", "hardware", "hay", "jewelry", "jewellery",
    "ice cream", "kitchenware", "maize", "makeup", "mashed potato", "meat loaf", "meatloaf", "cookware", "nature", "pasta",
    "paprika", "rapeseed", "red wine", "salmon", "scenery", "soap", "soup", "spaghetti", "sports gear", "stationery",
    "street furniture", "sunscreen", "sweetcorn", "swimwear", "footwear", "tea", "toilet paper", "underwear", "velvet",
    "wine", "wool", "yarn", "armor", "armour", "carbonara", "sports equipment", "gym equipment", "camera equipment",
    "medical equipment", "swine", "printed text", "text", "water",
    # Plurals
    "arms", "binoculars", "blinds", "clothes", "dark glasses", "field glasses", "glasses", "jeans", "blue jeans",
    "eyeglasses", "mashed potatoes", "office supplies", "opera glasses", "pajamas", "pants", "parallel bars", "people",
    "pyjamas", "scales", "shades", "skis", "spectacles", "sunglasses", "swim trunks", "swimming trunks", "tools",
    "traffic lights", "trousers", "pills", "alps", "bathing trunks", "pan pipes",
    # Phrases
    "something to drink", "something to eat", "something to ride", "something to wear", "someone", "somebody",
})
_AN = ("heirloom", "honest", "hour", "mp3", "rv")
_A = ("euro", "one", "uni", "used", "ute")
_PLURALS: dict[str, str] = {
    "aircraft": "aircraft", "anemone fish": "anemone fish", "bison": "bison", "buffalo": "buffaloes", "calf": "calves",
    "clownfish": "clownfish", "coho salmon": "coho salmon", "fish": "fish", "foot": "feet",
    "goldfish": "goldfish", "goose": "geese", "grouse": "grouse", "half": "halves", "human": "humans", "knife": "knives",
    "loaf": "loaves", "lionfish": "lionfish", "man": "men", "mouse": "mice", "ox": "oxen", "person": "people",
    "potato": "potatoes", "pufferfish": "pufferfish", "salmon": "salmon", "scarf": "scarves", "sheep": "sheep",
    "shelf": "shelves", "spacecraft": "spacecraft", "starfish": "starfish", "swine": "swine", "torpedo": "torpedoes",
    "trout": "trout", "volcano": "volcanoes", "wharf": "wharves", "wife": "wives", "wolf": "wolves", "woman": "women",
    "jellyfish": "jellyfish", "crayfish": "crayfish", "angelfish": "angelfish", "bookshelf": "bookshelves",
    "crawfish": "crawfish", "blowfish": "blowfish", "garfish": "garfish", "dragonfly": "dragonflies",
    "fungus": "fungi", "hen-of-the-woods": "hen-of-the-woods", "louse": "lice", "woodlouse": "woodlice", "quiz": "quizzes", "mango": "mangoes", "hovercraft": "hovercraft",
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
