"""How well one column of numbers ranks designs as another column does, and how noisy a column is."""

from __future__ import annotations

from itertools import combinations

import numpy as np
from scipy.stats import kendalltau

from piip_explore.proxy.validity.pairs import QUESTIONS, Pairs

_RESAMPLES = 2000
_TIE = 2 * 2**0.5


def pair_scores(prediction: np.ndarray, pairs: Pairs, noise: float = 0.0) -> np.ndarray:
    """Return 1 for every pair that `prediction` (one value per row) orders right, 0 for wrong, 0.5 for a tie.

    A pair with a missing prediction counts as a tie, and so does one whose predictions differ by `noise` or less.
    """
    gap = prediction[pairs.better] - prediction[pairs.worse]
    return np.where(np.isnan(gap) | (np.abs(gap) <= noise), 0.5, 0.5 + 0.5 * np.sign(gap))


def percent(right: np.ndarray) -> float:
    """Return the mean of pair scores in percent; NaN without pairs."""
    return 100 * float(right.mean()) if len(right) else float("nan")


def by_question(right: np.ndarray, pairs: Pairs) -> dict[str, float]:
    """Return the accuracy per question that has pairs, and their unweighted mean as `macro`."""
    masks = {name: pairs.question == name for name in QUESTIONS}
    found = {str(name): percent(right[mask]) for name, mask in masks.items() if mask.any()}
    return found | {"macro": float(np.mean(list(found.values()))) if found else float("nan")}


def standard_error(values: np.ndarray) -> float:
    """Return the standard error of a row's mean over seeds, pooled over all rows of `values` (rows, seeds).

    Candidates are paired: a seed decides the samples and their order alike for all of them. What a seed adds to every
    row is therefore not noise of a comparison and is subtracted first. NaN with a single seed or row.
    """
    values = values[~np.isnan(values).any(axis=1)]
    rows, seeds = values.shape
    if rows < 2 or seeds < 2:
        return float("nan")
    residual = values - values.mean(1, keepdims=True) - values.mean(0, keepdims=True) + values.mean()
    return float(np.sqrt((residual**2).sum() / ((rows - 1) * (seeds - 1)) / seeds))


def tie_width(error: float) -> float:
    """Return by how much two scores of this standard error may differ and still tie.

    That is two standard errors of their difference; 0 where the error is not known.
    """
    return 0.0 if np.isnan(error) else _TIE * error


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
    drawn = np.random.default_rng(seed).integers(len(a), size=(_RESAMPLES, len(a)))
    both = np.flatnonzero(~(np.isnan(a) | np.isnan(b)))
    times = np.stack([(drawn == row).sum(1) for row in both], axis=1).astype(float)
    signs_a, signs_b = (np.sign(np.subtract.outer(column[both], column[both])) for column in (a, b))
    # Tau-b is the correlation of the signs over all pairs of rows; a row drawn twice ties with itself.
    squares = _over_pairs(signs_a**2, times) * _over_pairs(signs_b**2, times)
    taus = np.divide(
        _over_pairs(signs_a * signs_b, times), np.sqrt(squares), out=np.full(_RESAMPLES, np.nan), where=squares > 0
    )
    low, high = np.nanquantile(taus, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def _over_pairs(values: np.ndarray, times: np.ndarray) -> np.ndarray:
    """Return the sum of `values` (rows, rows) over all pairs of the rows that each resample has drawn so many times."""
    return np.asarray(((times @ values) * times).sum(1))


def partial_tau(a: np.ndarray, b: np.ndarray, given: np.ndarray) -> float:
    """Return Kendall's partial tau of `a` and `b` with `given` held fixed (Kendall 1942); NaN where undefined."""
    ab, ag, bg = tau(a, b), tau(a, given), tau(b, given)
    rest = (1 - ag**2) * (1 - bg**2)
    return (ab - ag * bg) / float(np.sqrt(rest)) if rest > 0 else float("nan")


def seed_to_seed_tau(values: np.ndarray) -> float:
    """Return the mean tau between every two seeds of `values` (rows, seeds); NaN with a single seed."""
    taus = [tau(values[:, i], values[:, j]) for i, j in combinations(range(values.shape[1]), 2)]
    return float(np.mean(taus)) if taus else float("nan")
