"""Key bindings: where they are declared, and what the config file may say about them."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator, Mapping

from textual.app import App
from textual.binding import Binding
from textual.dom import DOMNode
from textual.keys import Keys

_NAMES = {
    "up": "↑",
    "down": "↓",
    "left": "←",
    "right": "→",
    "pageup": "PgUp",
    "pagedown": "PgDn",
    "escape": "Esc",
    "full_stop": ".",
    "tilde": "~",
    "underscore": "_",
}


def own_bindings(owner: type) -> Iterator[Binding]:
    """The bindings that a class declares itself, not those of the widgets it is made from."""
    for binding in owner.__dict__.get("BINDINGS", ()):
        if isinstance(binding, Binding):
            yield binding


def owners() -> list[type[DOMNode]]:
    """Every class of the app that declares bindings, of those that are loaded: with the app, all of them are."""
    found: list[type[DOMNode]] = []
    waiting: list[type[DOMNode]] = [DOMNode]
    while waiting:
        owner = waiting.pop()
        waiting += [child for child in owner.__subclasses__() if child not in waiting and child not in found]
        if owner.__module__.startswith("tui.") and any(own_bindings(owner)) and owner not in found:
            found.append(owner)
    return sorted(found, key=lambda owner: (owner.__module__, owner.__qualname__))


def check_keys(keys: Mapping[str, str]) -> tuple[dict[str, str], list[str]]:
    """The keys by binding id that can be used, and a sentence for each that can't."""
    if not keys:
        return {}, []
    known = {binding.id: owner for owner in owners() for binding in own_bindings(owner) if binding.id}
    good: dict[str, str] = {}
    problems = []
    for name, value in keys.items():
        if name not in known:
            problems.append(f"there is no action '{name}'; the actions are {', '.join(sorted(known))}.")
        elif wrong := next((key for key in value.split(",") if not _is_key(key)), None):
            problems.append(f"'{name}': there is no key '{wrong}'.")
        elif other := next((o for o in good if good[o] == value and known[o] is known[name]), None):
            problems.append(f"gives {value} to both '{other}' and '{name}'; the first has it.")
        else:
            good[name] = value
    return good, problems


def clashes(keys: Mapping[str, str]) -> list[str]:
    """A sentence for each key that, as these keys change it, two actions have that are to be had at the same time.

    Args:
        keys: keys by binding id, as `check_keys` passes them.
    """
    found: dict[str, None] = {}
    for group in _active_together():
        taken: dict[str, set[str]] = {}
        for binding in group:
            for key in keys.get(binding.id or "", binding.key).split(","):
                name = binding.id or f"{binding.description.lower()} (not to be changed)"
                taken.setdefault(_normal(key.strip()), set()).add(name)
        for key, names in taken.items():
            if len(names) > 1 and names & set(keys):
                both = " and ".join(f"'{name}'" for name in sorted(names))
                found[f"{key} is the key of {both}; give one of them another."] = None
    return list(found)


def _active_together() -> Iterator[list[Binding]]:
    """The bindings of what can be on the screen together, one list for each."""
    all_owners = owners()
    apps = [binding for owner in all_owners if issubclass(owner, App) for binding in own_bindings(owner)]
    chat = next((owner for owner in all_owners if owner.__name__ == "ChatScreen"), DOMNode)
    for owner in all_owners:
        if issubclass(owner, App) or owner is chat:
            continue
        own = list(own_bindings(owner))
        if owner.__module__.startswith("tui.widgets."):  # what can have the focus in the chat
            own += [binding for base in owner.__mro__[1:] for binding in own_bindings(base) if not binding.id]
            taken = {key for binding in own_bindings(owner) for key in binding.key.split(",")}
            own = [binding for binding in own if binding.id or not taken & set(binding.key.split(","))]
            yield [*own, *own_bindings(chat), *apps]
        else:
            beside = (o for o in all_owners if o.__module__ == owner.__module__ and o is not owner)
            inside = [binding for other in beside for binding in own_bindings(other)]
            yield [*own, *inside, *(binding for binding in apps if binding.priority)]


def _normal(key: str) -> str:
    """The one name of a key that has several: `?` is `question_mark`."""
    *modifiers, base = key.split("+")
    if len(base) == 1 and not base.isalnum():
        base = unicodedata.name(base, base).lower().replace(" ", "_").replace("-", "_")
    return "+".join([*sorted(modifiers), base])


def _is_key(key: str) -> bool:
    """Whether Textual has a key of that name: a character, a character's Unicode name, or one like `f5`."""
    *modifiers, base = key.strip().split("+")
    if not set(modifiers) <= {"ctrl", "shift", "alt", "super", "hyper", "meta"}:
        return False
    if len(base) == 1 or base in {known.value.rpartition("+")[2] for known in Keys}:
        return True
    try:
        return bool(unicodedata.lookup(base.replace("_", " ")))
    except KeyError:
        return False


def key_names(keys: str) -> str:
    """How a binding's keys are written for people; the first two will do."""
    return " or ".join(
        "+".join(_NAMES.get(part, part.capitalize()) for part in key.strip().split("+")) for key in keys.split(",")[:2]
    )
