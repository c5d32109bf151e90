"""A design.yaml, read with every entry checked."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, get_args

import yaml

from piip_explore.design import Design
from piip_explore.errors import InputError, expected
from piip_explore.export.recipe import TASKS, Recipe, Schedule, TaskName, fields_of, published

_KEYS = ("design", "id", "data", "pretrained", "recipe", "origin")
_ALLOWED = {"schedule": get_args(Schedule), "precision": ("bf16", "fp32")}
_CHANNELS = ("in_channels", "in_chans", "channels")
"""Entries that people try for images of other than three channels."""
_POSITIVE = ("epochs", "batch_size", "lr", "layer_decay", "head_width")


@dataclass(frozen=True)
class Settings:
    """What a design.yaml says: `data` is `KIND:FOLDER`, `pretrained` files of branches by their number from 1."""

    design: Design
    data: str
    pretrained: tuple[tuple[int, str], ...]
    recipe: Recipe

    @property
    def task(self) -> TaskName:
        """What the data are annotated for."""
        return TASKS[self.data.partition(":")[0]]

    def plain(self) -> dict[str, Any]:
        """Return all that decides the result, as plain values."""
        pretrained = {str(number): name for number, name in self.pretrained}
        return {
            "design": str(self.design), "data": self.data, "pretrained": pretrained,
            **fields_of(self.recipe, self.task),
        }  # fmt: skip


def read_settings(path: Path) -> Settings:
    """Read a design.yaml; what its recipe leaves out is as published.

    Raises:
        InputError: it is missing or not YAML, lacks something, or has an unknown entry or a value that cannot be
            right; the sentence names it.
    """
    content = _content(path)
    for name in content:
        if name not in _KEYS:
            raise InputError(f"'{path}' has an entry '{name}': {_way_out(name, _KEYS)}")
    for name in ("design", "data"):
        if not isinstance(content.get(name), str):
            raise InputError(f"'{path}' has no '{name}': expected what `piip-explore export --target native` writes")
    design, data = Design.parse(content["design"]), content["data"]
    if data.partition(":")[0] not in TASKS or not data.partition(":")[2]:
        raise InputError(f"'{path}': data '{data}': expected {', '.join(f'{kind}:FOLDER' for kind in TASKS)}")
    task = TASKS[data.partition(":")[0]]
    return Settings(
        design, data, _pretrained(path, content.get("pretrained"), design), _recipe(path, content, design, task)
    )


def _way_out(name: object, known: Iterable[str]) -> str:
    if name in _CHANNELS:
        return "pictures are read in RGB; for other channels, train build(design, in_channels=N) in a loop of your own"
    return expected(str(name), known)


def _content(path: Path) -> dict[Any, Any]:
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        reason = "no such file" if isinstance(error, FileNotFoundError) else error.strerror
        raise InputError(f"cannot read '{path}': {reason}") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise InputError(f"'{path}' is not YAML: {' '.join(str(error).split())}") from None
    return content if isinstance(content, dict) else {}


def _pretrained(path: Path, given: object, design: Design) -> tuple[tuple[int, str], ...]:
    count = len(design.branches)
    found = []
    for number, name in (given if isinstance(given, dict) else {}).items():
        if number not in range(1, count + 1) or not isinstance(name, str):
            raise InputError(f"'{path}', pretrained: {number}: {name}: expected a file by branch number, 1 to {count}")
        found.append((int(number), name))
    if given is not None and not isinstance(given, dict):
        raise InputError(f"'{path}': pretrained is {given!r}, expected files by branch number, such as {{1: deit.pth}}")
    return tuple(found)


def _recipe(path: Path, content: dict[Any, Any], design: Design, task: TaskName) -> Recipe:
    given, usual = content.get("recipe") or {}, published(design, task)
    if not isinstance(given, dict):
        raise InputError(f"'{path}': recipe is {given!r}, expected entries such as epochs: {usual.epochs}")
    known = fields_of(usual, task)
    values = {field.name: getattr(usual, field.name) for field in fields(Recipe)}
    for name, value in given.items():
        if name not in known:
            raise InputError(f"'{path}', recipe: a {task} has no '{name}': {_way_out(name, known)}")
        values[name] = _value(f"'{path}', recipe: {name}", name, value, known[name])
    if len(values["drop_path"]) != len(design.branches):
        raise InputError(f"'{path}', recipe: drop_path has {len(values['drop_path'])} rates: expected one per branch")
    return Recipe(**values)


def _value(where: str, name: str, value: object, usual: object) -> Any:
    """Return a value of the type of the usual one; YAML reads 1e-3 as a text."""
    if name in _ALLOWED and value not in _ALLOWED[name]:
        raise InputError(f"{where} is {value!r}, expected {' or '.join(_ALLOWED[name])}")
    if isinstance(usual, bool | str):
        if not isinstance(value, type(usual)):
            raise InputError(f"{where} is {value!r}, expected a value such as {usual!r}")
        return value
    if isinstance(usual, list):
        return tuple(_number(where, v, 0.0) for v in (value if isinstance(value, list) else [value]))
    number = _number(where, value, usual)
    if number < 0 or (number == 0 and name in _POSITIVE):
        raise InputError(f"{where} is {value!r}, expected a number above 0")
    return number


def _number(where: str, value: Any, usual: Any) -> Any:
    try:
        number = type(usual)(value)
        if isinstance(value, bool) or (isinstance(value, float) and number != value) or number != number:
            raise ValueError
    except (TypeError, ValueError, OverflowError):
        raise InputError(f"{where} is {value!r}, expected a number such as {usual}") from None
    return number
