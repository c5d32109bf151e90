"""Designs as integer columns: all of a space, or those of a list."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from piip_explore.design import Branch, Design
from piip_explore.design.setting import Setting
from piip_explore.space.chains import list_chains
from piip_explore.space.tables import Tables


@dataclass(frozen=True)
class SpaceColumns:
    """Designs, one row each, as codes into two small tables; of a space, all that are structurally valid.

    `branches` is `(n, max_branches)` and column-major: row i holds the codes into `branch_options` of design i's
    branches from the highest resolution to the lowest, as in `Design.sorted()`, then -1 where there are fewer branches.
    `setting` is `(n,)`: codes into `settings`. Codes are the smallest integers that hold them (int8, int16, ...).
    Limits on GFLOPs and parameters are not applied here.
    """

    branch_options: tuple[Branch, ...]
    settings: tuple[Setting, ...]
    branches: npt.NDArray[np.signedinteger]
    setting: npt.NDArray[np.integer]

    @classmethod
    def of(cls, designs: Sequence[Design]) -> SpaceColumns:
        """Return a list of designs, which may be empty, as columns."""
        ordered = [design.sorted() for design in designs]
        options = {branch: code for code, branch in enumerate({b: None for one in ordered for b in one.branches})}
        settings = {setting: code for code, setting in enumerate({(d.interaction, d.merge): None for d in ordered})}
        places = max((len(design.branches) for design in ordered), default=1)
        branches = np.full((len(ordered), places), -1, order="F")
        for row, design in enumerate(ordered):
            branches[row, : len(design.branches)] = [options[branch] for branch in design.branches]
        setting = np.array([settings[design.interaction, design.merge] for design in ordered], int)
        return cls(tuple(options), tuple(settings), branches, setting)

    def __len__(self) -> int:
        return len(self.setting)

    def design(self, row: int) -> Design:
        """Return the design of a row."""
        branches = (self.branch_options[code] for code in self.branches[row] if code >= 0)
        return Design(tuple(branches), *self.settings[self.setting[row]])

    def rows(self, wanted: slice | npt.NDArray[np.bool_]) -> SpaceColumns:
        """Return a slice of the rows, or those where a mask (n,) is true."""
        branches = np.stack([column[wanted] for column in self.branches.T])
        return replace(self, branches=branches.T, setting=self.setting[wanted])


@dataclass(frozen=True)
class SpaceBlock:
    """A dense part of a space: row `start + i * len(settings) + j` is chain i with setting j."""

    start: int
    chains: npt.NDArray[np.signedinteger]
    settings: npt.NDArray[np.integer]

    @property
    def end(self) -> int:
        """The row after the last."""
        return self.start + len(self.chains) * len(self.settings)

    def find(self, codes: Sequence[int]) -> int:
        """Return the number of the chain with these branch codes, which must be there."""
        low, high = 0, len(self.chains)
        for place, code in enumerate(codes):
            column = self.chains[low:high, place]
            first, last = np.searchsorted(column, [code]), np.searchsorted(column, [code], "right")
            low, high = low + int(first[0]), low + int(last[0])
        assert high == low + 1
        return low


def blocks(tables: Tables) -> tuple[SpaceBlock, ...]:
    """Return the space as dense blocks, one for every group of settings."""
    found: list[SpaceBlock] = []
    for group in tables.groups:
        found.append(SpaceBlock(found[-1].end if found else 0, list_chains(tables, group), group.settings))
    return tuple(found)


def columns(tables: Tables, parts: Sequence[SpaceBlock]) -> SpaceColumns:
    """Return all rows of the blocks of a space."""
    total = parts[-1].end if parts else 0
    width = max((part.chains.shape[1] for part in parts), default=0)
    branches = np.full((total, width), -1, np.min_scalar_type(-len(tables.branches)), order="F")
    setting = np.empty(total, np.min_scalar_type(len(tables.settings)))
    for part in parts:
        rows = slice(part.start, part.end)
        for place, column in enumerate(part.chains.T):
            branches[rows, place] = np.repeat(column, len(part.settings))
        setting[rows] = np.tile(part.settings.astype(setting.dtype), len(part.chains))
    return SpaceColumns(tables.branches, tables.settings, branches, setting)
