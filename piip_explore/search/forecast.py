"""How long a search will take: before the first evaluation from costs, then from what evaluations have taken."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from piip_explore.search.evaluators import Evaluator
from piip_explore.search.pool import Pool
from piip_explore.terminal import duration

_SAMPLES = 32
"""Designs of a pool that stand for all of it, spread over its costs."""

_SPREAD = 2.0
"""An evaluation takes up to so many times what its steps take alone: with its start, its validation, other workers."""


@dataclass(frozen=True)
class Forecast:
    """What is expected before the first evaluation.

    Attributes:
        full_run: seconds of a full run of one design, at least.
        preparation: seconds of what is made once before, by what it is; empty where all is in the cache.
        work: full runs to do, as many as `workers` at once.
    """

    full_run: float
    work: float
    workers: int
    preparation: Mapping[str, float] = field(default_factory=dict)

    def lines(self) -> list[str]:
        """Return the forecast in words: ranges, until designs have been evaluated."""
        once, runs = sum(self.preparation.values()), self.full_run * self.work / self.workers
        each = f"{duration(self.full_run)} to {duration(_SPREAD * self.full_run)} a design"
        total = f"{duration(once + runs)} to {duration(once + _SPREAD * runs)} in all"
        lines = [f"about {each}, {total}; the first designs will tell"]
        if self.preparation:
            parts = ", ".join(f"{what} {duration(seconds)}" for what, seconds in self.preparation.items())
            lines.append(f"of it once, then cached: {parts}")
        return lines


def forecast(evaluator: Evaluator, pool: Pool, work: float, devices: Sequence[str], cores: int) -> Forecast | None:
    """Return what to expect of `work` full runs of a pool's designs, None where the evaluator cannot tell.

    Workers share the machine's `cores`.
    """
    expect = getattr(evaluator, "expect_seconds", None)
    if expect is None or work <= 0:
        return None
    order = np.argsort(pool.costs["gflops_built"], kind="stable")
    step = max(1, len(order) // _SAMPLES)
    designs = [pool.design(row) for row in order[step // 2 :: step].tolist()]
    try:
        full_run, preparation = expect(designs, devices[0], max(1, cores // len(devices)))
    except Exception:  # whatever it is: evaluations will raise it too, where it is told and charged to what is at fault
        return None
    workers = len(devices) if devices[0].startswith("cuda") else min(len(devices), cores)
    return Forecast(full_run, work, workers, preparation)


@dataclass
class Clock:
    """The time left of a search that runs: `forecast` at first, then what its evaluations take.

    `began` is when it began, `seconds` and `work` are of the evaluations that have ended since: wall time of training
    and full runs.
    """

    forecast: Forecast | None
    began: float = field(default_factory=time.monotonic)
    seconds: float = 0.0
    work: float = 0.0

    def ended(self, seconds: float, work: float) -> None:
        """Take note of an evaluation that took so long."""
        self.seconds += seconds
        self.work += work

    def left(
        self, work: float, workers: int, under_way: Sequence[tuple[float, float]], preparing: Sequence[float]
    ) -> float | None:
        """Return the seconds left, None while nothing tells.

        Args:
            work: full runs to do, without what is under way.
            workers: how many evaluate.
            under_way: for each evaluation that trains, seconds so far and full runs done.
            preparing: for each that prepares, the seconds that its phase still takes.
        """
        seconds = self.seconds + sum(so_far for so_far, _ in under_way)
        done = self.work + sum(share for _, share in under_way)
        if done > 0.02:
            full_run = seconds / done
        elif self.forecast is not None:
            full_run = (1 + _SPREAD) / 2 * self.forecast.full_run
        else:
            return None
        before = max(preparing, default=0.0)
        if self.forecast is not None and not done:
            expected = sum(self.forecast.preparation.values()) - (time.monotonic() - self.began)
            before = max(before, expected)
        return before + full_run * work / max(1, workers)
