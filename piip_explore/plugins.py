"""What other installed packages add to this one, by entry points, and objects named `package.module:object`."""

from __future__ import annotations

import importlib
import sys
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from typing import Any, Literal

from piip_explore.errors import InputError, expected

Kind = Literal["branches", "evaluators", "tasks"]
"""What a package can add; its entry points are in the group `piip_explore.KIND`."""


@cache
def offered(kind: Kind) -> dict[str, EntryPoint]:
    """Return the entry points of a kind by name; none of them is loaded."""
    return {point.name: point for point in entry_points(group=f"piip_explore.{kind}")}


def load(kind: Kind, name: str) -> Any:
    """Return the object behind an entry point.

    Raises:
        InputError: no package offers one of this name, or it cannot be loaded.
    """
    point = offered(kind).get(name)
    if point is None:
        known = expected(name, offered(kind)) if offered(kind) else "there is none"
        raise InputError(f"no installed package offers '{name}' as an entry point of piip_explore.{kind}: {known}")
    try:
        return point.load()
    except Exception as error:  # a module may raise anything when it is imported
        raise InputError(f"'{name}' of piip_explore.{kind} ({point.value}): {type(error).__name__}: {error}") from None


def imported(reference: str) -> Any:
    """Return the object `package.module:object`; modules in the current folder are found, too.

    Raises:
        InputError: there is none, or its module cannot be imported.
    """
    module, _, name = reference.partition(":")
    if "" not in sys.path:
        sys.path.insert(0, "")
    try:
        found: Any = importlib.import_module(module)
        for part in name.split("."):
            found = getattr(found, part)
    except Exception as error:  # a module may raise anything when it is imported
        raise InputError(f"'{reference}': {type(error).__name__}: {error}") from None
    return found
