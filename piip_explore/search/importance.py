"""Which choices matter: how much of each objective's variation an axis explains in a study's results.

A random forest learns an objective from the axes; an axis' importance is how much the forest's error grows when that
axis is shuffled (permutation importance), as a share of all axes' sum. The forest's R² on trials that it has not seen
says how far to trust that.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import pandas as pd

from piip_explore.errors import InputError
from piip_explore.search.columns import Columns

if TYPE_CHECKING:
    from sklearn.ensemble import RandomForestRegressor

MIN_TRIALS = 12
_MAX_TRIALS = 5_000
_TREES = 100


def importance(columns: Columns, seed: int = 0) -> pd.DataFrame:
    """Return one row per axis, the most important for the score first, with a column per objective (shares of 1).

    The table's `attrs["r2"]` maps each objective to the forest's R² on unseen trials; `attrs["trials"]` counts the
    full runs used, the newest of very many.

    Raises:
        InputError: fewer than `MIN_TRIALS` full runs, or no axis with more than one value among them.
    """
    from sklearn.inspection import permutation_importance

    rows = newest(columns)
    if len(rows) < MIN_TRIALS:
        raise InputError(f"importance needs {MIN_TRIALS} full runs or more; study '{columns.study}' has {len(rows)}")
    names, features = codes(columns.params.iloc[rows])
    if not columns.params.iloc[rows].notna().any(axis=None):
        raise InputError(
            f"the full runs of study '{columns.study}' record no choices of a space: there are none to judge"
        )
    if not names:
        raise InputError(f"all full runs of study '{columns.study}' share every choice: there is nothing to compare")
    shares, scores = {}, {}
    for place, objective in enumerate(columns.objectives):
        target = columns.values[rows, place]
        learned = forest(features, target, seed)
        gains = permutation_importance(learned, features, target, n_repeats=5, random_state=seed).importances_mean
        gains = np.clip(gains, 0.0, None)
        shares[objective] = gains / gains.sum() if gains.sum() else np.zeros(len(names))
        scores[objective] = float(learned.oob_score_)
    first = "score" if "score" in shares else columns.objectives[0]
    table = pd.DataFrame({"axis": names, **shares}).sort_values(first, ascending=False, ignore_index=True)
    table.attrs = {"r2": scores, "trials": len(rows)}
    return table


def newest(columns: Columns) -> npt.NDArray[np.int64]:
    """Return the rows of the full runs that a forest learns from: the newest of very many."""
    return np.flatnonzero(columns.full)[-_MAX_TRIALS:]


def forest(features: npt.NDArray[np.float64], target: npt.NDArray[np.float64], seed: int) -> RandomForestRegressor:
    """Return a random forest that has learned a target from choices."""
    from sklearn.ensemble import RandomForestRegressor

    learned = RandomForestRegressor(_TREES, oob_score=True, random_state=seed, min_samples_leaf=2)
    return learned.fit(features, target)


def codes(params: pd.DataFrame) -> tuple[list[str], npt.NDArray[np.float64]]:
    """Return the axes that vary and their values as numbers: themselves, or the rank of a text."""
    names, features = [], []
    for name in params:
        column = params[name]
        numbers = pd.to_numeric(column, errors="coerce")
        values = numbers if numbers.notna().all() else pd.Series(pd.factorize(column, sort=True)[0])
        if values.nunique() > 1:
            names.append(str(name))
            features.append(values.to_numpy(dtype=np.float64))
    return names, np.stack(features, axis=1) if features else np.empty((len(params), 0))


def to_text(table: pd.DataFrame) -> str:
    """Return the table as lines for a terminal."""
    shown = table.to_string(index=False, float_format=lambda share: f"{share:.0%}")
    trust = ", ".join(f"{name} {r2:.2f}" for name, r2 in table.attrs["r2"].items())
    return f"{shown}\n\nfrom {table.attrs['trials']} full runs; the forest's R² on unseen trials: {trust}"
