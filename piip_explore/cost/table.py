"""The costs of all designs of a space at once: exact sums of columns. No torch once the parts are cached."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import Any

import numpy as np
import numpy.typing as npt

from piip_explore.cost.design_memory import training_gb, working_sets
from piip_explore.cost.pair_tables import PairTables, TermsOf
from piip_explore.cost.terms import RULES, rules, terms
from piip_explore.design import Design
from piip_explore.errors import InputError
from piip_explore.space import SearchSpace, SpaceColumns
from piip_explore.space.bounds import TrainingBound, parse_training_bound
from piip_explore.space.constraints import Constraints

Integers = npt.NDArray[np.int64]
_ROWS = 1 << 16
"""Designs summed at a time: few enough for a core's cache."""


@dataclass(frozen=True)
class DesignTable:
    """All designs of a space within its limits, with their costs under one accounting.

    `macs` and `params` are `(n,)`, one entry for every row of `columns`; so are `activations`, `moved`,
    `kept` and `peak` (`cost.Traffic`), which depend on no accounting and are computed when first asked for.
    """

    accounting: str
    columns: SpaceColumns
    macs: Integers
    params: Integers

    def __len__(self) -> int:
        return len(self.macs)

    @cached_property
    def activations(self) -> Integers:
        """Elements that linear layers, convolutions and attentions write for one image."""
        return self._built("activations")

    @cached_property
    def moved(self) -> Integers:
        """Elements that the counted operators read and write for one image."""
        return self._built("moved")

    @cached_property
    def kept(self) -> Integers:
        """Elements that automatic differentiation keeps of one image's forward pass."""
        return self._built("kept")

    @cached_property
    def peak(self) -> Integers:
        """Most elements that one operator reads and writes for one image, weights aside."""
        found: Integers = sums(self.columns, working_sets, ("peak",), combine=np.maximum)[:, 0]
        return found

    def training_gb(self, batch: int) -> npt.NDArray[np.float64]:
        """Return the GB that training in fp32 with AdamW takes with `batch` images per step (`training_gb`)."""
        params = self.params if self.accounting == "built" else self._built("params")
        found: npt.NDArray[np.float64] = training_gb(params, self.kept, batch)
        return found

    def within(self, limits: Constraints) -> npt.NDArray[np.bool_]:
        """Return which designs keep a space's limits on GFLOPs and parameters, as this table's accounting counts."""
        within = _between(self.macs, 1e9, limits.min_gflops, limits.max_gflops)
        return within & _between(self.params, 1e6, limits.min_mparams, limits.max_mparams)

    def trains_within(self, bound: TrainingBound, space: str) -> npt.NDArray[np.bool_]:
        """Return which designs of the space of this name train within a device's memory.

        Raises:
            InputError: none does; the sentence says how much the least demanding design takes.
        """
        found = self.training_gb(bound.batch)
        if not (found <= bound.gigabytes).any():
            raise InputError(
                f"no design of the space '{space}' trains within {bound.gigabytes:g} GB at a batch of {bound.batch}: "
                f"the least demanding takes {found.min():.4g} GB"
            )
        return found <= bound.gigabytes

    def _built(self, measure: str) -> Integers:
        found: Integers = sums(self.columns, partial(terms, RULES["built"]), (measure,))[:, 0]
        return found

    def design(self, row: int) -> Design:
        """Return the design of a row."""
        return self.columns.design(row)

    def rows(self, wanted: npt.NDArray[np.bool_]) -> DesignTable:
        """Return the table of the rows where `wanted` (n,) is true."""
        columns = self.columns.rows(wanted)
        return replace(self, columns=columns, macs=self.macs[wanted], params=self.params[wanted])


def enumerate_space(
    space: SearchSpace,
    accounting: str | None = None,
    max_gflops: float | None = None,
    max_train_gb: str | None = None,
) -> DesignTable:
    """Count every design of a space, and keep those within its limits.

    Args:
        space: the space; its own limits on GFLOPs hold under its own accounting.
        accounting: what the table's columns count; None is the space's own.
        max_gflops: a further limit, under `accounting`.
        max_train_gb: a further limit on what training takes, such as `24@16`: 24 GB at 16 images per step.

    Raises:
        InputError: there is no such accounting, the space is too large to list, or no design is within the limits.
    """
    limits = space.constraints
    accounting = accounting or limits.accounting
    rules(accounting)
    table = count_columns(space.columns(), limits.accounting)
    within = table.within(limits)
    if not within.all():
        table = table.rows(within)
    for text in (limits.max_train_gb, max_train_gb):
        if text is not None and len(table):
            table = table.rows(table.trains_within(parse_training_bound(text), space.name))
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
    macs, params = sums(columns, partial(terms, rules(accounting)), ("macs", "params")).T
    return DesignTable(accounting, columns, macs, params)


def sums(
    columns: SpaceColumns,
    terms_of: TermsOf,
    measures: Sequence[str],
    dtype: type[np.generic] = np.int64,
    combine: np.ufunc = np.add,
) -> npt.NDArray[Any]:
    """Return measures of every row, `(rows, measures)`, each measure's values together in memory.

    Args:
        columns: the designs.
        terms_of: the terms of a form of designs.
        measures: attributes of what the terms count.
        dtype: of the sums.
        combine: np.maximum for the largest term instead of their sum.
    """
    tables = PairTables(columns, terms_of, measures, dtype, combine)
    found = np.empty((len(columns), len(measures)), dtype, order="F")

    def count(start: int) -> None:
        rows = slice(start, start + _ROWS)
        found[rows] = tables.sums(rows)

    with ThreadPoolExecutor() as threads:
        list(threads.map(count, range(0, len(found), _ROWS)))
    return found
