"""What charts show, as columns and values, before Plotly draws it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from piip_explore.dashboard.figures import palette

MOST_POINTS = 2000
"""More trials than this are drawn as a density: one by one they would be a wall of colour, and slow to draw."""


@dataclass(frozen=True)
class ChartAxis:
    """One axis of the chart: an objective, which way is better, its scale, and what follows a value in a sentence."""

    label: str
    maximize: bool = False
    log: bool = False
    unit: str = ""


@dataclass(frozen=True)
class Points:
    """What the chart shows, as columns of equal length: trial numbers, both coordinates, standard errors of y (NaN:
    unknown) and a few words about the design. `front` holds rows, from the smallest x to the largest; `tied` the rows
    off the front that no trial beats by more than noise."""

    trial: npt.NDArray[np.int64]
    x: npt.NDArray[np.float64]
    y: npt.NDArray[np.float64]
    error: npt.NDArray[np.float64]
    label: npt.NDArray[np.object_]
    front: npt.NDArray[np.int64]
    tied: npt.NDArray[np.int64] = field(default_factory=lambda: np.empty(0, dtype=np.int64))


@dataclass(frozen=True)
class Strip:
    """A row of marks below the chart: things with a cost but without a score that this axis could show."""

    name: str
    x: npt.NDArray[np.float64]
    cards: Sequence[str]
    trial: npt.NDArray[np.int64] | None = None
    color: str = palette.GREY
    symbol: str = "line-ns-open"
    size: int = 12


@dataclass(frozen=True)
class Dimension:
    """One axis of the parallel coordinates; `ticks` says what stands at some of its values, None for plain numbers."""

    label: str
    values: npt.NDArray[np.floating] | npt.NDArray[np.integer]
    ticks: Mapping[float, str] | None = None


def log_ticks(low: float, high: float) -> dict[float, str]:
    """Return round numbers from `low` to `high` by their decadic logarithms, seven or so."""
    for steps in ((1, 1.5, 2, 3, 4, 5, 6, 8), (1, 2, 5), (1,)):
        numbers = [step * 10.0**power for power in range(-4, 8) for step in steps]
        within = [number for number in numbers if low <= number <= high]
        if len(within) <= 7:
            break
    return {float(np.log10(number)): f"{number:,g}" for number in within}
