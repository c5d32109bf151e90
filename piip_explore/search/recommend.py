"""What if: the best designs of a study within any limits, from what is stored. Nothing is trained.

study = columns.read("studies/coco_tsb.journal", "coco_tsb")
answer = recommend(study, {"gflops": 300.0, "mparams": 200.0})
study.attributes["design"][answer.simplest]
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from piip_explore.design import Design
from piip_explore.errors import InputError, expected
from piip_explore.search.columns import Columns

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Price:
    """What one limit costs: how much higher the best score is without it, the others kept.

    `best` is the row of the best design without it, `gain` the difference of the scores, 0 where the limit excludes
    nothing better; `noise` the standard error of that difference (0 where unknown). `gain` is infinite where nothing is
    within all limits, and `best` None where nothing is within the others either.
    """

    limit: str
    bound: float
    best: int | None
    gain: float
    noise: float


@dataclass(frozen=True)
class Recommendation:
    """The answer to one set of limits; rows are those of the study's columns.

    Attributes:
        designs: how many designs are evaluated in full and have every cost that is limited.
        unknown: how many more are evaluated in full but lack one.
        within: rows within all limits, the highest score first.
        equal: those that the best does not beat by more than the standard error of the difference, the simplest first:
            fewest branches, then interactions, then GFLOPs. The best itself is one of them.
        prices: what every limit costs, in the order of the limits.
    """

    designs: int
    unknown: int
    within: npt.NDArray[np.int64]
    equal: npt.NDArray[np.int64]
    prices: tuple[Price, ...]

    @property
    def best(self) -> int | None:
        """Row of the highest score, None where nothing is within the limits."""
        return int(self.within[0]) if len(self.within) else None

    @property
    def simplest(self) -> int | None:
        """Row of the simplest design that is as good as the best within noise, None where nothing is."""
        return int(self.equal[0]) if len(self.equal) else None


def recommend(
    columns: Columns, limits: Mapping[str, float], costs: Mapping[str, Floats] | None = None
) -> Recommendation:
    """Return the best designs within limits, the simplest as good within noise, and what each limit costs.

    Takes milliseconds for thousands of trials, so that a page may ask again at every move of a slider.

    Args:
        columns: a study's trials (`columns.read`); those evaluated in full count.
        limits: the most of each cost, inclusive, by the cost's name: one that the study has (`Columns.costs`), or one
            of `costs`. Empty: no limit.
        costs: further costs, a value for every row of `columns`, NaN where unknown.

    Raises:
        InputError: a limit that is not above 0, or on a cost that nobody knows.
    """
    known = {**columns.costs, **(costs or {})}
    for name, bound in limits.items():
        if name not in known:
            raise InputError(f"no limit on '{name}': {expected(name, known)}")
        if not bound > 0:
            raise InputError(f"limit {name} {bound:g}: expected a number above 0")
    scores, errors = _scores(columns), np.nan_to_num(columns.standard_error)
    full = np.flatnonzero(columns.full)
    limited = np.array([known[name][full] for name in limits]).reshape(len(limits), len(full))
    whole = np.flatnonzero(~np.isnan(limited).any(axis=0))
    best_first = whole[np.argsort(-scores[full[whole]], kind="stable")]
    rows, fits = full[best_first], limited[:, best_first] <= np.array(list(limits.values()))[:, None]
    within = rows[fits.all(axis=0)]
    best = within[:1]
    equal = within[scores[best] - scores[within] <= np.hypot(errors[best], errors[within])]
    prices = []
    for place, (name, bound) in enumerate(limits.items()):
        freed = rows[np.delete(fits, place, axis=0).all(axis=0)]
        gain, noise = float("inf"), 0.0
        if len(within):
            gain = float(scores[freed[0]] - scores[within[0]])
            noise = float(np.hypot(errors[freed[0]], errors[within[0]]))
        prices.append(Price(name, bound, int(freed[0]) if len(freed) else None, gain, noise))
    equal = _simplest_first(columns, equal, known["gflops"])
    return Recommendation(len(rows), len(full) - len(rows), within, equal, tuple(prices))


def _scores(columns: Columns) -> Floats:
    if "score" not in columns.objectives:
        raise InputError(
            f"study '{columns.study}' has no score to recommend by: it has {', '.join(columns.objectives)}"
        )
    values: Floats = columns.values[:, columns.objectives.index("score")]
    return values


def _simplest_first(columns: Columns, rows: npt.NDArray[np.int64], gflops: Floats) -> npt.NDArray[np.int64]:
    def complexity(row: int) -> tuple[int, int, float]:
        design = Design.parse(str(columns.attributes["design"].iloc[row]))
        return len(design.branches), design.interaction.count if design.interaction else 0, float(gflops[row])

    return np.array(sorted(rows.tolist(), key=complexity), dtype=np.int64)
