"""What `fromage-lite config` prints: the values in force, in the form of a config file."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

from tui.app import ChatApp
from tui.pictures.image_mode import ImageMode
from tui.settings.keys import own_bindings, owners
from tui.settings.preferences import Preferences


def effective(path: Path) -> tuple[list[str], list[str]]:
    """(lines, problems): the file's path and every value in force, in the file's own form; the faults of the file."""
    preferences = Preferences.read(path)
    app = ChatApp(lambda progress: None, ImageMode.NONE, preferences=preferences)  # type: ignore[arg-type, return-value]
    there = "" if path.exists() else " (does not exist yet)"
    lines = [f"# {path}{there}", f"theme = {json.dumps(app.theme)}"]
    lines += [f"images = {json.dumps(preferences.images or 'auto')}"]
    lines += [f"follow_pictures = {json.dumps(preferences.follow_pictures)}", "", "[settings]"]
    for name, value in dataclasses.asdict(preferences.settings).items():
        lines.append(f"# {name} is not set" if value is None else f"{name} = {json.dumps(value)}")
    lines += ["", "[keys]"]
    listed: set[str] = set()
    for owner in owners():
        for binding in own_bindings(owner):
            if binding.id and binding.id not in listed:  # several screens may share one
                listed.add(binding.id)
                key = preferences.keys.get(binding.id, binding.key)
                lines.append(f"{json.dumps(binding.id)} = {json.dumps(key)}  # {binding.description}")
    return lines, app.problems
