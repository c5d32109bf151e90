"""Samplers that look at no score."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from piip_explore.search.pool import Pool
from piip_explore.search.samplers.base import Observations, random_row


@dataclass(frozen=True)
class Exhaustive:
    """Every design once, from the cheapest to the dearest."""

    pool: Pool
    cost: str

    def propose(self, observations: Observations) -> int | None:
        """Return the cheapest row left."""
        cost = np.where(observations.taken, np.inf, self.pool.costs[self.cost])
        row = int(np.argmin(cost))
        return None if observations.taken[row] else row


@dataclass(frozen=True)
class Random:
    """Uniformly at random, without repetition."""

    pool: Pool
    seed: int

    def propose(self, observations: Observations) -> int | None:
        """Return a random row."""
        rng = np.random.default_rng([self.seed, int(observations.taken.sum())])
        return random_row(self.pool, observations.taken, rng)
