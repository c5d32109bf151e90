"""The sentence that opens the Explore page: what is best within the budget, how sure that is, and what is nearly it."""

from __future__ import annotations

import numpy as np

from piip_explore.dashboard import text
from piip_explore.dashboard.tradeoff import Tradeoff
from piip_explore.search import expected


def sentence(tradeoff: Tradeoff, budget: float | None) -> str:
    """Return what to know of a study at one glance.

    "Under 45 GFLOPs the best of 24 is trial 4: 24.3, one seed, no error known; trial 8 costs 15 % less and scores 0.3
    less."
    """
    x, y = tradeoff.axes
    count = int(tradeoff.shown.sum() if budget is None else (tradeoff.shown & (tradeoff.x <= budget)).sum())
    best = tradeoff.best(budget)
    if best is None or (budget is not None and not count):
        return f"No trial costs less than {budget:,g} {x.unit}."
    scope = f"Of {text.count(count, 'trial')}" if budget is None else f"Under {budget:,g} {x.unit}"
    among = "the best" if budget is None else f"the best of {text.count(count, 'trial')}"
    words = f"{scope} {among} is trial {best}: {text.number(tradeoff.y[best])} {y.unit}"
    if y.unit == tradeoff.trials.metric:
        words += f", {_certainty(tradeoff, best)}"
    return f"{words}{_cheaper(tradeoff, best)}."


def contradiction(tradeoff: Tradeoff) -> str:
    """Say where what full training is expected to give contradicts a proxy's score; nothing where it does not."""
    if not tradeoff.objections:
        return ""
    orders = expected.orders(tradeoff.trials.columns, tradeoff.objections)
    return f"What full training is expected to give contradicts the score here: {orders}."


def _certainty(tradeoff: Tradeoff, row: int) -> str:
    """Say from how many seeds a score is, and its error."""
    trials = tradeoff.trials
    same = (trials.designs == trials.designs[row]) & trials.scored
    seeds = len(set(trials.floats("seed")[same]))
    error = trials.error[row]
    known = f"± {text.number(error, 2)}" if np.isfinite(error) else "no error known"
    return f"{'one seed' if seeds <= 1 else f'{seeds} seeds'}, {known}"


def _cheaper(tradeoff: Tradeoff, best: int) -> str:
    """Say what the next cheaper design of the front saves and costs."""
    place = int(np.flatnonzero(tradeoff.front == best)[0])
    if place == 0:
        return ""
    other = int(tradeoff.front[place - 1])
    saved = 1 - tradeoff.x[other] / tradeoff.x[best]
    lost = abs(float(tradeoff.y[best] - tradeoff.y[other]))
    worse = "scores" if tradeoff.axes[1].maximize else "has"
    less = "less" if tradeoff.axes[1].maximize else "more"
    return f"; trial {other} costs {text.number(100 * saved, 2)} % less and {worse} {text.number(lost, 2)} {less}"
