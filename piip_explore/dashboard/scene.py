"""What the Front page shows, before it is drawn: trials on two axes, their front, and what is marked beside them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from piip_explore.dashboard.figures import style
from piip_explore.dashboard.figures.front import MOST_POINTS, Axis, Marked, Points, Strip
from piip_explore.dashboard.references import published_strips
from piip_explore.dashboard.trials import Floats, Trials
from piip_explore.search import pareto


@dataclass(frozen=True)
class Scene:
    """What the chart shows: the quantities of both axes, who is drawn, the front, and the budget on x."""

    trials: Trials
    axes: tuple[Axis, Axis]
    x: Floats
    y: Floats
    shown: npt.NDArray[np.bool_]
    front: npt.NDArray[np.int64]
    budget: float | None

    @property
    def dense(self) -> bool:
        """Whether there are too many trials to draw one by one."""
        return int(self.shown.sum()) > MOST_POINTS

    @property
    def within(self) -> npt.NDArray[np.int64]:
        """The front's rows within the budget."""
        return self.front if self.budget is None else self.front[self.x[self.front] <= self.budget]

    @property
    def best(self) -> int | None:
        """The row with the best y within the budget."""
        if not len(self.within):
            return None
        values = self.y[self.within]
        return int(self.within[np.argmax(values) if self.axes[1].maximize else np.argmin(values)])

    @property
    def knee(self) -> int | None:
        """The row where the front bends most."""
        row = pareto.knee(self.losses(self.front)) if len(self.front) > 2 else None
        return None if row is None else int(self.front[row])

    @cached_property
    def tied(self) -> npt.NDArray[np.int64]:
        """The rows off the front that no trial beats by more than noise, where y is the score and errors are known."""
        rows = np.flatnonzero(self.shown)
        if self.y is not self.trials.score or not len(rows):
            return np.empty(0, dtype=np.int64)
        return rows[pareto.tied(self.losses(rows), self.trials.error[rows], objective=1)]

    def losses(self, rows: npt.NDArray[np.integer]) -> Floats:
        """Return both axes of rows as losses."""
        directions = ["maximize" if axis.maximize else "minimize" for axis in self.axes]
        return pareto.to_losses(np.column_stack([self.x[rows], self.y[rows]]), directions)

    def points(self) -> Points:
        """Return what is drawn as marks; of a dense chart only the front and its ties have labels."""
        rows = np.flatnonzero(self.shown)
        place, tied = np.searchsorted(rows, self.front), np.searchsorted(rows, self.tied)
        labels = np.full(len(rows), "", dtype=object)
        named = np.concatenate([place, tied]) if self.dense else np.arange(len(rows))
        labels[named] = self.trials.labels(rows[named])
        error = self.trials.error[rows] if self.y is self.trials.score else np.full(len(rows), np.nan)
        return Points(rows, self.x[rows], self.y[rows], error, labels, place, tied)

    def hypervolume(self) -> float:
        """The share of the rectangle between the worst and the best of what is shown that the front dominates."""
        losses = self.losses(np.flatnonzero(self.shown))
        low, high = losses.min(axis=0), losses.max(axis=0)
        span = np.where(high > low, high - low, 1.0)
        return pareto.hypervolume((self.losses(self.front) - low) / span, [1.0, 1.0])


def marked(scene: Scene, points: Points) -> list[Marked]:
    """Return what is pointed out: the knee, and the best within a budget."""
    marks = []
    rows = points.trial
    if scene.knee is not None:
        marks.append(Marked("knee", int(np.searchsorted(rows, scene.knee)), "circle-open", style.ORANGE))
    if scene.budget is not None and scene.best is not None:
        marks.append(Marked("best in budget", int(np.searchsorted(rows, scene.best)), "square-open", style.VERMILLION))
    return marks


MOST_MARKS = 300
"""Runs without a score that are drawn, the newest; each is an element of the page."""

_SYMBOLS = {
    "infeasible": "cross-thin-open",
    "failed": "x-thin-open",
    "shorter runs": "circle-open",
    "running": "star-open",
}


def strips(scene: Scene, accounting: str) -> list[Strip]:
    """Return what has a cost but no score on this axis: runs that gave none, and published designs."""
    found = []
    for name, mask in scene.trials.unscored.items():
        rows = np.flatnonzero(mask & np.isfinite(scene.x))
        drawn = rows[-MOST_MARKS:]
        if len(drawn):
            labels = scene.trials.labels(drawn)
            cards = [f"trial {row} ({name})<br>{label}" for row, label in zip(drawn, labels, strict=True)]
            shown = name if len(drawn) == len(rows) else f"{name}, last {MOST_MARKS}"
            found.append(Strip(shown, scene.x[drawn], cards, drawn, style.VERMILLION, _SYMBOLS[name], 8))
    costs = scene.x[scene.shown]
    if scene.axes[0].label.startswith("GFLOPs") and len(costs):
        found += published_strips(accounting, float(costs.min()) / 2, float(costs.max()) * 2)
    return found


def inside(event: Mapping[str, Any], scene: Scene) -> npt.NDArray[np.bool_]:
    """Return which trials lie in the boxes and lassos of a selection event, in data units."""
    x, y, axes = scene.x, scene.y, scene.axes
    mask = np.zeros(len(x), dtype=bool)
    for box in event["selection"].get("box", ()):
        (x0, x1), (y0, y1) = sorted(box["x"]), sorted(box["y"])
        mask |= (x >= x0) & (x <= x1) & (y >= y0) & (y <= y1)
    px, py = (np.log10(values) if axis.log else values for values, axis in zip((x, y), axes, strict=True))
    for lasso in event["selection"].get("lasso", ()):
        corners = [
            np.log10(lasso[name]) if axis.log else np.asarray(lasso[name])
            for name, axis in zip("xy", axes, strict=True)
        ]
        mask |= _in_polygon(px, py, *corners)
    return mask


def _in_polygon(x: Floats, y: Floats, corner_x: Floats, corner_y: Floats) -> npt.NDArray[np.bool_]:
    """Even-odd rule: a ray to the right crosses the outline an odd number of times."""
    odd = np.zeros(len(x), dtype=bool)
    for x0, y0, x1, y1 in zip(corner_x, corner_y, np.roll(corner_x, 1), np.roll(corner_y, 1), strict=True):
        if y0 != y1:
            odd ^= ((y0 > y) != (y1 > y)) & (x < (x1 - x0) * (y - y0) / (y1 - y0) + x0)
    return odd


def step(front: npt.NDArray[np.int64], selected: list[int], by: int) -> int:
    """Return the trial `by` steps along the front from the selected one; from elsewhere, the front's nearer end."""
    place = np.flatnonzero(front == selected[0]) if selected else np.array([], dtype=np.int64)
    if not len(place):
        return int(front[0] if by > 0 else front[-1])
    return int(front[np.clip(place[0] + by, 0, len(front) - 1)])
