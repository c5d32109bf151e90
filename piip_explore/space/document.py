"""YAML that knows where it stands: mappings read key by key, every error with file, line and key."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NoReturn, TypeVar

import yaml

from piip_explore.errors import InputError, expected

_LARGEST = 1_000_000
"""Characters of a text; PyYAML takes minutes for a hundred million."""

T = TypeVar("T")
Read = Callable[[Any], T]
"""Turns a plain YAML value into what it means; raises InputError if it means nothing."""


@dataclass(frozen=True)
class Position:
    """A place in a file: its name, the line (from 1) and the key."""

    file: str
    line: int
    key: str = ""

    def fail(self, sentence: str) -> NoReturn:
        """Raise InputError with the place before the sentence."""
        where = f", {self.key}" if self.key else ""
        raise InputError(f"{self.file}, line {self.line}{where}: {sentence}") from None


class Section:
    """A mapping of the file, with the only keys that it may have."""

    def __init__(self, node: yaml.Node, place: Position, keys: Sequence[str]) -> None:
        if not isinstance(node, yaml.MappingNode):
            place.fail(f"expected a mapping with the keys {', '.join(keys)}")
        self.place = place
        self._nodes: dict[str, yaml.Node] = {}
        self._lines: dict[str, int] = {}
        for key_node, value in node.value:
            if not isinstance(key_node, yaml.ScalarNode):
                Position(place.file, _line(key_node), place.key).fail("expected a name before the colon")
            key, here = str(key_node.value), Position(place.file, key_node.start_mark.line + 1, place.key)
            if key not in keys:
                here.fail(f"unknown key '{key}': {expected(key, keys)}")
            if key in self._nodes:
                here.fail(f"key '{key}' is given twice")
            self._nodes[key], self._lines[key] = value, here.line

    @classmethod
    def document(cls, text: str, file: str, keys: Sequence[str]) -> Section:
        """Read the mapping that is the whole text."""
        if len(text) > _LARGEST:
            Position(file, 1).fail(f"{len(text):,} characters are too many for a space: expected at most {_LARGEST:,}")
        try:
            node = yaml.compose(text, Loader=yaml.SafeLoader)
        except yaml.MarkedYAMLError as error:
            mark = error.problem_mark or error.context_mark
            hint = "; put quotes around a text with brackets or commas, such as 'vit[depth=12,dim=160,heads=2]'"
            Position(file, mark.line + 1 if mark else 1).fail(f"not YAML: {error.problem}" + hint * ("[" in text))
        except yaml.YAMLError as error:
            Position(file, 1).fail(f"not YAML: {' '.join(str(error).split())}")
        except RecursionError:
            Position(file, 1).fail("lists and mappings are nested too deeply to be a space")
        if node is None:
            Position(file, 1).fail(f"the file is empty: expected a mapping with the keys {', '.join(keys)}")
        return cls(node, Position(file, 1), keys)

    def __contains__(self, key: str) -> bool:
        return key in self._nodes

    def at(self, key: str) -> Position:
        """Return the place of a key; of the section itself if the key is absent."""
        return self._at(key, self._lines[key]) if key in self else self.place

    def section(self, key: str, keys: Sequence[str]) -> Section:
        """Return the mapping under a key."""
        return Section(self._nodes[key], self.at(key), keys)

    def sections(self, key: str, keys: Sequence[str]) -> list[Section]:
        """Return the list of mappings under a key."""
        node = self._nodes[key]
        if not isinstance(node, yaml.SequenceNode) or not node.value:
            self.at(key).fail("expected a list")
        return [
            Section(item, self._at(f"{key}[{number}]", _line(item)), keys) for number, item in enumerate(node.value, 1)
        ]

    def value(self, key: str, read: Read[T], default: T) -> T:
        """Return the value under a key."""
        return self._read(key, self._nodes[key], read) if key in self else default

    def values(self, key: str, read: Read[T], default: tuple[T, ...] | None = None) -> tuple[T, ...]:
        """Return the values under a key: one value, or a list of different ones. Without a default it must be there."""
        if key not in self:
            if default is None:
                self.place.fail(f"key '{key}' is missing")
            return default
        node = self._nodes[key]
        items = node.value if isinstance(node, yaml.SequenceNode) else [node]
        if not items:
            self.at(key).fail("the list is empty")
        found: list[T] = []
        for item in items:
            value = self._read(key, item, read)
            if value in found:
                self._at(key, _line(item)).fail(f"{_plain(item)} is listed twice")
            found.append(value)
        return tuple(found)

    def is_mapping(self, key: str) -> bool:
        """Tell whether the value under a key is a mapping."""
        return isinstance(self._nodes.get(key), yaml.MappingNode)

    def _at(self, key: str, line: int) -> Position:
        return Position(self.place.file, line, f"{self.place.key}.{key}" if self.place.key else key)

    def _read(self, key: str, node: yaml.Node, read: Read[T]) -> T:
        try:
            return read(_plain(node))
        except InputError as error:
            self._at(key, _line(node)).fail(str(error))


def _line(node: yaml.Node) -> int:
    return int(node.start_mark.line) + 1


def _plain(node: yaml.Node) -> Any:
    parts = node.value if isinstance(node, yaml.SequenceNode) else [node]
    if any(not isinstance(part, yaml.ScalarNode) and part.value for part in parts):
        # No value is one; merge keys and repeated anchors in it grow without bounds.
        raise InputError("expected a single value or a list of them, not lists or mappings in one another")
    loader = yaml.SafeLoader("")
    try:
        return loader.construct_document(node)
    except Exception:  # PyYAML's constructors raise whatever they stumble over in a value that is not what its tag says
        what = f"'{node.value}'" if isinstance(node, yaml.ScalarNode) else "this list or mapping"
        raise InputError(f"{what} is not {node.tag.removeprefix('tag:yaml.org,2002:')}") from None
    finally:
        loader.dispose()
