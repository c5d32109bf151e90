"""A space file counted for the page that browses it: aggregates of all designs, and a sample of them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import numpy.typing as npt

from piip_explore.cost.table import DesignTable
from piip_explore.dashboard.choices import of_designs
from piip_explore.dashboard.figures.contents import Dimension
from piip_explore.dashboard.trials import Traits
from piip_explore.latency import enumerate_space
from piip_explore.space import SearchSpace

BINS = 60
MOST_DRAWN = 2000
"""Designs drawn one by one; a larger space shows a random sample, the same every time."""


@dataclass(frozen=True)
class CountedSpace:
    """A space with the cost of every design."""

    space: SearchSpace
    table: DesignTable

    def __len__(self) -> int:
        return len(self.table)

    @cached_property
    def gflops(self) -> npt.NDArray[np.float32]:
        """GFLOPs of every design, (designs,)."""
        return (self.table.macs / 1e9).astype(np.float32)

    @cached_property
    def resolution(self) -> npt.NDArray[np.int16]:
        """Largest resolution of every design in pixels, (designs,)."""
        options = np.array([branch.resolution for branch in self.table.columns.branch_options], dtype=np.int16)
        return np.asarray(options[self.table.columns.branches[:, 0]])

    @cached_property
    def histogram(self) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]:
        """How many designs there are in each of `BINS` equal steps of log GFLOPs, and the steps' edges."""
        logs = np.log10(self.gflops)
        low, high = float(logs.min()), float(logs.max())
        counts, edges = np.histogram(logs, BINS, (low, max(high, low + 0.01)))
        return counts, 10**edges

    @cached_property
    def cheapest(self) -> npt.NDArray[np.int64]:
        """Rows of the front of cost against resolution: no cheaper design has as large an image; cheapest first."""
        rows = []
        least = np.inf
        for pixels in np.unique(self.resolution)[::-1]:
            of_it = np.flatnonzero(self.resolution == pixels)
            row = of_it[np.argmin(self.table.macs[of_it])]
            if self.table.macs[row] < least:
                rows.append(row)
                least = self.table.macs[row]
        return np.array(rows[::-1], dtype=np.int64)

    def within(self, budget: float | None) -> npt.NDArray[np.int64]:
        """Return the rows that cost no more than `budget` GFLOPs."""
        return np.arange(len(self)) if budget is None else np.flatnonzero(self.table.macs <= budget * 1e9)

    def sample(self, many: int, budget: float | None = None) -> npt.NDArray[np.int64]:
        """Return up to `many` random rows within a budget, rising; the same at every call."""
        rows = self.within(budget)
        if len(rows) <= many:
            return rows
        return np.sort(np.random.default_rng(0).choice(rows, many, replace=False))

    def texts(self, rows: npt.NDArray[np.integer]) -> list[str]:
        """Return the designs of rows."""
        return [str(self.table.design(int(row))) for row in rows]

    def dimensions(self, rows: npt.NDArray[np.integer]) -> list[Dimension]:
        """Return the axes of the parallel coordinates of rows: those of their designs, and the parameters last."""
        features = [Traits.of(design) for design in self.texts(rows)]
        found = of_designs(features, self.gflops[rows].astype(np.float64))
        return [*found, Dimension("params (M)", self.table.params[rows] / 1e6)]


def files(folder: Path) -> dict[str, Path]:
    """Return the space files of a folder by name."""
    return {path.stem: path for path in sorted(folder.glob("*.yaml"))}


def count(path: Path, accounting: str) -> CountedSpace:
    """Read and count a space.

    Raises:
        InputError: the file says something impossible, the space is too large to list, or no design is in its limits.
    """
    space = SearchSpace.load(path)
    return CountedSpace(space, enumerate_space(space, accounting))
