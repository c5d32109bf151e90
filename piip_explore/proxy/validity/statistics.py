"""How well one column of numbers ranks designs that another column of numbers ranks."""

from __future__ import annotations

from itertools import combinations

import numpy as np
from scipy.stats import kendalltau

from piip_explore.proxy.validity.rows import QUESTIONS, Pairs

_CLOSE = 0.15
_RESAMPLES = 2000


def pair_scores(prediction: np.ndarray, pairs: Pairs) -> np.ndarray:
    """Return 1 for every pair that `prediction` (one value per row) orders right, 0 for wrong, 0.5 for a tie.

    A pair with a missing prediction counts as a tie: nothing was said about it.
    """
    gap = prediction[pairs.better] - prediction[pairs.worse]
    return np.where(np.isnan(gap), 0.5, 0.5 + 0.5 * np.sign(gap))


def accuracy(prediction: np.ndarray, pairs: Pairs) -> float:
    """Return the share of pairs ordered right, in percent; NaN without pairs."""
    return 100 * float(pair_scores(prediction, pairs).mean()) if len(pairs) else float("nan")


def by_question(prediction: np.ndarray, pairs: Pairs) -> dict[str, float]:
    """Return the accuracy per question that has pairs, and their unweighted mean as `macro`."""
    asked = [name for name in QUESTIONS if (pairs.question == name).any()]
    result = {name: accuracy(prediction, pairs[pairs.question == name]) for name in asked}
    return result | {"macro": float(np.mean(list(result.values()))) if result else float("nan")}


def hard(pairs: Pairs, flops: np.ndarray) -> Pairs:
    """Return the pairs that FLOPs cannot decide: within 15 % of each other, or ordered the other way round."""
    better, worse = flops[pairs.better], flops[pairs.worse]
    close = np.abs(better - worse) <= _CLOSE * np.minimum(better, worse)
    return pairs[close | (better < worse)]


def tau(a: np.ndarray, b: np.ndarray) -> float:
    """Return Kendall's tau-b over the rows where both have a value; NaN if a column is constant there."""
    both = ~(np.isnan(a) | np.isnan(b))
    if both.sum() < 2:
        return float("nan")
    return float(kendalltau(a[both], b[both]).statistic)


def tau_interval(a: np.ndarray, b: np.ndarray, level: float = 0.95, seed: int = 0) -> tuple[float, float]:
    """Return a percentile-bootstrap interval of tau, resampling rows; NaN if tau itself is."""
    if np.isnan(tau(a, b)):
        return float("nan"), float("nan")
    rng = np.random.default_rng(seed)
    draws = [tau(a[rows], b[rows]) for rows in rng.integers(len(a), size=(_RESAMPLES, len(a)))]
    low, high = np.nanquantile(draws, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def partial_tau(a: np.ndarray, b: np.ndarray, given: np.ndarray) -> float:
    """Return Kendall's partial tau of `a` and `b` with `given` held fixed (Kendall 1942); NaN where undefined."""
    ab, ag, bg = tau(a, b), tau(a, given), tau(b, given)
    rest = (1 - ag**2) * (1 - bg**2)
    return (ab - ag * bg) / float(np.sqrt(rest)) if rest > 0 else float("nan")


def seed_to_seed_tau(values: np.ndarray) -> float:
    """Return the mean tau between every two seeds of `values` (rows, seeds); NaN with a single seed."""
    taus = [tau(values[:, i], values[:, j]) for i, j in combinations(range(values.shape[1]), 2)]
    return float(np.mean(taus)) if taus else float("nan")
