"""The contract of a sampler."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from piip_explore.search.pool import Pool
from piip_explore.search.record import Record
from piip_explore.search.samplers import Observations, Sampler
from piip_explore.testing.synthetic import synthetic_pool, synthetic_scores

SMALL = """
name: small
branches:
  - {models: [vit_tiny, vit_small], resolutions: [448, 672]}
  - {models: [vit_small, vit_base], resolutions: [224, 448]}
interactions: [3, 6]
"""

Floats = npt.NDArray[np.float64]


def losses_of(pool: Pool, seed: int = 0) -> Floats:
    """Return synthetic scores (negated: all is minimised) and GFLOPs of every design, (designs, 2)."""
    return np.stack([-synthetic_scores(pool, seed), pool.costs["gflops_published"]], axis=1)


def observe(
    losses: Floats, rows: Sequence[int], taken: npt.NDArray[np.bool_], pending: Sequence[int] = ()
) -> Observations:
    """Return what a sampler is told when `rows` are known, without noise, and `pending` run."""
    known = np.array(rows, dtype=np.int64)
    return Observations(known, losses[known], np.zeros(len(known)), taken, np.array(pending, dtype=np.int64))


def propose_all(sampler: Sampler, pool: Pool, count: int, seed: int = 0, delay: int = 0) -> list[int]:
    """Ask for `count` rows; each becomes known `delay` proposals later. Return the rows in their order."""
    losses, taken, order = losses_of(pool, seed), np.zeros(len(pool), dtype=bool), list[int]()
    for _ in range(count):
        known = order[: max(0, len(order) - delay)]
        row = sampler.propose(observe(losses, known, taken, order[len(known) :]))
        if row is None:
            break
        assert not taken[row]
        taken[row] = True
        order.append(row)
    return order


class SamplerContract(ABC):
    """Tests of one sampler."""

    draws = True
    """Whether its proposals depend on the seed."""

    @abstractmethod
    def make(self, pool: Pool, record: Record) -> Sampler:
        """Return a new sampler for a pool and a study's record, which has the seed and the objectives."""

    def _run(self, pool: Pool, count: int, seed: int = 0, delay: int = 0) -> list[int]:
        sampler = self.make(pool, Record(space={}, choices={}, evaluator={}, seed=seed))
        return propose_all(sampler, pool, count, seed, delay)

    def test_every_design_is_proposed_exactly_once_and_then_none(self) -> None:
        """A pool that is asked for more than it holds is proposed whole."""
        pool = synthetic_pool(SMALL)
        assert sorted(self._run(pool, len(pool) + 5)) == list(range(len(pool)))

    def test_proposals_repeat_with_the_seed(self) -> None:
        """The same seed and observations give the same proposals; another seed gives others."""
        pool = synthetic_pool()
        first = self._run(pool, 25, seed=3)
        assert first == self._run(pool, 25, seed=3)
        assert (first != self._run(pool, 25, seed=4)) == self.draws

    def test_workers_may_be_ahead_of_results(self) -> None:
        """Designs under way are not proposed again."""
        assert len(set(self._run(synthetic_pool(), 30, delay=7))) == 30

    def test_a_sampler_continues_from_what_others_found(self) -> None:
        """Observations that a sampler did not propose are as good as its own."""
        pool = synthetic_pool()
        taken = np.zeros(len(pool), dtype=bool)
        rows = np.random.default_rng(0).choice(len(pool), 40, replace=False)
        taken[rows] = True
        sampler = self.make(pool, Record(space={}, choices={}, evaluator={}))
        row = sampler.propose(observe(losses_of(pool), rows.tolist(), taken))
        assert row is not None
        assert not taken[row]
