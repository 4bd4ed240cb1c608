"""The packages of the extra `evaluate`: asked for before the work begins, not after it."""

from __future__ import annotations

from importlib.util import find_spec

from fromage_lite.errors import ConfigError

SCORES, PLOTS = ("nltk", "sacrebleu"), ("matplotlib",)


def need(packages: tuple[str, ...]) -> None:
    """
    Raises:
        ConfigError: one of the packages is not installed.
    """
    missing = [name for name in packages if find_spec(name) is None]
    if missing:
        raise ConfigError(
            f"This evaluation needs {' and '.join(missing)}.",
            "Install what it needs: pip install -c constraints.txt -e '.[evaluate]'.",
        )
