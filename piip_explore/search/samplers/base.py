"""What a sampler does, choose the next design of a pool, and the two that look at no score."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from piip_explore.search.pool import Pool


@dataclass(frozen=True)
class Observations:
    """What is known about a pool's designs, in the order in which it became known.

    `rows` are rows of the pool, `losses` (len(rows), objectives) their values, all to be minimised, and
    `standard_error` the scores' noise (0: unknown). `taken` is a mask over the pool: designs that are evaluated, under
    way or given up, which are not to be proposed. `pending` are the rows under way.
    """

    rows: npt.NDArray[np.int64]
    losses: npt.NDArray[np.float64]
    standard_error: npt.NDArray[np.float64]
    taken: npt.NDArray[np.bool_]
    pending: npt.NDArray[np.int64]


class Sampler(Protocol):
    """Chooses designs. Proposals depend on the seed and on the observations alone, as far as that can be."""

    def propose(self, observations: Observations) -> int | None:
        """Return a row of the pool that is not taken, None if every row is."""


def random_row(pool: Pool, taken: npt.NDArray[np.bool_], rng: np.random.Generator) -> int | None:
    """Return a row that is not taken, uniformly; None if there is none."""
    for _ in range(64):  # a large pool is mostly free
        row = int(rng.integers(len(pool)))
        if not taken[row]:
            return row
    free = np.flatnonzero(~taken)
    return int(rng.choice(free)) if len(free) else None


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
