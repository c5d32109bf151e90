"""Costs of a study's designs that are predicted, whatever the study was searched for: latency, and memory to train."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from piip_explore.cost import training_memory
from piip_explore.design import Design
from piip_explore.latency import DeviceProfile
from piip_explore.search.columns import Columns

Floats = npt.NDArray[np.float64]


def latency_ms(columns: Columns, profile: DeviceProfile) -> Floats:
    """Return the milliseconds of every trial's design on the device of a profile, NaN where a trial has no design.

    Raises:
        InputError: the profile does not know the parts of a design.
    """
    return _of_designs(columns, lambda design: 1e3 * profile.model.seconds(design))


def train_gb(columns: Columns, batch: int) -> Floats:
    """Return the GB that training every trial's design takes at a batch (`training_gb`), NaN where it has none."""
    return _of_designs(columns, lambda design: training_memory(design, batch))


def _of_designs(columns: Columns, cost: Callable[[Design], float]) -> Floats:
    if "design" not in columns.attributes:
        return np.full(len(columns), np.nan)
    texts = columns.attributes["design"]
    known = {text: cost(Design.parse(str(text))) for text in texts.dropna().unique()}
    return np.array([known.get(text, np.nan) for text in texts], dtype=np.float64)
