"""Fidelity rungs: short runs for all designs, longer ones for those that may be on the front.

Successive halving for several objectives: when a rung is complete, its designs are sorted by non-domination, and the
best go on to the next rung; of the last front that does not fit whole, those that add most hypervolume. Every rung
costs as much as the one below or less: of N designs, a rung at fidelity f takes N * (lowest fidelity) / f.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from piip_explore.search import pareto


def quota(rungs: Sequence[float], number: int, designs: int) -> int:
    """Return how many of `designs` reach rung `number`; at least one."""
    return max(1, int(designs * rungs[0] / rungs[number] + 1e-9)) if number else designs


def promoted(ids: Sequence[str], losses: npt.NDArray[np.float64], count: int) -> list[str]:
    """Return the ids of the `count` designs that go on to the next rung, best first."""
    return [ids[row] for row in pareto.best_subset(losses, count)]


def cost(rungs: Sequence[float], designs: int) -> float:
    """Return the training cost of all rungs for `designs` designs, in full runs."""
    return sum(fidelity * quota(rungs, number, designs) for number, fidelity in enumerate(rungs))
