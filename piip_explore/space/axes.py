"""The axes of a space: what a sampler chooses from, one value at a time."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from piip_explore.design import Branch, Design
from piip_explore.errors import InputError
from piip_explore.space.choices import SettingChoices, Slot, branch_of, setting_of

Value = str | int | float


@dataclass(frozen=True)
class Axis:
    """One choice to make: its name and the values to choose from, rising where they are numbers."""

    name: str
    choices: tuple[Value, ...]


def axes_of(slots: tuple[Slot, ...], counts: tuple[int, ...], choices: SettingChoices) -> tuple[Axis, ...]:
    """Return the axes: the number of branches, then per branch model, resolution and window, then the settings."""
    axes = [Axis("branches", counts)]
    for number, slot in enumerate(slots, 1):
        axes += [
            Axis(f"branch{number}.model", slot.models),
            Axis(f"branch{number}.resolution", slot.resolutions),
            Axis(f"branch{number}.window", slot.windows),
        ]
    for field in fields(choices):
        axes.append(Axis(field.name, tuple(_show(value) for value in getattr(choices, field.name))))
    return tuple(axes)


def _show(value: Any) -> Value:
    """Spell a setting's value as a design's text does."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if value is None:
        return "all"
    if isinstance(value, tuple):
        return ",".join(map(str, value))
    assert isinstance(value, str | int | float)
    return value


def design_from(
    values: Mapping[str, Value], axes: tuple[Axis, ...], choices: SettingChoices
) -> tuple[tuple[Branch, ...], Design | None]:
    """Return the branches that axis values name, slot by slot, and the design, None where its parts do not fit.

    Raises:
        InputError: a value is missing or none of its axis' choices.
    """
    _check(values, axes)
    count = int(values["branches"])
    branches = tuple(
        branch_of(
            (
                str(values[f"branch{number}.model"]),
                int(values[f"branch{number}.resolution"]),
                str(values[f"branch{number}.window"]),
            )
        )
        for number in range(1, count + 1)
    )
    combination = {
        field.name: next(value for value in getattr(choices, field.name) if _show(value) == values[field.name])
        for field in fields(choices)
    }
    setting = setting_of(combination, count)
    if setting is None:
        return branches, None
    try:
        # `out` counts from the highest resolution, so the branches go in that order.
        return branches, Design(Design(branches).sorted().branches, *setting)
    except InputError:
        return branches, None


def values_of(
    design: Design, assigned: tuple[int, ...], slots: tuple[Slot, ...], choices: SettingChoices, axes: tuple[Axis, ...]
) -> dict[str, Value]:
    """Return axis values that name a sorted design whose branch i is in slot `assigned[i]`.

    Axes that say nothing about this design (a branch or exchange it does not have) take their first choice.
    """
    values = {axis.name: axis.choices[0] for axis in axes}
    values["branches"] = len(design.branches)
    for branch, index in zip(design.branches, assigned, strict=True):
        model, resolution, window = slots[index].branches[branch]
        number = index + 1
        values |= {
            f"branch{number}.model": model,
            f"branch{number}.resolution": resolution,
            f"branch{number}.window": window,
        }
    combination = choices.settings(len(design.branches))[design.interaction, design.merge]
    return values | {name: _show(value) for name, value in combination.items()}


def _check(values: Mapping[str, Value], axes: tuple[Axis, ...]) -> None:
    for axis in axes:
        if axis.name not in values:
            raise InputError(f"axis '{axis.name}' has no value: expected one of {', '.join(map(str, axis.choices))}")
        if values[axis.name] not in axis.choices:
            raise InputError(
                f"axis '{axis.name}' is {values[axis.name]}: expected one of {', '.join(map(str, axis.choices))}"
            )
