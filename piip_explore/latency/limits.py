"""The designs of a space within its limits, latency included. No torch."""

from __future__ import annotations

from piip_explore.cost import table
from piip_explore.cost.table import DesignTable
from piip_explore.errors import InputError
from piip_explore.latency.device_profile import load
from piip_explore.space import SearchSpace
from piip_explore.space.bounds import parse_bound


def enumerate_space(
    space: SearchSpace,
    accounting: str | None = None,
    max_gflops: float | None = None,
    max_latency_ms: str | None = None,
    max_train_gb: str | None = None,
) -> DesignTable:
    """Count every design of a space (`cost.table.enumerate_space`), and keep those within all its limits.

    Args:
        space: the space; its own limits hold as well.
        accounting: what the table's columns count; None is the space's own.
        max_gflops: a further limit, under `accounting`.
        max_latency_ms: a further limit, such as `25@h100`.
        max_train_gb: a further limit, such as `24@16`: 24 GB to train at 16 images per step.

    Raises:
        InputError: what `cost.table.enumerate_space` raises; a limit's profile cannot be read or does not know the
            parts of the space.
    """
    found = table.enumerate_space(space, accounting, max_gflops, max_train_gb)
    limits = (space.constraints.max_latency_ms, max_latency_ms)
    for bound in (parse_bound(text) for text in limits if text is not None):
        latency = 1e3 * load(bound.profile).model.column(found.columns)
        if not (latency <= bound.milliseconds).any():
            raise InputError(
                f"no design of the space '{space.name}' is within {bound.milliseconds:g} ms on {bound.profile}: the "
                f"fastest is predicted to take {latency.min():.4g} ms"
            )
        found = found.rows(latency <= bound.milliseconds)
    return found
