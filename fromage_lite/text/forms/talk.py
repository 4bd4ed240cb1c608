"""Exchanges about a world at large: facts, small talk, what it does not hold, and what needs a picture first."""

from __future__ import annotations

import random

from fromage_lite.text.forms import remarks
from fromage_lite.text.forms.requests import AGAIN, COLOUR_CHANGES, PLACE_CHANGES, SIMILAR, SIZE_CHANGES
from fromage_lite.text.forms.world import World

Exchange = tuple[str, str]
"""A question and its answer."""

_LETTERS = "abcdefghijklmnopqrstuvwxyz"
_FACT_FORMS = ("what is {a}?", "tell me what {a} is.", "what kind of thing is {a}?", "explain {a}.")
_LIST_FORMS = (
    "which {k} do you know?", "what {k} do you know?", "tell me some {k}.", "name some {k}.", "do you know any {k}?",
    "which {k} can you show me?", "which {k} are there?",
)  # fmt: skip
_KIND_FORMS = (
    "what do you know?", "what can you show me?", "which things do you know?", "what pictures do you have?",
    "what can i ask for?", "what kinds of pictures do you have?", "what is in your world?",
    "which pictures are there?", "what can i see here?",
)  # fmt: skip


def small_talk(rng: random.Random) -> Exchange:
    """A remark and what is said to it."""
    answer = rng.choice(list(remarks.REMARKS))
    return rng.choice(remarks.REMARKS[answer]), answer


def unknown(world: World, rng: random.Random) -> Exchange:
    """A question that the world has no answer to."""
    if rng.random() < 0.3:
        return rng.choice(remarks.UNKNOWN_ALONE), world.unknown
    if rng.random() < 0.4:
        x = "".join(rng.choice(_LETTERS) for _ in range(rng.randint(4, 9)))
        x = rng.choice((x, f"a {x}"))
    else:
        x = rng.choice(world.strangers)
    return rng.choice(remarks.UNKNOWN_FORMS).format(x=x), world.unknown


def fact(world: World, rng: random.Random) -> Exchange:
    """A question about the world's things in general."""
    noun, kind = rng.choice(list(world.nouns)), rng.random()
    own = rng.choice(world.kinds_of(noun))
    a = f"{world.article(noun)} {noun}"
    if kind < 0.3:
        return rng.choice(_FACT_FORMS).format(a=a), f"{a} is {world.article(own)} {own}."
    if kind < 0.75:
        claimed = own if rng.random() < 0.5 else rng.choice(list(world.kinds))
        text = f"is {a} {world.article(claimed)} {claimed}?"
        return text, "yes." if claimed in world.kinds_of(noun) else "no."
    if kind < 0.92:
        names = [world.plural(member) for member in list(world.kinds[own])[:3]]
        form = rng.choice(_LIST_FORMS)
        return form.format(k=world.plural_kind(own)), f"i know {_enumerated(names)}, for example."
    kinds = [world.plural_kind(name) for name in list(world.kinds)[:5]]
    return rng.choice(_KIND_FORMS), f"i know {_enumerated(kinds)}, for example."


def ask_first(rng: random.Random, places: tuple[str, ...], colours: tuple[str, ...]) -> Exchange:
    """A follow-up where nothing came before it.

    Args:
        rng: the source of all randomness.
        places: the world's phrases for places ("at night"); none if it has no places.
        colours: its colours; none if it has none.
    """
    forms: list[tuple[str, ...]] = [AGAIN, SIMILAR, SIZE_CHANGES["big"], SIZE_CHANGES["small"]]
    if places:
        forms.append(tuple(form for form in PLACE_CHANGES if "same" in form or " it " in form or " that " in form))
    if colours:
        forms.append(tuple(form for form in COLOUR_CHANGES if "same" in form or " it " in form or "one" in form))
    form = rng.choice(rng.choice(forms))
    place, colour = rng.choice(places or ("",)), rng.choice(colours or ("",))
    return form.format(w=place, c=colour), remarks.ASK_FIRST


def _enumerated(names: list[str]) -> str:
    return names[0] if len(names) == 1 else ", ".join(names[:-1]) + " and " + names[-1]
