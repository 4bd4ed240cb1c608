"""Frozen dataclasses as plain JSON or TOML data: read strictly, and documented by a docstring under each field."""

from __future__ import annotations

import ast
import inspect
import textwrap
import types
from collections.abc import Mapping
from dataclasses import MISSING, Field, asdict, fields
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self, Union, get_args, get_origin, get_type_hints

from fromage_lite.errors import ConfigError


class PlainData:
    """A base for dataclasses whose fields are numbers, texts, truth values, tuples and mappings of them, or dataclasses
    of the same kind.

    Attributes:
        SUBJECT: what the data is, for messages.
    """

    SUBJECT = "this data"
    if TYPE_CHECKING:  # for `fields` and `asdict`; where the program runs, it would pass for a field's type
        __dataclass_fields__: ClassVar[dict[str, Field[Any]]]

    def to_dict(self) -> dict[str, Any]:
        """The fields as JSON data: tuples become lists."""
        return {name: _as_json(value) for name, value in asdict(self).items()}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """The reverse of `to_dict`.

        Raises:
            ConfigError: on an unknown or missing key, or a value that can't work; the key is named.
        """
        return cls._read(data, cls.SUBJECT, "")

    @classmethod
    def _read(cls, data: Mapping[str, Any], subject: str, prefix: str) -> Self:
        known = field_types(cls)
        if unknown := sorted(set(data) - set(known)):
            close = get_close_matches(unknown[0], known, n=1)
            raise ConfigError(
                f"There is no key {', '.join(repr(prefix + key) for key in unknown)} in {subject}.",
                f"Did you mean {prefix + close[0]!r}?" if close else f"The known keys are: {', '.join(sorted(known))}.",
            )
        needed = [item.name for item in fields(cls) if item.default is MISSING and item.default_factory is MISSING]
        if missing := [repr(prefix + name) for name in needed if name not in data]:
            raise ConfigError(f"The key {', '.join(missing)} is missing from {subject}.")
        values: dict[str, Any] = {}
        for name, value in data.items():
            kind = known[name]
            if isinstance(kind, type) and issubclass(kind, PlainData) and isinstance(value, Mapping):
                values[name] = kind._read(value, subject, f"{prefix}{name}.")
            elif not _fits(value, kind):
                raise ConfigError(f"{prefix}{name} must be {_in_words(kind)}, not {value!r}.")
            else:
                values[name] = tuple(value) if isinstance(value, list) else value
        return cls(**values)

    def require(self, name: str, holds: bool, wanted: str) -> None:
        """For `__post_init__`.

        Raises:
            ConfigError: `holds` is false: the field of that name must be what is wanted.
        """
        if not holds:
            raise ConfigError(f"{name} must be {wanted}, not {getattr(self, name)!r}.")


def field_types(kind: type[PlainData]) -> dict[str, Any]:
    """The types of a dataclass's fields, resolved, in their order."""
    hints = get_type_hints(kind)
    return {item.name: hints[item.name] for item in fields(kind)}


def field_docs(kind: type) -> dict[str, str]:
    """The docstrings under a dataclass's fields, each on one line; nothing for a field that has none."""
    (body,) = ast.parse(textwrap.dedent(inspect.getsource(kind))).body
    assert isinstance(body, ast.ClassDef)
    docs = {}
    for item, below in zip(body.body, body.body[1:], strict=False):
        match item, below:
            case ast.AnnAssign(target=ast.Name(id=name)), ast.Expr(value=ast.Constant(value=str(text))):
                docs[name] = " ".join(text.split())
    return docs


def _as_json(value: object) -> object:
    if isinstance(value, (tuple, list)):
        return [_as_json(item) for item in value]
    if isinstance(value, Mapping):
        return {key: _as_json(item) for key, item in value.items()}
    return value


def _fits(value: object, kind: Any) -> bool:
    if kind is Any:
        return True
    origin, inner = get_origin(kind), get_args(kind)
    if origin is Literal:
        return value in inner
    if origin in (types.UnionType, Union):
        return any(_fits(value, one) for one in inner)
    if origin is tuple:
        if not isinstance(value, (tuple, list)):
            return False
        kinds = inner[:1] * len(value) if inner[1:] == (...,) else inner
        return len(value) == len(kinds) and all(map(_fits, value, kinds))
    if origin is not None:  # a mapping by text
        return isinstance(value, Mapping) and all(_fits(item, inner[1]) for item in value.values())
    if isinstance(value, bool):
        return kind is bool
    return isinstance(value, (int, float) if kind is float else kind)


_WORDS = {bool: "true or false", int: "a whole number", float: "a number", str: "a text", types.NoneType: "left out"}


def _in_words(kind: Any) -> str:
    """A field's type for people."""
    origin, inner = get_origin(kind), get_args(kind)
    if origin is Literal:
        return " or ".join(filter(None, [", ".join(inner[:-1]), inner[-1]]))
    if origin in (types.UnionType, Union):
        return ", or ".join(map(_in_words, inner))
    if origin is tuple:
        return f"a list, of which each is {_in_words(inner[0])}"
    return _WORDS.get(kind, "a section of keys and values")
