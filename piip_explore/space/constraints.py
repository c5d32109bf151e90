"""What a space demands of a design beyond being valid."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
import numpy.typing as npt

from piip_explore.design import Branch

Accounting = Literal["published", "built"]
ACCOUNTINGS: tuple[str, ...] = get_args(Accounting)


@dataclass(frozen=True)
class Constraints:
    """Limits on the designs of a space; None and False mean no limit.

    `parameter_inverted`: strictly smaller models (by `spec.weights`) at strictly larger resolutions.
    `decreasing_resolution`: resolutions fall strictly from slot to slot (in a pool: no two are equal).
    `max_resolution_ratio`: the largest resolution over the smallest.
    The limits on GFLOPs (10^9 multiply-accumulates) and on millions of parameters, both as `accounting` counts, need
    costs: the space only carries them, `piip_explore.cost.table` applies them. So does `piip_explore.latency` with
    `max_latency_ms`, a text such as `25@h100`: milliseconds as predicted from a device profile. `max_train_gb`, such as
    `24@16`, limits what fp32 training with AdamW takes: GB at so many images per step. Limits are inclusive.
    """

    parameter_inverted: bool = False
    decreasing_resolution: bool = False
    max_resolution_ratio: float | None = None
    min_gflops: float | None = None
    max_gflops: float | None = None
    min_mparams: float | None = None
    max_mparams: float | None = None
    accounting: Accounting = "published"
    max_latency_ms: str | None = None
    max_train_gb: str | None = None

    def follows(self, branches: Sequence[Branch]) -> npt.NDArray[np.bool_]:
        """Return the matrix of which branch may come after which in a design, both in the order of `branches`.

        `branches` are in the order of `Design.sorted()`; all rules here are transitive, so neighbours suffice.
        """
        codes = np.arange(len(branches))
        matrix = codes[:, None] <= codes
        resolution = np.array([branch.resolution for branch in branches])
        weights = np.array([branch.spec.weights for branch in branches])
        if self.parameter_inverted or self.decreasing_resolution:
            matrix &= resolution[:, None] > resolution
        if self.parameter_inverted:
            matrix &= weights[:, None] < weights
        return matrix

    def reach(self, branches: Sequence[Branch]) -> npt.NDArray[np.intp]:
        """Return for every branch, as the first of a design, the number of branches that may be its last.

        `branches` fall in resolution, so those within `max_resolution_ratio` come first.
        """
        resolution = np.array([branch.resolution for branch in branches])
        if self.max_resolution_ratio is None:
            return np.full(len(branches), len(branches))
        within = resolution * self.max_resolution_ratio >= resolution[:, None]
        return np.asarray(np.count_nonzero(within, axis=1))
