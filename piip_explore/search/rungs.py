"""Fidelity rungs: short runs for all designs, longer ones for those that may be on the front.

Successive halving for several objectives: when a rung is complete, its designs are sorted by non-domination, and the
best are promoted to the next rung; of the last front that does not fit whole, those that add most hypervolume. Every
rung costs as much as the one below or less: of N designs, a rung at fidelity f takes N * (lowest fidelity) / f. A first
rung at fidelity 0 judges designs untrained, by their parts of a supernet.
"""

from __future__ import annotations

from collections.abc import Sequence

from piip_explore.search import pareto
from piip_explore.search.ledger import PoolState

_UNTUNED = 1 / 16
"""Cost of an untuned score, in full runs: seconds beside a minute or two."""


def work(fidelity: float) -> float:
    """Return the cost of a run at a fidelity, in full runs."""
    return fidelity or _UNTUNED


def quota(rungs: Sequence[float], number: int, designs: int) -> int:
    """Return how many of `designs` reach rung `number`; at least one."""
    return min(designs, max(1, int(designs * work(rungs[0]) / work(rungs[number]) + 1e-9)))


def cost(rungs: Sequence[float], designs: int) -> float:
    """Return the training cost of all rungs for `designs` designs, in full runs."""
    return sum(work(fidelity) * quota(rungs, number, designs) for number, fidelity in enumerate(rungs))


class Promotions:
    """Which design of a study of `budget` designs gets a longer run next."""

    def __init__(self, known: PoolState, budget: int) -> None:
        self._known = known
        self._fidelities = known.record.rungs
        self._designs = min(budget, len(known.pool))
        self._best: dict[tuple[int, int, int], list[str]] = {}

    def next(self, more_to_come: bool) -> tuple[int, int] | None:
        """Return the row and the rung of a design that deserves a longer run, None if none does now.

        `more_to_come` says whether new designs may still come to the lowest rung.
        """
        for number in range(len(self._fidelities) - 1, 0, -1):
            below, rung = self._known.ledger.rungs[number - 1], self._known.ledger.rungs[number]
            count = quota(self._fidelities, number, self._designs)
            if below.under_way or self._open(number - 1, more_to_come) or len(rung) >= count:
                continue
            for design_id in self._best_of(number - 1, count):
                row = self._known.row(below.evaluated[design_id])
                if design_id not in rung and row is not None:
                    return row, number
        return None

    def forget(self) -> None:
        """Sort every rung anew: the storage was cut."""
        self._best.clear()

    def _open(self, number: int, more_to_come: bool) -> bool:
        """Whether more designs are to come to a rung."""
        if number == 0:
            return more_to_come
        below, rung = self._known.ledger.rungs[number - 1], self._known.ledger.rungs[number]
        return len(rung) < min(quota(self._fidelities, number, self._designs), len(below.evaluated))

    def _best_of(self, number: int, count: int) -> list[str]:
        """Return the ids of the best `count` designs of a complete rung."""
        rung = self._known.ledger.rungs[number]
        key = (number, len(rung.evaluated), count)
        if key not in self._best:
            ids = [design_id for design_id, trial in rung.evaluated.items() if self._known.row(trial) is not None]
            losses = self._known.losses([rung.evaluated[design_id] for design_id in ids])
            self._best[key] = [ids[row] for row in pareto.best_subset(losses, count)]
        return self._best[key]
