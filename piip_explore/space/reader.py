"""The YAML form of a space (docs/spaces.md)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import fields, replace
from typing import Any

import numpy as np

from piip_explore import catalog
from piip_explore.design import MAX_RESOLUTION, NO_WINDOW, Merge, parse_window
from piip_explore.design.setting import OPTIONS, flag, number, whole, word
from piip_explore.errors import InputError, expected
from piip_explore.preset_names import TASKS, check_preset, merge_serves
from piip_explore.space.bounds import parse_bound, parse_training_bound
from piip_explore.space.chains import count_chains
from piip_explore.space.choices import BranchChoices, SettingChoices, branch_of, misfit, setting_of
from piip_explore.space.constraints import ACCOUNTINGS, Constraints
from piip_explore.space.definition import Definition
from piip_explore.space.document import Section
from piip_explore.space.tables import Group, Tables, tabulate

SLOT_KEYS = ["models", "resolutions", "windows"]
POOL_KEYS = ["branches", *SLOT_KEYS]
CONSTRAINT_KEYS = [field.name for field in fields(Constraints)]
KEYS = ["name", "description", "task", "branches", "pool", *OPTIONS, "constraints", "proxy"]
PROXY_KEYS = ["preset", "budget"]
MAX_BRANCHES = 8
"""The most branches of a space's designs; more would only be a slip."""


def read(source: str, file: str) -> Definition:
    """Read a space.

    Raises:
        InputError: `file`, line and key of what is unknown, impossible or leaves the space empty.
    """
    document = Section.document(source, file, KEYS)
    slots, counts = _branches(document)
    settings = _settings(document, max(counts))
    constraints = _constraints(document)
    space = Definition(
        name=document.value("name", word, ""),
        slots=slots,
        counts=counts,
        settings=settings,
        constraints=constraints,
        description=document.value("description", word, ""),
        task=document.value("task", _task, None),
        proxy=_proxy(document),
    )
    if not space.name:
        document.place.fail("key 'name' is missing")
    _check_task(document, space)
    _check_constraints(document, space)
    _check_settings(document, space)
    return space


def _branches(document: Section) -> tuple[tuple[BranchChoices, ...], tuple[int, ...]]:
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


def _slot(section: Section) -> BranchChoices:
    models = section.values("models", lambda value: catalog.canonical_name(word(value)))
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
    windows = section.values("windows", _window(models), (NO_WINDOW,))
    return BranchChoices(models, resolutions, windows)


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
            branch_of(model, whole(value))
        return whole(value)

    return read_resolution


def _window(models: Sequence[str]) -> Callable[[Any], str]:
    windowed = any(isinstance(catalog.model(model), catalog.ViT) for model in models)

    def read_window(value: Any) -> str:
        window = word(value)
        if parse_window(window) != (None, None) and not windowed:
            raise InputError("windows are for ViT models, and there is none here")
        return window

    return read_window


def _settings(document: Section, branches: int) -> SettingChoices:
    values: dict[str, Any] = {}
    for key, option in OPTIONS.items():
        read = _out(branches) if key == "out" else option.parse
        values[key] = document.values(key, read, (option.default,))
        if isinstance(option.default, int | float) and not isinstance(option.default, bool):
            values[key] = tuple(sorted(values[key]))
    return SettingChoices(**values)


def _out(branches: int) -> Callable[[Any], tuple[int, ...] | None]:
    return lambda value: Merge(out=OPTIONS["out"].parse(value)).among(branches).out


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
    latency = section.value("max_latency_ms", lambda value: str(parse_bound(word(value))), None)
    memory = section.value("max_train_gb", lambda value: str(parse_training_bound(str(value))), None)
    return Constraints(**flags, **limits, accounting=accounting, max_latency_ms=latency, max_train_gb=memory)


def _positive(value: Any) -> float | None:
    if number(value) <= 0:
        raise InputError(f"expected a number above 0, not {value}")
    return number(value)


def _accounting(value: Any) -> str:
    if value not in ACCOUNTINGS:
        raise InputError(f"unknown accounting '{value}': {expected(str(value), ACCOUNTINGS)}")
    return str(value)


def _proxy(document: Section) -> dict[str, Any]:
    if "proxy" not in document:
        return {}
    section = document.section("proxy", PROXY_KEYS)
    found = {"preset": section.value("preset", _preset, None), "budget": section.value("budget", _budget, None)}
    return {key: value for key, value in found.items() if value is not None}


def _preset(value: Any) -> str:
    check_preset(word(value))
    return word(value)


def _task(value: Any) -> str:
    if word(value) not in TASKS:
        raise InputError(f"unknown task '{value}': {expected(word(value), TASKS)}")
    return word(value)


def _check_task(document: Section, space: Definition) -> None:
    """Say which preset or merge does not go with the space's task."""
    preset, task = space.proxy.get("preset"), space.task
    if task is None:
        return
    if preset is not None and check_preset(preset).task != task:
        document.at("proxy").fail(
            f"preset '{preset}' trains {check_preset(preset).task}, but the space's task is {task}"
        )
    for merge in space.settings.merge:
        if max(space.counts) > 1 and not merge_serves(merge, task):
            document.at("merge").fail(f"{merge} does not go with the space's task, {task}")


def _budget(value: Any) -> int | None:
    if whole(value) < 1:
        raise InputError(f"expected a positive number of designs, not {value}")
    return whole(value)


def _check_constraints(document: Section, space: Definition) -> None:
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


def _check_settings(document: Section, space: Definition) -> None:
    """Say which choice of a setting is in no design of the space, and why."""
    live = [group for group in space.tables.groups if count_chains(space.tables, group)]
    settings = {(group.branches, space.tables.settings[code]) for group in live for code in group.settings}
    used: dict[str, list[Any]] = {key: [] for key in OPTIONS}
    for count in space.counts:
        for combination in space.settings.combinations():
            if count == 1 or (count, setting_of(combination, count)) in settings:
                for key, value in combination.items():
                    used[key].append(value)
    if not live:
        document.place.fail(f"the space is empty: {_why_unused(space, {})}")
    for key in OPTIONS:
        for value in getattr(space.settings, key):
            if value not in used[key]:
                document.at(key).fail(f"{value} is in no design of the space: {_why_unused(space, {key: value})}")


def _why_unused(space: Definition, choice: dict[str, Any]) -> str:
    """Return the reason why the first setting with a choice fits no branches."""
    for count in space.counts:
        for combination in space.settings.combinations():
            setting = setting_of(combination, count)
            if setting is not None and choice.items() <= combination.items():
                for branch in space.tables.branches:
                    if reason := misfit(setting, branch, query=True):
                        return reason
    return "nothing goes with it"
