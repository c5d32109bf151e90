"""How far to trust the regression: every table of published results expected from the others alone."""

from __future__ import annotations

from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from piip_explore.design import Design
from piip_explore.predict.expectation import SIGMAS, VAGUE
from piip_explore.predict.features import Floats, of_designs
from piip_explore.predict.regression import SCALE, Regression
from piip_explore.predict.rows import Published, published_rows
from piip_explore.predict.support import Support


@dataclass(frozen=True)
class Held:
    """Published rows of a table that was left out, with what the others made the regression expect of them.

    `told` says which rows' expectation would have been told: the others have rows of its recipe and like its design.
    """

    table: str
    rows: Published
    mean: Floats
    deviation: Floats
    told: npt.NDArray[np.bool_]

    @property
    def inside(self) -> npt.NDArray[np.bool_]:
        """Which rows are within the 80 % interval."""
        return np.abs(self.rows.value - self.mean) <= SIGMAS * self.deviation


def leave_tables_out() -> list[Held]:
    """Return every table, expected from the rows of all others.

    Rows elsewhere of a design that the table has are left out with it: they would give the answer away.
    """
    every = published_rows()
    tables = np.array(every.table)
    held = []
    for table in dict.fromkeys(every.table):
        mine = every[tables == table]
        regression = _without(every, {design.id for design in mine.design}, table)
        told = np.array([_tells(regression, mine, row) for row in range(len(mine))])
        held.append(Held(table, mine, *regression.predict_rows(mine), told))
    return held


def expected_elsewhere(designs: Sequence[Design], metrics: Sequence[str], tables: Sequence[str]) -> Floats:
    """Return what is expected of designs, those of one table given the published rows of all other designs.

    Every design gets an expectation here, even one unlike anything published: it serves to rank, not to promise.
    """
    mean = np.full(len(designs), np.nan)
    for table, metric in dict.fromkeys(zip(tables, metrics, strict=True)):
        mine = [row for row, found in enumerate(zip(tables, metrics, strict=True)) if found == (table, metric)]
        chosen = tuple(designs[row] for row in mine)
        regression = _without(published_rows(), {design.id for design in chosen}, table)
        mean[mine] = regression.predict(metric, of_designs(chosen))[0]
    return mean


def stacked(expected: Floats, score: Floats, value: Floats, tables: Sequence[str]) -> Floats:
    """Return expectations corrected by a proxy's scores, each table by what the others teach.

    What the correction learns is, within tables, how far the published `value` departs from `expected` as either of
    the two goes up: a Bayesian ridge regression (MacKay 1992), which leaves the expectation alone where the score adds
    nothing. NaN where either is missing or there is no other table to learn from.
    """
    from sklearn.linear_model import BayesianRidge

    names = np.array(tables, object)
    known = ~(np.isnan(expected) | np.isnan(score))
    result = np.full(len(value), np.nan)
    for table in dict.fromkeys(tables):
        mine, others = known & (names == table), known & (names != table)
        if not mine.any() or others.sum() < 3:
            continue
        inputs, target = np.column_stack([expected, score]), (value - expected)[:, None]
        spread = _within(inputs, names, others)[others].std(axis=0) + 1e-9
        learned = BayesianRidge(fit_intercept=False).fit(
            _within(inputs, names, others)[others] / spread, _within(target, names, others)[others, 0]
        )
        result[mine] = expected[mine] + learned.predict(_within(inputs, names, mine)[mine] / spread)
    return result


def _within(columns: Floats, names: npt.NDArray[np.object_], keep: npt.NDArray[np.bool_]) -> Floats:
    """Return columns less their mean over the kept rows of each table."""
    centered = columns.copy()
    for name in set(names[keep]):
        centered[names == name] -= columns[keep & (names == name)].mean(axis=0)
    return centered


def _without(every: Published, designs: AbstractSet[str], table: str) -> Regression:
    """Return the regression on the rows of other tables and of designs with other ids."""
    others = np.array([design.id not in designs for design in every.design])
    return Regression(every[others & (np.array(every.table) != table)])


def _tells(regression: Regression, rows: Published, row: int) -> bool:
    design, metric = rows.design[row], rows.metric[row]
    if rows.recipe[row] not in regression.rows.recipe or Support(regression.rows, metric).reasons(design):
        return False
    _, deviation = regression.predict(metric, of_designs([design]))
    return bool(deviation[0] <= VAGUE * SCALE[metric])
