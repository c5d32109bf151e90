"""Bayesian optimisation that knows what a design costs.

Only the score has to be learned: a Gaussian process over the pool's axes and costs predicts it, and the next design is
the one with the largest expected growth of the hypervolume. With the cost known that expectation has a closed form: a
design of cost c and score y adds, at every cost x from c up to the bound, what y exceeds the best score at cost <= x
by; so it is a sum of ordinary expected improvements, one per step of the front, each weighted by the step's width.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
from scipy.special import ndtr

from piip_explore.search import pareto
from piip_explore.search.pool import Pool
from piip_explore.search.samplers.base import Observations, random_row
from piip_explore.search.samplers.gaussian_process import GaussianProcess
from piip_explore.space import Axis

Floats = npt.NDArray[np.float64]

MAX_CANDIDATES = 20_000
"""Designs of a large pool that are compared for one proposal: neighbours of the front, and a random sample."""
MAX_OBSERVATIONS = 600
"""Observations that the process is fitted to: the best by non-domination, beyond that."""


@dataclass
class ExpectedHypervolume:
    """Maximises the expected hypervolume of score against one known cost (columns `score` and `cost` of the losses)."""

    pool: Pool
    seed: int
    cost: str
    score_column: int
    cost_column: int

    def __post_init__(self) -> None:
        self._features = PoolFeatures(self.pool)
        self._process = GaussianProcess(self._features.groups)

    def propose(self, observations: Observations) -> int | None:
        """Return the row with the largest expected growth; at first, rows spread over the costs."""
        seen = len(observations.rows) + len(observations.pending)
        rng = np.random.default_rng([self.seed, int(observations.taken.sum())])
        if len(observations.rows) < 3 or seen < self.startup:
            return self._spread(observations, seen, rng)
        observations = _newest_and_best(observations)
        candidates = self._candidates(observations, rng)
        if not len(candidates):
            return None
        mean, deviation = self._predict(observations, candidates)
        points = observations.losses[:, [self.cost_column, self.score_column]]
        bound = 1.05 * float(self.pool.costs[self.cost].max())
        growth = expected_growth(points, self.pool.costs[self.cost][candidates], mean, deviation, bound)
        return int(candidates[np.argmax(growth)])

    @property
    def startup(self) -> int:
        """Designs to try before the process is used."""
        return 6 + len(self.pool.axes)

    def _spread(self, observations: Observations, seen: int, rng: np.random.Generator) -> int | None:
        """A random free row near a quantile of the cost; the quantiles fill [0, 1] evenly, whenever they stop."""
        order = np.argsort(self.pool.costs[self.cost], kind="stable")
        centre = _radical_inverse(seen + 1) * len(order)
        width = max(8.0, len(order) / self.startup)
        low, high = int(max(0, centre - width / 2)), int(min(len(order), centre + width / 2 + 1))
        near = order[low:high]
        near = near[~observations.taken[near]]
        return int(rng.choice(near)) if len(near) else random_row(self.pool, observations.taken, rng)

    def _candidates(self, observations: Observations, rng: np.random.Generator) -> npt.NDArray[np.int64]:
        pool = self.pool
        if len(pool) <= MAX_CANDIDATES:
            return np.flatnonzero(~observations.taken)
        rows = set(rng.integers(len(pool), size=MAX_CANDIDATES).tolist())
        for row in observations.rows[pareto.front(observations.losses)]:
            for place, axis in enumerate(pool.axes):
                codes = pool.codes[row].astype(np.int64)
                for codes[place] in range(len(axis.choices)):
                    neighbour = pool.find(codes)
                    if neighbour is not None:
                        rows.add(neighbour)
        found = np.array(sorted(rows))
        return np.asarray(found[~observations.taken[found]], dtype=np.int64)

    def _predict(self, observations: Observations, candidates: npt.NDArray[np.int64]) -> tuple[Floats, Floats]:
        scores = observations.losses[:, self.score_column]
        process = self._process
        process.fit(self._features(observations.rows), scores, observations.standard_error)
        if len(observations.pending):
            process.believe(self._features(observations.pending))
        return process.predict(self._features(candidates))


def expected_growth(points: Floats, cost: Floats, mean: Floats, deviation: Floats, bound: float) -> Floats:
    """Return the expected growth of the hypervolume by each candidate.

    Args:
        points: observed (cost, score loss), shape (n, 2).
        cost: the candidates' known costs, (candidates,).
        mean: of their predicted score losses.
        deviation: of the same.
        bound: the cost up to which volume counts. In the score, it counts from the worst one observed.
    """
    steps = points[pareto.front(points)]
    steps = steps[np.argsort(steps[:, 0])]
    edges = np.concatenate(([-np.inf], steps[:, 0], [bound]))
    levels = np.concatenate(([points[:, 1].max()], steps[:, 1]))
    growth = np.zeros(len(cost))
    safe = np.maximum(deviation, 1e-12)
    for level, low, high in zip(levels, edges[:-1], edges[1:], strict=True):
        width = np.clip(high - np.maximum(cost, low), 0.0, None)
        z = (level - mean) / safe
        growth += width * safe * (z * ndtr(z) + np.exp(-0.5 * z * z) / np.sqrt(2 * np.pi))
    return growth


def _newest_and_best(observations: Observations) -> Observations:
    if len(observations.rows) <= MAX_OBSERVATIONS:
        return observations
    keep = np.sort(np.argsort(pareto.ranks(observations.losses), kind="stable")[:MAX_OBSERVATIONS])
    kept = {name: getattr(observations, name)[keep] for name in ("rows", "losses", "standard_error")}
    return replace(observations, **kept)


def _radical_inverse(number: int) -> float:
    """The van der Corput sequence in base 2."""
    result, weight = 0.0, 0.5
    while number:
        result += weight * (number & 1)
        number, weight = number >> 1, weight / 2
    return result


class PoolFeatures:
    """A pool's designs as numbers for a distance: call it with rows.

    A numeric axis is its choices' ranks in [0, 1]; any other axis is one column per choice. The costs come as
    logarithms in [0, 1]. `groups` numbers the axis or cost that each column belongs to.
    """

    def __init__(self, pool: Pool) -> None:
        self.pool = pool
        widths = [_width(axis) for axis in pool.axes] + [1] * len(pool.costs)
        self.groups = np.repeat(np.arange(len(widths)), widths)

    def __call__(self, rows: npt.NDArray[np.int64]) -> Floats:
        """Return the features of rows, (rows, columns)."""
        parts: list[Floats] = []
        for axis, codes in zip(self.pool.axes, self.pool.codes.T, strict=True):
            picked = codes[rows]
            if _width(axis) == 1:
                parts.append(picked[:, None] / max(1, len(axis.choices) - 1))
            else:
                parts.append((picked[:, None] == np.arange(len(axis.choices))) / np.sqrt(2.0))
        for column in self.pool.costs.values():
            low, high = np.log(column.min()), np.log(column.max())
            parts.append(((np.log(column[rows]) - low) / ((high - low) or 1.0))[:, None])
        return np.concatenate(parts, axis=1)


def _width(axis: Axis) -> int:
    return 1 if axis.ordered or len(axis.choices) == 2 else len(axis.choices)
