"""Reading Python config files as data, with the files that they inherit from; nothing in them is executed."""

from __future__ import annotations

import tokenize
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from piip_explore.errors import InputError
from piip_explore.official.evaluate import evaluate

MAX_BYTES = 1_000_000
"""Bound of a config file: far above any real one."""

MAX_DEPTH = 12
"""How deep `_base_` files may inherit from one another."""


def read_config(path: Path) -> dict[str, Any]:
    """Return the names that a config file assigns, with what it inherits from those `_base_` files that exist.

    A missing base (a config copied out of its code base) is left out; its file name is listed under `_missing_base_`.

    Raises:
        InputError: unreadable or not a plain config; the sentence names the file and the line.
    """
    return _read(path, ())


def _read(path: Path, below: tuple[Path, ...]) -> dict[str, Any]:
    path = path.resolve()
    if path in below or len(below) > MAX_DEPTH:
        raise InputError(f"'{path}': its _base_ files inherit in a circle, or deeper than {MAX_DEPTH} levels")
    own = evaluate(_text(path), str(path))
    bases = own.pop("_base_", [])
    bases = [bases] if isinstance(bases, str) else bases
    if not isinstance(bases, list | tuple) or not all(isinstance(base, str) for base in bases):
        raise InputError(f"'{path}': _base_ names other config files, as a string or a list of strings")
    inherited: dict[str, Any] = {}
    missing: list[str] = []
    for base in bases:
        if not (path.parent / base).is_file():
            missing.append(base)
            continue
        values = _read(path.parent / base, (*below, path))
        missing += values.pop("_missing_base_", [])
        inherited |= values
    return {**_merge(inherited, own), "_missing_base_": missing}


def _text(path: Path) -> str:
    if path.suffix != ".py":
        raise InputError(f"'{path}': a config file ends in .py")
    try:
        if path.stat().st_size > MAX_BYTES:
            raise InputError(f"'{path}' is larger than a config file can be ({MAX_BYTES // 1_000_000} MB)")
        with tokenize.open(path) as file:  # as Python reads it: with a byte-order mark, or a line that says the coding
            return file.read()
    except OSError as error:
        raise InputError(f"cannot read '{path}': {error.strerror}") from None
    except (UnicodeDecodeError, SyntaxError):
        raise InputError(f"'{path}' is not a text file in UTF-8, or in the coding that it names") from None


def _merge(base: Mapping[str, Any], own: Mapping[str, Any]) -> dict[str, Any]:
    """Merge as mmcv does: dictionaries join, unless `_delete_` is set; everything else replaces what was inherited."""
    merged = dict(base)
    for key, value in own.items():
        if isinstance(value, dict):
            value = dict(value)
            joins = not value.pop("_delete_", False) and isinstance(merged.get(key), dict)
            value = _merge(merged[key] if joins else {}, value)
        merged[key] = value
    return merged
