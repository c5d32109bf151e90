"""The YAML form of a space (docs/spaces.md)."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import fields, replace
from typing import Any

import numpy as np

from piip_explore import catalog
from piip_explore.design import MAX_RESOLUTION, Interaction, Merge
from piip_explore.errors import InputError
from piip_explore.space.chains import count_chains
from piip_explore.space.choices import SettingChoices, Slot, branch_of, misfit, setting_of
from piip_explore.space.constraints import ACCOUNTINGS, Constraints
from piip_explore.space.document import Section, flag, number, text, whole
from piip_explore.space.searchspace import SearchSpace
from piip_explore.space.tables import Group, Tables, tabulate

SLOT_KEYS = ["models", "resolutions", "windows"]
POOL_KEYS = ["branches", *SLOT_KEYS]
SETTING_KEYS = [field.name for field in fields(SettingChoices)]
CONSTRAINT_KEYS = [field.name for field in fields(Constraints)]
KEYS = ["name", "description", "branches", "pool", *SETTING_KEYS, "constraints", "proxy"]
PROXY_KEYS = ["preset", "budget"]
MAX_BRANCHES = 8
"""The most branches of a space's designs; more would only be a slip."""


def read(source: str, file: str) -> SearchSpace:
    """Read a space.

    Raises:
        InputError: `file`, line and key of what is unknown, impossible or leaves the space empty.
    """
    document = Section.document(source, file, KEYS)
    slots, counts = _branches(document)
    settings = _settings(document, max(counts))
    constraints = _constraints(document)
    space = SearchSpace(
        name=document.value("name", text, ""),
        slots=slots,
        counts=counts,
        settings=settings,
        constraints=constraints,
        description=document.value("description", text, ""),
        proxy=_proxy(document),
    )
    if not space.name:
        document.place.fail("key 'name' is missing")
    _check_constraints(document, space)
    _check_settings(document, space)
    return space


def _branches(document: Section) -> tuple[tuple[Slot, ...], tuple[int, ...]]:
    if ("branches" in document) == ("pool" in document):
        document.place.fail("expected either 'branches' (a list with one entry per branch) or 'pool'")
    if "branches" in document:
        slots = tuple(_slot(section) for section in document.sections("branches", SLOT_KEYS))
        if len(slots) > MAX_BRANCHES:
            document.at("branches").fail(f"expected at most {MAX_BRANCHES} branches, not {len(slots)}")
        return slots, (len(slots),)
    pool = document.section("pool", POOL_KEYS)
    counts = tuple(sorted(pool.values("branches", _count)))
    return (_slot(pool),) * counts[-1], counts


def _count(value: Any) -> int:
    if not 1 <= whole(value) <= MAX_BRANCHES:
        raise InputError(f"a design of a space has 1 to {MAX_BRANCHES} branches, not {value}")
    return whole(value)


def _slot(section: Section) -> Slot:
    models = section.values("models", lambda value: catalog.canonical_name(text(value)))
    if section.is_mapping("resolutions"):
        resolutions = _range(section.section("resolutions", ["from", "to", "step"]))
        place = section.at("resolutions")
        for resolution in resolutions:
            try:
                _resolution(models)(resolution)
            except InputError as error:
                place.fail(str(error))
    else:
        resolutions = tuple(sorted(section.values("resolutions", _resolution(models))))
    windows = section.values("windows", _window(models), ("none",))
    return Slot(models, resolutions, windows)


def _range(section: Section) -> tuple[int, ...]:
    start, end, step = (section.values(key, whole)[0] for key in ("from", "to", "step"))
    if step < 1:
        section.at("step").fail(f"expected a positive step, not {step}")
    if start < 1:
        section.at("from").fail(f"expected a positive resolution, not {start}")
    if end < start:
        section.at("to").fail(f"{end} is below 'from', {start}")
    if end > MAX_RESOLUTION:
        section.at("to").fail(f"expected at most {MAX_RESOLUTION} pixels, not {end}")
    if (end - start) % step:
        section.at("to").fail(
            f"steps of {step} from {start} do not reach {end}: the last before it is {end - (end - start) % step}"
        )
    return tuple(range(start, end + 1, step))


def _resolution(models: Sequence[str]) -> Callable[[Any], int]:
    def read_resolution(value: Any) -> int:
        for model in models:
            branch_of((model, whole(value), "none"))
        return whole(value)

    return read_resolution


def _window(models: Sequence[str]) -> Callable[[Any], str]:
    windowed = any(isinstance(catalog.model(model), catalog.ViT) for model in models)

    def read_window(value: Any) -> str:
        window = text(value)
        if window != "none":
            if not windowed:
                raise InputError("windows are for ViT models, and there is none here")
            if not re.fullmatch(r"w[1-9]\d*(g[1-9]\d*)?", window):
                raise InputError(f"expected none, wN or wNgK, such as w14 or w14g3, not '{window}'")
        return window

    return read_window


def _settings(document: Section, branches: int) -> SettingChoices:
    default = SettingChoices()
    readers: dict[str, Callable[[Any], Any]] = {
        "interactions": _interactions,
        "merge": lambda value: Merge(text(value)).kind,  # type: ignore[arg-type]
        "out": lambda value: _out(value, branches),
        "project": flag,
    }
    values: dict[str, Any] = {}
    for key in SETTING_KEYS:
        values[key] = document.values(key, readers.get(key, _option(key)), getattr(default, key))
        if key not in ("attention", "project", "direction", "merge", "out"):
            values[key] = tuple(sorted(values[key]))
    return SettingChoices(**values)


def _interactions(value: Any) -> int:
    return 0 if whole(value) == 0 else Interaction(whole(value)).count


def _option(key: str) -> Callable[[Any], Any]:
    kind = type(getattr(Interaction(), key, None))
    read_kind: Callable[[Any], Any] = {int: whole, float: number}.get(kind, text)
    return lambda value: getattr(Interaction(**{key: read_kind(value)}), key)


def _out(value: Any, branches: int) -> tuple[int, ...] | None:
    if value == "all":
        return None
    numbers = [str(item).strip() for item in (value if isinstance(value, list) else str(value).split(","))]
    if not numbers or not all(item.isdecimal() for item in numbers):
        raise InputError(f"expected 'all' or branch numbers such as [1, 3], not '{value}'")
    out = tuple(sorted({int(item) for item in numbers}))
    if len(out) < len(numbers) or out[0] < 1 or out[-1] > branches:
        raise InputError(f"expected different branch numbers from 1 to {branches}, not '{value}'")
    return None if len(out) == branches else out


def _constraints(document: Section) -> Constraints:
    if "constraints" not in document:
        return Constraints()
    section = document.section("constraints", CONSTRAINT_KEYS)
    flags = {key: section.value(key, flag, False) for key in ("parameter_inverted", "decreasing_resolution")}
    limits: dict[str, Any] = {
        key: section.value(key, _positive, None)
        for key in ("max_resolution_ratio", "min_gflops", "max_gflops", "min_mparams", "max_mparams")
    }
    for what in ("gflops", "mparams"):
        low, high = limits[f"min_{what}"], limits[f"max_{what}"]
        if low and high and low > high:
            section.at(f"min_{what}").fail(f"{low:g} is above max_{what}, {high:g}")
    if (limits["max_resolution_ratio"] or 1) < 1:
        section.at("max_resolution_ratio").fail("the largest resolution over the smallest is never below 1")
    accounting: Any = section.value("accounting", _accounting, "published")
    return Constraints(**flags, **limits, accounting=accounting)


def _positive(value: Any) -> float | None:
    if number(value) <= 0:
        raise InputError(f"expected a number above 0, not {value}")
    return number(value)


def _accounting(value: Any) -> str:
    if value not in ACCOUNTINGS:
        raise InputError(f"unknown accounting '{value}': expected one of {', '.join(ACCOUNTINGS)}")
    return str(value)


def _proxy(document: Section) -> dict[str, Any]:
    if "proxy" not in document:
        return {}
    section = document.section("proxy", PROXY_KEYS)
    found = {"preset": section.value("preset", text, None), "budget": section.value("budget", _budget, None)}
    return {key: value for key, value in found.items() if value is not None}


def _budget(value: Any) -> int | None:
    if whole(value) < 1:
        raise InputError(f"expected a positive number of designs, not {value}")
    return whole(value)


def _check_constraints(document: Section, space: SearchSpace) -> None:
    """Say which constraint leaves no combination of branches, if they do."""
    if _branches_exist(space.tables, space.counts):
        return
    culprits = []
    for key in ("parameter_inverted", "decreasing_resolution", "max_resolution_ratio"):
        without = replace(space.constraints, **{key: getattr(Constraints(), key)})
        if _branches_exist(tabulate(space.slots, space.counts, space.settings, without), space.counts):
            culprits.append(key)
    blame = f" (without {' or '.join(culprits)} there would be some)" if culprits else ""
    document.at("constraints").fail(f"the space is empty: no combination of branches meets the constraints{blame}")


def _branches_exist(tables: Tables, counts: Sequence[int]) -> bool:
    """Tell whether any branches go together, settings aside."""
    allowed = np.ones((max(counts), len(tables.branches)), np.bool_)
    return any(count_chains(tables, Group(count, allowed, np.empty(0, np.intp))) for count in counts)


def _check_settings(document: Section, space: SearchSpace) -> None:
    """Say which choice of a setting is in no design of the space, and why."""
    live = [group for group in space.tables.groups if count_chains(space.tables, group)]
    settings = {(group.branches, space.tables.settings[code]) for group in live for code in group.settings}
    used: dict[str, list[Any]] = {key: [] for key in SETTING_KEYS}
    for count in space.counts:
        for combination in space.settings.combinations():
            if count == 1 or (count, setting_of(combination, count)) in settings:
                for key, value in combination.items():
                    used[key].append(value)
    if not live:
        document.place.fail(f"the space is empty: {_why_unused(space, {})}")
    for key in SETTING_KEYS:
        for value in getattr(space.settings, key):
            if value not in used[key]:
                document.at(key).fail(f"{value} is in no design of the space: {_why_unused(space, {key: value})}")


def _why_unused(space: SearchSpace, choice: dict[str, Any]) -> str:
    """Return the reason why the first setting with a choice fits no branches."""
    for count in space.counts:
        for combination in space.settings.combinations():
            setting = setting_of(combination, count)
            if setting is not None and choice.items() <= combination.items():
                for branch in space.tables.branches:
                    if reason := misfit(setting, branch, query=True):
                        return reason
    return "nothing goes with it"
