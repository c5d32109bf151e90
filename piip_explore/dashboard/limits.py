"""Limits of other kinds beside the budget: parameters, latency, memory, whatever a study has stored.

What they leave is drawn; what each of them costs is said (`piip_explore.search.recommend`).
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
import streamlit as st

from piip_explore.dashboard import address, text
from piip_explore.dashboard.tradeoff import Tradeoff
from piip_explore.dashboard.trials import Trials
from piip_explore.search.recommend import Price, Recommendation, recommend

_COSTS = {
    "gflops": ("GFLOPs", "GFLOPs"),
    "mparams": ("Parameters (M)", "M parameters"),
    "latency_ms": ("Latency (ms)", "ms"),
    "memory_gb": ("Memory (GB)", "GB"),
    "energy_j": ("Energy (J)", "J"),
}
"""Every cost: what its slider is called, and what follows a value in a sentence."""

_ON_X = {"gflops": "gflops", "params": "mparams", "latency": "latency_ms", "memory": "memory_gb", "energy": "energy_j"}
"""The cost that an axis shows; the budget limits it."""

Limits = tuple[tuple[str, float], ...]


def names() -> list[str]:
    """Return the names under which the address holds limits."""
    return [f"most_{cost}" for cost in _COSTS]


def draw(trials: Trials, x_name: str) -> Limits:
    """Draw a slider per cost that differs among full runs and is not on x; return the limits that are set."""
    found = []
    for cost, values in trials.columns.costs.items():
        known = values[trials.scored & np.isfinite(values)]
        if cost == _ON_X.get(x_name) or cost not in _COSTS or not len(known) or known.min() == known.max():
            continue
        steps = round_steps(float(known.min()), float(known.max()))
        if len(steps) > 1:
            bound = st.select_slider(
                f"{_COSTS[cost][0]} at most", steps, **address.one(f"most_{cost}", steps, steps[-1])
            )
            found += [(cost, float(bound))] if bound != steps[-1] else []
    return tuple(found)


def round_steps(low: float, high: float) -> list[float]:
    """Return round numbers that part a range, and one above it: 1, 1.2, 1.5, 2, ..."""
    steps = (1, 1.2, 1.5, 2, 2.5, 3, 4, 5, 6, 8)
    round_numbers = [float(f"{step * 10.0**power:.3g}") for power in range(-3, 7) for step in steps]
    within = [number for number in round_numbers if low <= number < high]
    return [*within, next(number for number in round_numbers if number >= high)]


def within(trials: Trials, limits: Limits) -> npt.NDArray[np.int64]:
    """Return the rows within all limits; a trial that lacks a limited cost is not."""
    mask = np.ones(len(trials), dtype=bool)
    for cost, bound in limits:
        mask &= trials.columns.costs[cost] <= bound
    return np.flatnonzero(mask)


def sentence(tradeoff: Tradeoff, x_name: str, limits: Limits, budget: float | None) -> str:
    """Say which design to take within budget and limits, and what each of them costs; nothing without a limit."""
    if not limits:
        return ""
    bounds, costs = dict(limits), {}
    if budget is not None:
        cost = _ON_X.get(x_name, x_name)
        bounds, costs = {cost: budget, **bounds}, {cost: tradeoff.x}
    answer = recommend(tradeoff.trials.columns, bounds, costs)
    shown = {cost: f"{bound:,g} {_COSTS.get(cost, ('', tradeoff.axes[0].unit))[1]}" for cost, bound in bounds.items()}
    return " ".join([_take(answer, list(shown.values())), *(_price(price, shown) for price in answer.prices)]).strip()


def _take(answer: Recommendation, shown: list[str]) -> str:
    scope = f"Within {' and '.join(shown)}"
    if answer.best is None:
        return f"{scope} there is no design."
    if answer.simplest == answer.best:
        return f"{scope} trial {answer.best} is best."
    return f"{scope} trial {answer.best} is best, and trial {answer.simplest} the simplest as good within noise."


def _price(price: Price, shown: Mapping[str, str]) -> str:
    if price.best is None or price.gain == 0:
        return ""
    if not np.isfinite(price.gain):
        return f"Without the limit of {shown[price.limit]} trial {price.best} would be best."
    return f"Without the limit of {shown[price.limit]} trial {price.best} scores {text.number(price.gain, 2)} more."
