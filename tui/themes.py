"""The app's own colours; all of Textual's themes work too."""

from __future__ import annotations

import os

from textual.theme import Theme


def _bars(ground: str, bar: str, hover: str) -> dict[str, str]:
    grounds = ("scrollbar-background", "scrollbar-background-hover", "scrollbar-background-active")
    return {
        "scrollbar": bar,
        "scrollbar-hover": hover,
        "scrollbar-active": hover,
        "scrollbar-corner-color": ground,
        **dict.fromkeys(grounds, ground),
    }


DARK = Theme(
    name="fromage-dark",
    primary="#F4B942",
    secondary="#D98A3A",
    accent="#E9714B",
    success="#A3BE6A",
    warning="#F2C46B",
    error="#EF6F5E",
    foreground="#EDE4D3",
    background="#16130F",
    surface="#1E1A14",
    panel="#2A241B",
    dark=True,
    variables={
        "input-selection-background": "#F4B942 30%",
        "border": "#F4B942",
        **_bars("#16130F", "#4A4030", "#8A7452"),
    },
)
LIGHT = Theme(
    name="fromage-light",
    primary="#8F5400",
    secondary="#A5521B",
    accent="#B3381F",
    success="#4B6A1C",
    warning="#855400",
    error="#B3261E",
    foreground="#2B2317",
    background="#FBF6EA",
    surface="#F5EDD9",
    panel="#EADFC5",
    dark=False,
    variables={
        "input-selection-background": "#8F5400 25%",
        "border": "#8F5400",
        **_bars("#FBF6EA", "#BFB08A", "#9C8C62"),
    },
)


def preferred_theme() -> str:
    """Light where the terminal says that its background is light (`COLORFGBG`), else dark."""
    background = os.environ.get("COLORFGBG", "").rpartition(";")[2]
    return LIGHT.name if background in {"7", "15"} else DARK.name
