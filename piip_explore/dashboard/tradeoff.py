"""What the Explore page shows, before it is drawn: trials on two axes, their front, and what is marked beside them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from piip_explore.dashboard.figures import palette
from piip_explore.dashboard.figures.contents import MOST_POINTS, ChartAxis, Points, Strip
from piip_explore.dashboard.plot import Mark
from piip_explore.dashboard.published_marks import published_strips
from piip_explore.dashboard.trials import Floats, Trials, front_rows, losses
from piip_explore.search import expected, pareto
from piip_explore.search.expected import Objection


@dataclass(frozen=True)
class Tradeoff:
    """What the chart shows: the quantities of both axes, who is drawn, and the front from the smallest x on.

    `error` is how far y may be off: the standard error of a score, half the interval of what is expected.
    """

    trials: Trials
    axes: tuple[ChartAxis, ChartAxis]
    x: Floats
    y: Floats
    shown: npt.NDArray[np.bool_]
    front: npt.NDArray[np.int64]
    error: Floats | None = None

    @cached_property
    def dense(self) -> bool:
        """Whether there are too many trials to draw one by one."""
        return int(self.shown.sum()) > MOST_POINTS

    def narrowed(self, rows: npt.NDArray[np.int64]) -> Tradeoff:
        """Return the tradeoff of those of `rows` that it shows."""
        shown = self.shown & np.isin(np.arange(len(self.shown)), rows)
        return replace(self, shown=shown, front=front_rows(self.x, self.y, self.axes, shown))

    def within(self, budget: float | None) -> npt.NDArray[np.int64]:
        """Return the front's rows within a budget on x."""
        return self.front if budget is None else self.front[self.x[self.front] <= budget]

    def best(self, budget: float | None) -> int | None:
        """Return the row with the best y within a budget on x."""
        within = self.within(budget)
        if not len(within):
            return None
        values = self.y[within]
        return int(within[np.argmax(values) if self.axes[1].maximize else np.argmin(values)])

    @cached_property
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

    @cached_property
    def objections(self) -> list[Objection]:
        """Where what is expected contradicts the front of a proxy's score; rows are trials. Takes seconds to load."""
        columns = self.trials.columns
        if self.y is not self.trials.score or not expected.by_proxy(columns.record):
            return []
        rows = np.flatnonzero(self.shown)
        front = np.flatnonzero(np.isin(rows, self.front))
        texts, costs = [str(text) for text in self.trials.designs[rows]], self.losses(rows)[:, :1]
        found = expected.objections(texts, self.y[rows], costs, front, expected.metric_of(columns))
        return expected.of_rows(found, rows)

    def losses(self, rows: npt.NDArray[np.integer]) -> Floats:
        """Return both axes of rows as losses."""
        return losses(self.x[rows], self.y[rows], self.axes)

    def points(self) -> Points:
        """Return what is drawn as marks; of a dense chart only the front and its ties have labels."""
        rows = np.flatnonzero(self.shown)
        place, tied = np.searchsorted(rows, self.front), np.searchsorted(rows, self.tied)
        labels = np.full(len(rows), "", dtype=object)
        named = np.concatenate([place, tied]) if self.dense else np.arange(len(rows))
        labels[named] = self.trials.labels(rows[named])
        error = np.full(len(rows), np.nan) if self.error is None else self.error[rows]
        return Points(rows, self.x[rows], self.y[rows], error, labels, place, tied)


def marks(tradeoff: Tradeoff, budget: float | None, selected: Sequence[int], pins: Mapping[int, str]) -> list[Mark]:
    """Return what is pointed out over the chart: the knee, the best within a budget, pins (in their colours by trial
    number), and what is selected."""
    found = []
    if tradeoff.knee is not None:
        found.append(_mark(tradeoff, tradeoff.knee, palette.ORANGE, "knee"))
    best = tradeoff.best(budget) if budget is not None else None
    if best is not None:
        found.append(_mark(tradeoff, best, palette.VERMILLION, "best in budget"))
    found += [_mark(tradeoff, trial, color, f"trial {trial}") for trial, color in pins.items()]
    named = {mark.trial for mark in found}
    for trial in selected:
        label = "" if trial in named or len(selected) > _MOST_LABELS else f"trial {trial}"
        found.append(replace(_mark(tradeoff, trial, "var(--st-text-color)", label), selected=True))
    return found


_MOST_LABELS = 5
"""Labels of more selected designs would cover each other."""


def _mark(tradeoff: Tradeoff, trial: int, color: str, label: str) -> Mark:
    x, y = (float(values[trial]) if np.isfinite(values[trial]) else None for values in (tradeoff.x, tradeoff.y))
    return Mark(trial, x, y, color, label)


MOST_MARKS = 300
"""Runs without a score that are drawn, the newest; each is an element of the page."""

_SYMBOLS = {
    "infeasible": "cross-thin-open",
    "failed": "x-thin-open",
    "shorter runs": "circle-open",
    "running": "star-open",
}


def strips(tradeoff: Tradeoff, accounting: str) -> list[Strip]:
    """Return what has a cost but no score on this axis: runs that gave none, and published designs."""
    found = []
    for name, mask in tradeoff.trials.unscored.items():
        rows = np.flatnonzero(mask & np.isfinite(tradeoff.x))
        drawn = rows[-MOST_MARKS:]
        if len(drawn):
            labels = tradeoff.trials.labels(drawn)
            cards = [f"trial {row} ({name})<br>{label}" for row, label in zip(drawn, labels, strict=True)]
            shown = name if len(drawn) == len(rows) else f"{name}, last {MOST_MARKS}"
            found.append(Strip(shown, tradeoff.x[drawn], cards, drawn, palette.VERMILLION, _SYMBOLS[name], 8))
    costs = tradeoff.x[tradeoff.shown]
    if tradeoff.axes[0].label.startswith("GFLOPs") and len(costs):
        found += published_strips(accounting, float(costs.min()) / 2, float(costs.max()) * 2)
    return found


def inside(event: Mapping[str, Any], tradeoff: Tradeoff) -> npt.NDArray[np.bool_]:
    """Return which trials are in the boxes and lassos that were drawn, in data units."""
    x, y, axes = tradeoff.x, tradeoff.y, tradeoff.axes
    mask = np.zeros(len(x), dtype=bool)
    for box in event["boxes"]:
        (x0, x1), (y0, y1) = sorted(box["x"]), sorted(box["y"])
        mask |= (x >= x0) & (x <= x1) & (y >= y0) & (y <= y1)
    px, py = (np.log10(values) if axis.log else values for values, axis in zip((x, y), axes, strict=True))
    for lasso in event["lassos"]:
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
