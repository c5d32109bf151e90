"""Resuming a study: the same settings, and the same space or one that contains it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any

from piip_explore.errors import InputError
from piip_explore.search.record import Record
from piip_explore.space import choices_of
from piip_explore.space.bounds import parse_bound, parse_training_bound

_LOWER_IS_TIGHTER = ("max_gflops", "max_params", "max_mparams", "max_resolution_ratio")
_HIGHER_IS_TIGHTER = ("min_gflops", "min_mparams")
_BOUNDS: Mapping[str, Callable[[str], tuple[float, str | int]]] = {
    "max_latency_ms": parse_bound,
    "max_train_gb": parse_training_bound,
}


def check_same(stored: Record, wanted: Record) -> None:
    """Check that a study may continue as `wanted`.

    Raises:
        InputError: it may not; the sentence lists every difference.
    """
    differences = []

    def compare(what: str, before: Any, now: Any, show: Callable[[Any], str] = str) -> None:
        if before != now:
            differences.append(f"{what} {show(before)} in the study, {show(now)} now")

    for name in ("objectives", "accounting", "rungs", "seed"):
        compare(f"{name}:", getattr(stored, name), getattr(wanted, name), _show)
    for name in sorted({*stored.evaluator, *wanted.evaluator}):
        compare(f"{name}:", stored.evaluator.get(name), wanted.evaluator.get(name))
    for name in stored.profiles.keys() & wanted.profiles.keys():
        compare(f"device profile {name}: measured", stored.profiles[name], wanted.profiles[name])
    differences += _tighter(asdict(stored.limits), asdict(wanted.limits))
    differences += space_differences(stored.space, wanted.space)
    if differences:
        raise InputError(
            "the study was made with other settings, and its results would not compare ("
            + "; ".join(differences)
            + "): continue as before, or start another study with --study"
        )


def space_differences(stored: Mapping[str, Any], wanted: Mapping[str, Any]) -> list[str]:
    """Return in what a space does not contain the stored one; empty if it does. Both are `SearchSpace.summary()`."""
    differences = []
    offered = choices_of(wanted)
    for name, choices in choices_of(stored).items():
        gone = [choice for choice in choices if choice not in offered.get(name, ())]
        if gone:
            differences.append(f"{name} no longer offers {_show(gone)}")
    return differences + _tighter(stored["constraints"], wanted["constraints"])


def _tighter(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """Return which limits of a study became tighter; a study of an earlier version may not know of some."""
    pairs = {name: (before.get(name), now.get(name)) for name in {**before, **now}}
    return [
        f"{name}: {_show(old)} in the study, {_show(new)} now"
        for name, (old, new) in pairs.items()
        if old != new and _is_tighter(name, old, new)
    ]


def _is_tighter(name: str, old: Any, new: Any) -> bool:
    if name not in (*_LOWER_IS_TIGHTER, *_HIGHER_IS_TIGHTER, *_BOUNDS):
        return bool(new) if isinstance(old, bool) else True
    if old is None or new is None:
        return new is not None
    if name in _BOUNDS:
        (most_before, where_before), (most, where) = map(_BOUNDS[name], (old, new))
        return where != where_before or most < most_before
    return bool(new < old if name in _LOWER_IS_TIGHTER else new > old)


def extended(stored: Record, wanted: Record) -> Record:
    """Return the record of a study that continues with a space that contains its own.

    New choices go behind the old ones: storages keep a parameter's value as its number among them.
    """
    choices: dict[str, Sequence[Any]] = dict(stored.choices)
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
