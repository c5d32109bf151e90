"""Values as the text of a Python configuration file (mmcv style: `name = value`, dictionaries as `dict(...)`)."""

from __future__ import annotations

import keyword
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

WIDTH = 100


@dataclass(frozen=True)
class Noted:
    """A value with a comment that stands above it."""

    value: Any
    note: str


@dataclass(frozen=True)
class Name:
    """A reference to another assignment of the same file."""

    name: str

    def __repr__(self) -> str:
        return self.name


def plain(value: Any) -> Any:
    """Return a value without its comments, recursively."""
    if isinstance(value, Noted):
        return plain(value.value)
    if isinstance(value, Mapping):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(plain(item) for item in value)
    return value


def render(assignments: Mapping[str, Any], header: Iterable[str] = ()) -> str:
    """Return the text of a configuration file: comment lines, then one assignment per name.

    Values are None, booleans, numbers, strings, lists, tuples and mappings of those, each with an optional note.
    """
    lines = [f"# {line}".rstrip() for line in header]
    for name, value in assignments.items():
        lines += [*_note(value, ""), f"{name} = {_value(value, '', len(name) + 3)}"]
    return "\n".join(lines) + "\n"


def _note(value: Any, indent: str) -> list[str]:
    return [f"{indent}# {line}" for line in value.note.splitlines()] if isinstance(value, Noted) else []


def _value(value: Any, indent: str, used: int) -> str:
    """Return the text of a value; on one line where it fits into the rest of the current one."""
    while isinstance(value, Noted):
        value = value.value
    repeated = _repeated(value)
    if repeated is not None:
        return repeated
    one_line = _one_line(value)
    if one_line is not None and used + len(indent) + len(one_line) < WIDTH:
        return one_line
    if isinstance(value, Mapping):
        return _block(value, indent)
    if isinstance(value, list | tuple):
        return _sequence(value, indent)
    return repr(value)


def _repeated(value: Any) -> str | None:
    """Write a long list of one repeated plain value as a product, as the published configs do."""
    if not isinstance(value, list) or len(value) < 5 or not isinstance(value[0], bool | int | float | str):
        return None
    same = all(type(item) is type(value[0]) and item == value[0] for item in value)
    return f"[{value[0]!r}] * {len(value)}" if same else None


def _one_line(value: Any) -> str | None:
    """Return the text of a value on one line, or None where a comment inside forbids that."""
    if isinstance(value, Noted):
        return None
    if isinstance(value, Mapping):
        parts = [(key, _repeated(item) or _one_line(item)) for key, item in value.items()]
        if any(text is None for _, text in parts):
            return None
        if _identifiers(value):
            return f"dict({', '.join(f'{key}={text}' for key, text in parts)})"
        return "{" + ", ".join(f"{key!r}: {text}" for key, text in parts) + "}"
    if isinstance(value, list | tuple):
        items = [_repeated(item) or _one_line(item) for item in value]
        if any(item is None for item in items):
            return None
        inside = ", ".join(item for item in items if item is not None)
        if isinstance(value, list):
            return f"[{inside}]"
        return f"({inside},)" if len(value) == 1 else f"({inside})"
    return repr(value)


def _identifiers(value: Mapping[Any, Any]) -> bool:
    return all(isinstance(key, str) and key.isidentifier() and not keyword.iskeyword(key) for key in value)


def _block(value: Mapping[Any, Any], indent: str) -> str:
    deeper = indent + "    "
    named = _identifiers(value)
    lines = []
    for key, item in value.items():
        label = f"{key}=" if named else f"{key!r}: "
        lines += [*_note(item, deeper), f"{deeper}{label}{_value(item, deeper, len(label))},"]
    start, end = ("dict(", ")") if named else ("{", "}")
    return "\n".join([start, *lines, indent + end])


def _sequence(value: list[Any] | tuple[Any, ...], indent: str) -> str:
    """Write a sequence over several lines, as many plain items on each as fit."""
    deeper = indent + "    "
    lines: list[str] = []
    for item in value:
        text = f"{_value(item, deeper, 0)},"
        note = _note(item, deeper)
        fits = lines and not note and "\n" not in text and not lines[-1].endswith("\n")
        if fits and "\n" not in lines[-1] and len(lines[-1]) + len(text) + 1 < WIDTH and "(" not in text:
            lines[-1] += f" {text}"
        else:
            lines += [*note, deeper + text]
    start, end = ("[", "]") if isinstance(value, list) else ("(", ")")
    return "\n".join([start, *lines, indent + end])
