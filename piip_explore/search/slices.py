"""What one choice does to a design's score while its other choices stay: slices through a forest of a study's trials.

The forest is the one that judges which choices matter. A slice is not a measurement: it says what the study's other
trials make of a design that differs from it in one choice.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from piip_explore.errors import InputError
from piip_explore.search.columns import Columns
from piip_explore.search.importance import MIN_TRIALS, codes, forest, newest

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Slice:
    """Scores along one axis: its values in rising order, and per design what is expected at each, and where it is.

    `score` has a row per design and a column per value, and so has `spread`, the standard deviation of the forest's
    trees. `place` is the column of the design's own value.
    """

    axis: str
    values: tuple[Any, ...]
    score: Floats
    spread: Floats
    place: tuple[int, ...]


def slices(columns: Columns, designs: Sequence[int], seed: int = 0) -> tuple[list[Slice], float]:
    """Return the slices through trials (row numbers), the axis that moves the score most first, and the forest's R².

    The R² is that on trials which a tree has not seen.

    Raises:
        InputError: fewer than `MIN_TRIALS` full runs, or no axis with more than one value among them.
    """
    rows = newest(columns)
    if len(rows) < MIN_TRIALS:
        raise InputError(f"slices need {MIN_TRIALS} full runs or more; study '{columns.study}' has {len(rows)}")
    every = np.concatenate([rows, np.asarray(designs, dtype=np.int64)])
    params = columns.params.iloc[every].reset_index(drop=True)
    names, features = codes(params)
    if not names:
        raise InputError(f"all full runs of study '{columns.study}' share every choice: there is nothing to slice")
    learned = forest(features[: len(rows)], columns.values[rows, columns.objectives.index("score")], seed)
    found = []
    for place, name in enumerate(names):
        levels, first = np.unique(features[:, place], return_index=True)
        asked = np.repeat(features[len(rows) :], len(levels), axis=0)
        asked[:, place] = np.tile(levels, len(designs))
        told = np.stack([tree.predict(asked) for tree in learned.estimators_])
        shape = (len(designs), len(levels))
        own = np.searchsorted(levels, features[len(rows) :, place])
        values = tuple(params[name].iloc[row] for row in first)
        found.append(
            Slice(name, values, told.mean(axis=0).reshape(shape), told.std(axis=0).reshape(shape), tuple(own.tolist()))
        )
    found.sort(key=lambda one: -float(np.ptp(one.score, axis=1).max()))
    return found, float(learned.oob_score_)
