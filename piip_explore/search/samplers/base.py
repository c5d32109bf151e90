"""What a sampler does: choose the next design of a pool."""

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
