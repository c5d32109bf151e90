"""The costs of all designs of a space at once: exact sums of columns. No torch once the parts are kept."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from piip_explore.cost.accounting import rules
from piip_explore.cost.lookup import Lookup
from piip_explore.design import Design
from piip_explore.errors import InputError
from piip_explore.space import SearchSpace, SpaceColumns

Integers = npt.NDArray[np.int64]
_ROWS = 1 << 16
"""Designs summed at a time: what is at hand of them stays in a core's cache."""


@dataclass(frozen=True)
class DesignTable:
    """All designs of a space within its limits, with their costs under one accounting.

    `macs` and `params` are `(n,)`, one entry for every row of `columns`.
    """

    accounting: str
    columns: SpaceColumns
    macs: Integers
    params: Integers

    def __len__(self) -> int:
        return len(self.macs)

    def design(self, row: int) -> Design:
        """Return the design of a row."""
        branches = (self.columns.branch_options[code] for code in self.columns.branches[row] if code >= 0)
        return Design(tuple(branches), *self.columns.settings[self.columns.setting[row]])

    def rows(self, wanted: npt.NDArray[np.bool_]) -> DesignTable:
        """Return the table of the rows where `wanted` (n,) is true."""
        columns = replace(
            self.columns,
            branches=np.asfortranarray(np.stack([column[wanted] for column in self.columns.branches.T], axis=1)),
            setting=self.columns.setting[wanted],
        )
        return replace(self, columns=columns, macs=self.macs[wanted], params=self.params[wanted])


def enumerate_space(space: SearchSpace, accounting: str | None = None, max_gflops: float | None = None) -> DesignTable:
    """Count every design of a space, and keep those within its limits.

    Args:
        space: the space; its own limits on GFLOPs hold under its own accounting.
        accounting: what the table's columns count; None is the space's own.
        max_gflops: a further limit, under `accounting`.

    Raises:
        InputError: there is no such accounting, the space is too large to list, or no design is within the limits.
    """
    limits = space.constraints
    accounting = accounting or limits.accounting
    rules(accounting)
    table = count_columns(space.columns(), limits.accounting)
    within = _between(table.macs, 1e9, limits.min_gflops, limits.max_gflops)
    within &= _between(table.params, 1e6, limits.min_mparams, limits.max_mparams)
    if not within.all():
        table = table.rows(within)
    if accounting != limits.accounting:
        table = count_columns(table.columns, accounting)
    if max_gflops is not None:
        table = table.rows(_between(table.macs, 1e9, None, max_gflops))
    if len(table) == 0:
        raise InputError(
            f"no design of the space '{space.name}' is within its limits"
            + (f" and {max_gflops:g} GFLOPs ({accounting})" if max_gflops is not None else "")
            + ": raise max_gflops or max_mparams, or lower min_gflops or min_mparams"
        )
    return table


def _between(values: Integers, unit: float, least: float | None, most: float | None) -> npt.NDArray[np.bool_]:
    low = -np.inf if least is None else least * unit
    high = np.inf if most is None else most * unit
    return (values >= low) & (values <= high)


def count_columns(columns: SpaceColumns, accounting: str) -> DesignTable:
    """Count every row of `columns`, on all cores."""
    lookup = Lookup(columns, rules(accounting))
    macs, params = np.empty(len(columns.setting), np.int64), np.empty(len(columns.setting), np.int64)

    def count(start: int) -> None:
        rows = slice(start, start + _ROWS)
        macs[rows], params[rows] = lookup.sums(rows).T

    with ThreadPoolExecutor() as threads:
        list(threads.map(count, range(0, len(macs), _ROWS)))
    return DesignTable(accounting, columns, macs, params)
