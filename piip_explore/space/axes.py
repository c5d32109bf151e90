"""The axes of designs: what a sampler chooses from, one value at a time.

Axes number branches from the highest resolution (1) to the lowest, as `Design.sorted()` does.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from piip_explore.design import NO_WINDOW
from piip_explore.design.setting import OPTIONS, Plain, plain, values_of
from piip_explore.space.columns import SpaceColumns

_ABSENT: dict[str, Plain] = {"model": "none", "resolution": 0, "window": NO_WINDOW}
"""The choices of a branch that a design does not have."""


@dataclass(frozen=True)
class Axis:
    """One choice that differs between designs; `choices` rise where they are numbers."""

    name: str
    choices: tuple[Plain, ...]

    @property
    def ordered(self) -> bool:
        """Whether the choices are numbers."""
        return all(isinstance(choice, int | float) for choice in self.choices)


def axes_of(columns: SpaceColumns, rows: npt.NDArray[np.int64]) -> tuple[tuple[Axis, ...], npt.NDArray[np.int16]]:
    """Return the axes that differ between the designs of some rows, and the rows' codes into their choices.

    The codes are (rows, axes), column-major.
    """
    axes: list[Axis] = []
    codes: list[npt.NDArray[np.int16]] = []

    def add(name: str, values: Sequence[Plain], picked: npt.NDArray[np.integer]) -> None:
        used = {values[code] for code in np.unique(picked)}
        if len(used) < 2:
            return
        choices = tuple(sorted(used, key=lambda v: (isinstance(v, str), v)))
        lookup = np.array([choices.index(value) if value in used else -1 for value in values], dtype=np.int16)
        axes.append(Axis(name, choices))
        codes.append(lookup[picked])

    for place in range(columns.branches.shape[1]):
        picked = columns.branches[rows, place].astype(np.int64) + 1  # 0: no such branch
        for part, absent in _ABSENT.items():
            name = "window_text" if part == "window" else part
            values = [absent, *(getattr(branch, name) for branch in columns.branch_options)]
            add(f"branch{place + 1}.{part}", values, picked)
    settings = [values_of(setting) for setting in columns.settings]
    setting = columns.setting[rows].astype(np.int64)
    for option in OPTIONS:
        add(option, [plain(values[option]) for values in settings], setting)
    stacked = np.stack(codes, axis=1) if codes else np.zeros((len(rows), 0), dtype=np.int16)
    return tuple(axes), np.asfortranarray(stacked)
