"""What the regression knows of a design: a few numbers, most of them logarithms to the base 2, all designs at once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
import numpy.typing as npt

from piip_explore import cost
from piip_explore.catalog import ConvNeXt
from piip_explore.design import Branch, Design
from piip_explore.design.setting import Setting
from piip_explore.space import SpaceColumns

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Feature:
    """One feature, with what is believed of it before any row is seen.

    A unit more is worth `slope` points of box AP, give or take `spread` (one standard deviation), other things equal;
    `center` is subtracted first. What the features do beyond a straight line changes over about `length` units.
    """

    name: str
    center: float
    slope: float
    spread: float
    length: float


FEATURES = (
    Feature("weights", 6.5, 0.8, 0.4, 1.5),
    Feature("compute", 8.5, 0.8, 0.4, 1.5),
    Feature("output resolution", 10.0, 1.2, 0.5, 0.7),
    Feature("mean resolution", 9.5, 1.0, 0.7, 1.0),
    Feature("interactions", 3.7, 0.5, 0.25, 3.0),
    Feature("merged branches", 0.0, 0.6, 0.3, 1.5),
    Feature("several branches", 1.0, 0.0, 0.8, 0.7),
    Feature("merge width", 9.6, 0.7, 0.5, 1.5),
    Feature("CNN at the highest resolution", 0.0, 0.0, 2.0, 0.7),
    Feature("CNN elsewhere", 0.0, 0.0, 1.0, 0.7),
    Feature("CNN alone", 0.0, 0.0, 2.0, 0.7),
    Feature("regular attention", 0.0, -0.3, 0.6, 0.7),
    Feature("one way", 0.0, 0.0, 0.75, 0.7),
)
"""More weights, compute, resolution, interactions and merged branches never hurt here; only kinds may.

`weights` (millions) and `compute` (GFLOPs) are of all branches, without the interactions: what these cost says little
of what they are worth. `output resolution` is the highest of the branches that are merged, `mean resolution` the
geometric mean of all. `interactions` is log2(1 + their number), one way counted as half of both. `merged branches` is
the share of branches that are merged, `merge width` the width of the merged map: a narrow branch at the lowest
resolution narrows it for all. Regular attention and interactions of one way are in no published row here. That the
papers chose the others is all that is known of the first; the second lies between none and both, and its spread is that
of a number anywhere between the two, which are published 2.6 points apart.
"""

NAMES = tuple(feature.name for feature in FEATURES)


def of_designs(designs: Sequence[Design]) -> Floats:
    """Return the features of designs, `(designs, features)`."""
    return of_columns(SpaceColumns.of(designs))


def of_columns(columns: SpaceColumns) -> Floats:
    """Return the features of the designs of columns, `(designs, features)`."""
    settings, setting = columns.settings, columns.setting
    facts = np.array([_facts(branch) for branch in columns.branch_options]).T
    there, places = columns.branches >= 0, columns.branches.shape[1]
    resolution, weights, macs, width, cnn = (np.where(there, fact[columns.branches], 0.0) for fact in facts)
    count = there.sum(axis=1)
    several = (count > 1).astype(float)
    merges = [[merge.out is None or place + 1 in merge.out for place in range(places)] for _, merge in settings]
    merged = np.array(merges)[setting] & there
    of_setting = {
        (name, value): np.array([one is not None and getattr(one, name) == value for one, _ in settings])[setting]
        for name, value in (("attention", "regular"), ("direction", "up"), ("direction", "down"))
    }
    found = {
        "weights": np.log2(weights.sum(axis=1) / 1e6),
        "compute": np.log2(macs.sum(axis=1) / 1e9),
        "output resolution": np.log2(np.where(merged, resolution, 1.0).max(axis=1)),
        "mean resolution": np.log2(np.where(there, resolution, 1.0)).sum(axis=1) / count,
        "interactions": np.log2(1 + _interactions(settings, places)[setting, count - 1]),
        "merged branches": np.log2(merged.sum(axis=1) / count),
        "several branches": np.log2(count),
        "merge width": np.log2(np.take_along_axis(width, count[:, None] - 1, axis=1)[:, 0]),
        "CNN at the highest resolution": several * cnn[:, 0],
        "CNN elsewhere": several * cnn[:, 1:].sum(axis=1) / np.maximum(count - 1, 1),
        "CNN alone": (1 - several) * cnn[:, 0],
        "regular attention": several * of_setting["attention", "regular"],
        "one way": several * (of_setting["direction", "up"] | of_setting["direction", "down"]),
    }
    return np.column_stack([found[name] for name in NAMES]).astype(np.float64)


@cache
def _facts(branch: Branch) -> tuple[float, ...]:
    """Return resolution, weights, multiply-accumulates, width, and whether it is a CNN."""
    spec = branch.spec
    macs = cost.count(Design((branch,)), accounting="published").macs
    return branch.resolution, spec.weights, macs, spec.out_dim, isinstance(spec, ConvNeXt)


def _interactions(settings: Sequence[Setting], places: int) -> Floats:
    """Return the number of interactions by setting and number of branches less one, one way counted as half."""
    return np.array(
        [
            [one.count * len(one.pairs(n)) / (2 * (n - 1)) if one and n > 1 else 0.0 for n in range(1, places + 1)]
            for one, _ in settings
        ]
    )
