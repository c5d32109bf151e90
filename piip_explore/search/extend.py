"""Going on with a study: the same settings, and the same space or one that contains it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any

from piip_explore.errors import InputError
from piip_explore.search.record import Record

_LOWER_IS_TIGHTER = ("max_gflops", "max_params", "max_mparams", "max_resolution_ratio")
_HIGHER_IS_TIGHTER = ("min_gflops", "min_mparams")


def check_same(stored: Record, wanted: Record) -> None:
    """Check that a study may go on as `wanted`.

    Raises:
        InputError: it may not; the sentence lists every difference.
    """
    differences = []
    for name in ("objectives", "accounting", "rungs", "seed"):
        before, now = getattr(stored, name), getattr(wanted, name)
        if before != now:
            differences.append(f"{name}: {_show(before)} in the study, {_show(now)} now")
    for name in sorted({*stored.evaluator, *wanted.evaluator}):
        before, now = stored.evaluator.get(name), wanted.evaluator.get(name)
        if before != now:
            differences.append(f"{name}: {before} in the study, {now} now")
    differences += _tighter(asdict(stored.limits), asdict(wanted.limits))
    differences += space_differences(stored.space, wanted.space)
    if differences:
        raise InputError(
            "the study was made with other settings, and its results would not compare ("
            + "; ".join(differences)
            + "): go on as before, or start another study with --study"
        )


def space_differences(stored: Mapping[str, Any], wanted: Mapping[str, Any]) -> list[str]:
    """Return in what a space does not contain the stored one; empty if it does. Both are `SearchSpace.summary()`."""
    differences = []
    for axis, choices in stored["axes"].items():
        gone = [choice for choice in choices if choice not in wanted["axes"].get(axis, ())]
        if gone:
            differences.append(f"{axis} no longer offers {_show(gone)}")
    return differences + _tighter(stored["constraints"], wanted["constraints"])


def _tighter(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    found = []
    for name, old in before.items():
        new = now.get(name)
        if old == new:
            continue
        if name in _LOWER_IS_TIGHTER:
            tighter = new is not None and (old is None or new < old)
        elif name in _HIGHER_IS_TIGHTER:
            tighter = new is not None and (old is None or new > old)
        else:
            tighter = bool(new) if isinstance(old, bool) else True
        if tighter:
            found.append(f"{name}: {_show(old)} in the study, {_show(new)} now")
    return found


def extended(stored: Record | None, wanted: Record) -> Record:
    """Return the record of a study that goes on with a space that contains its own.

    New choices go behind the old ones: storages keep a parameter's value as its number among them.
    """
    choices: dict[str, Sequence[Any]] = {
        name: list(values) for name, values in (stored.choices.items() if stored else ())
    }
    for name, values in wanted.choices.items():
        old = list(choices.get(name, ()))
        choices[name] = old + [value for value in values if value not in old]
    return replace(wanted, choices=choices)


def _show(value: Any) -> str:
    if isinstance(value, list | tuple):
        return ",".join(_show(part) for part in value)
    if value is None:
        return "none"
    return f"{value:g}" if isinstance(value, float) else str(value)
