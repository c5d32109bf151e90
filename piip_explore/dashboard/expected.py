"""What full training is expected to give the designs of a study: `piip_explore.predict`, never a measurement.

Loading it takes seconds, so a page asks for it last.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from piip_explore.dashboard import text
from piip_explore.dashboard.figures.contents import ChartAxis
from piip_explore.dashboard.trials import Floats, Trials
from piip_explore.design import Design
from piip_explore.errors import InputError
from piip_explore.search import expected as of_study

_KNOWN: dict[tuple[str, str], tuple[float, float]] = {}
"""By metric and design what is expected, and half of the 80 % interval; NaN where nothing is."""


def metric_of(trials: Trials | None) -> str:
    """Return the metric that full training on a study's task is judged by, as `piip_explore.predict` names it."""
    return of_study.metric_of(None if trials is None else trials.columns)


def columns(trials: Trials) -> tuple[ChartAxis, Floats, Floats]:
    """Return the axis, what is expected of every trial's design, and half of its 80 % interval; NaN where nothing is.

    Every design is asked about once.
    """
    from piip_explore.predict import METRICS

    metric = metric_of(trials)
    _learn(metric, {str(design) for design in trials.designs if design is not None})
    found = np.array([_KNOWN.get((metric, str(design)), (np.nan, np.nan)) for design in trials.designs])
    axis = ChartAxis(f"expected {METRICS[metric]} (not measured)", maximize=True, unit=f"expected {METRICS[metric]}")
    return axis, found[:, 0], found[:, 1]


def _learn(metric: str, designs: Iterable[str]) -> None:
    from piip_explore.predict import table

    parsed = {}
    for design in designs:
        if (metric, design) not in _KNOWN:
            try:
                parsed[design] = Design.parse(design)
            except InputError:
                _KNOWN[metric, design] = (np.nan, np.nan)
    if not parsed:
        return
    found = table(list(parsed.values()), metric)
    half = (found["expected_high"] - found["expected_low"]) / 2
    _KNOWN.update(
        ((metric, design), pair) for design, pair in zip(parsed, zip(found["expected"], half, strict=True), strict=True)
    )


def sentence(design: Design, metric: str) -> str:
    """Say what is expected of a design, or why it is unlike any published one."""
    from piip_explore.predict import METRICS, USUAL, expect

    found = expect(design, metric)
    if found.unlike:
        return f"Its {METRICS[metric]} cannot be predicted: {'; '.join(found.unlike)}."
    low, high = (text.number(value) for value in (found.low, found.high))
    return (
        f"Full training is expected to give {text.number(found.mean)} {METRICS[metric]}, {low} to {high} in 80 % of "
        f"cases ({USUAL[metric]}; not measured)."
    )


def order(first: tuple[str, Design], second: tuple[str, Design], metric: str) -> str:
    """Say which of two named designs is expected to be better, and how probably; nothing where one has no number."""
    from piip_explore.predict import compare

    found = compare(first[1], second[1], metric)
    if not np.isfinite(found.probability):
        return ""
    if found.order == "cannot tell":
        return f"The regression cannot tell whether {first[0]} or {second[0]} is better."
    better, worse = (first, second) if found.order == "first" else (second, first)
    probability = max(found.probability, 1 - found.probability)
    shown = "0.99 or more" if probability >= 0.99 else f"{probability:.2f}"
    return f"The regression expects {better[0]} to be better than {worse[0]} with probability {shown}."
