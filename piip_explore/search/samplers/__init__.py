"""Samplers by name, and the one to use when none is named."""

from __future__ import annotations

from dataclasses import dataclass

from piip_explore.errors import InputError, expected
from piip_explore.search.pool import Pool
from piip_explore.search.record import Record
from piip_explore.search.samplers.base import Exhaustive, Observations, Random, Sampler

__all__ = ["SAMPLERS", "Choice", "Observations", "Sampler", "check_sampler", "choose", "make"]

SAMPLERS = {
    "exhaustive": "every design once, the cheapest first",
    "random": "uniformly at random, without repetition",
    "gp": "a Gaussian process of the score; costs are known exactly",
    "tpe": "Optuna's multivariate tree-structured Parzen estimator",
    "nsga2": "Optuna's NSGA-II",
    "nsga3": "Optuna's NSGA-III",
}
"""Names of the samplers and what they do."""

_GP_BUDGET = 2_000


@dataclass(frozen=True)
class Choice:
    """A sampler's name and why it was chosen."""

    name: str
    reason: str


def check_sampler(name: str | None) -> None:
    """Check the name of a sampler.

    Raises:
        InputError: an unknown name.
    """
    if name is not None and name not in ("auto", *SAMPLERS):
        raise InputError(f"unknown sampler '{name}': {expected(name, ['auto', *SAMPLERS])}")


def choose(name: str | None, pool: Pool, trials: int, record: Record) -> Choice:
    """Return the named sampler, or the one that fits the space, the budget and the objectives.

    Raises:
        InputError: an unknown name.
    """
    check_sampler(name)
    if name is not None and name != "auto":
        return Choice(name, "as asked")
    if len(pool) <= trials:
        return Choice("exhaustive", f"the budget covers every design of the space ({len(pool):,})")
    if trials > _GP_BUDGET:
        return Choice("nsga2", f"a budget of {trials:,} designs is beyond what a Gaussian process is fast for")
    if _one_known_cost(record):
        return Choice("gp", f"{trials:,} of {len(pool):,} designs, and their costs are known before training")
    return Choice("tpe", f"{trials:,} of {len(pool):,} designs with {len(record.objectives)} objectives")


def make(name: str, pool: Pool, record: Record) -> Sampler:
    """Make a sampler by name."""
    if not pool.axes or name == "exhaustive":  # without axes there is one design
        return Exhaustive(pool, record.gflops)
    if name == "random":
        return Random(pool, record.seed)
    if name == "gp" and _one_known_cost(record):
        from piip_explore.search.samplers.expected_hypervolume import ExpectedHypervolume

        score = record.objectives.index("score")
        cost = record.cost_column(record.objectives[1 - score])
        assert cost is not None
        return ExpectedHypervolume(pool, record.seed, cost, score, 1 - score)
    from piip_explore.search.samplers.optuna_sampler import OptunaSampler

    return OptunaSampler(pool, name, record.seed, len(record.objectives))


def _one_known_cost(record: Record) -> bool:
    others = [name for name in record.objectives if name != "score"]
    return len(others) == 1 and record.cost_column(others[0]) is not None
