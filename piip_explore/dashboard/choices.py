"""Designs by their choices: the axes of parallel coordinates, and what is within ranges of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from piip_explore import catalog
from piip_explore.dashboard.figures.contents import Dimension, log_ticks
from piip_explore.dashboard.trials import Bools, Floats, Traits, Trials
from piip_explore.errors import InputError

NONE = "none"
MOST_LINES = 500
"""Designs drawn as lines."""

_MOST_TICKS = 14

Ranges = dict[str, list[list[float]]]
"""The ranges that are kept, by the label of their axis."""


def within(dimensions: Sequence[Dimension], ranges: Ranges) -> Bools:
    """Return which designs are in a range of every axis that has ranges; unknown axes are ignored."""
    mask = np.ones(len(dimensions[0].values), dtype=bool)
    for dimension in dimensions:
        some = ranges.get(dimension.label)
        if some:
            mask &= np.any([(dimension.values >= low) & (dimension.values <= high) for low, high in some], axis=0)
    return mask


def _choice(label: str, values: npt.NDArray[np.integer], names: Mapping[int, str] | None = None) -> Dimension:
    """Return an axis with a tick at every value, or at every second, third, ... where there are many."""
    distinct = np.unique(values)
    shown = distinct[:: -(-len(distinct) // _MOST_TICKS)]
    return Dimension(label, values, {float(value): (names or {}).get(int(value), f"{value}") for value in shown})


def of_trials(trials: Trials, rows: npt.NDArray[np.integer], gflops: Floats) -> list[Dimension]:
    """Return the axes of trials: those of their designs, and the score last."""
    found = of_designs([trials.features[design] for design in trials.designs[rows]], gflops[rows])
    return [*found, Dimension("score", trials.score[rows])]


def of_designs(features: Sequence[Traits], gflops: Floats) -> list[Dimension]:
    """Return the axes of designs: the choices that differ, then GFLOPs.

    Branches are numbered from the largest image. A design with fewer branches passes below the others.
    """
    branches = [one.sizes for one in features]
    models = sorted({model for one in features for model in one.models}, key=lambda model: (_size(model), model))
    found = [_choice("branches", np.array([len(one.sizes) for one in features]))]
    for slot in range(max(map(len, branches))):
        here = [each[slot] if slot < len(each) else (None, 0) for each in branches]
        codes = np.array([models.index(model) if model else -1 for model, _ in here])
        found.append(_choice(f"model {slot + 1}", codes, dict(enumerate(models)) | {-1: NONE}))
        found.append(_choice(f"px {slot + 1}", np.array([pixels for _, pixels in here]), {0: NONE}))
    found.append(_choice("interactions", np.array([one.interactions for one in features])))
    merges = sorted({one.merge for one in features})
    found.append(_choice("merge", np.array([merges.index(one.merge) for one in features]), dict(enumerate(merges))))
    found = [dimension for dimension in found if len(np.unique(dimension.values)) > 1]
    return [*found, Dimension("GFLOPs", np.log10(gflops), log_ticks(float(gflops.min()), float(gflops.max())))]


def _size(model: str) -> float:
    try:
        return float(catalog.model(model).weights)
    except InputError:
        return 0.0
