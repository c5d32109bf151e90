"""What a space demands of a design beyond being valid."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

Accounting = Literal["published", "built"]
ACCOUNTINGS: tuple[str, ...] = get_args(Accounting)


@dataclass(frozen=True)
class Constraints:
    """Limits on the designs of a space; None and False mean no limit.

    `parameter_inverted`: strictly smaller models (by `spec.weights`) at strictly larger resolutions.
    `decreasing_resolution`: resolutions fall strictly from slot to slot (in a pool: no two are equal).
    `max_resolution_ratio`: the largest resolution over the smallest.
    The limits on GFLOPs (10^9 multiply-accumulates under `accounting`) and on millions of parameters need costs: the
    space only carries them, `piip_explore.cost.table` applies them. Limits are inclusive.
    """

    parameter_inverted: bool = False
    decreasing_resolution: bool = False
    max_resolution_ratio: float | None = None
    min_gflops: float | None = None
    max_gflops: float | None = None
    min_mparams: float | None = None
    max_mparams: float | None = None
    accounting: Accounting = "published"
