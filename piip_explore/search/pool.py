"""The designs that a study chooses from: those of a space that fit its limits, as columns.

Costs are known before any training, so limits on them are filters: a design over the budget is not in the pool.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from piip_explore.design import Design
from piip_explore.design.setting import Plain
from piip_explore.errors import InputError
from piip_explore.space import Accounting, Axis, SearchSpace, axes_of
from piip_explore.space.bounds import parse_bound, parse_training_bound


@dataclass(frozen=True)
class Limits:
    """What a study demands of every design before it is trained, inclusive; None means no limit.

    GFLOPs (10^9 multiply-accumulates) count under the study's accounting, `max_params` counts parameters, and
    `max_latency_ms` is a text such as `25@h100`: milliseconds as predicted from a device profile. The limits that the
    space's own file sets hold as well.
    """

    max_gflops: float | None = None
    max_params: float | None = None
    max_latency_ms: str | None = None

    def constraints(self, costs: Mapping[str, float], gflops: str) -> dict[str, float]:
        """Return each limit as an Optuna constraint: feasible at or below 0."""
        limits = {"gflops": (self.max_gflops, gflops), "params": (self.max_params, "params")}
        if self.max_latency_ms is not None:
            bound = parse_bound(self.max_latency_ms)
            limits["latency"] = (bound.milliseconds, latency_cost(bound.profile))
        return {name: costs[cost] - limit for name, (limit, cost) in limits.items() if limit is not None}


PREDICTED_LATENCY = "latency@"
"""How costs and objectives that are predicted from a device profile begin; the profile's name follows."""


def latency_cost(profile: str) -> str:
    """Return the name of the cost that is the latency predicted from a device profile, in milliseconds."""
    return PREDICTED_LATENCY + profile


@dataclass(frozen=True)
class Pool:
    """Feasible designs, one row each.

    `rows` are their rows in the space, rising. `codes` is (designs, axes): codes into the axes' choices. `costs` maps
    `gflops_published`, `gflops_built`, `params`, and `latency@PROFILE` where it is asked for, to float64 columns.
    """

    space: SearchSpace
    rows: npt.NDArray[np.int64]
    axes: tuple[Axis, ...]
    codes: npt.NDArray[np.int16]
    costs: Mapping[str, npt.NDArray[np.float64]] = field(repr=False)

    def __len__(self) -> int:
        return len(self.rows)

    def design(self, row: int) -> Design:
        """Return the design of a row of the pool."""
        return self.space.design(int(self.rows[row]))

    def row_of(self, design: Design) -> int | None:
        """Return the row of a design, None if the pool does not hold it."""
        if design not in self.space:
            return None
        index = self.space.index_of(design)
        at = int(np.searchsorted(self.rows, index))
        return at if at < len(self.rows) and self.rows[at] == index else None

    def params(self, row: int) -> dict[str, Plain]:
        """Return a row's choice on every axis."""
        return {axis.name: axis.choices[code] for axis, code in zip(self.axes, self.codes[row], strict=True)}

    def costs_of(self, row: int) -> dict[str, float]:
        """Return a row's costs."""
        return {name: float(column[row]) for name, column in self.costs.items()}

    def find(self, codes: npt.ArrayLike) -> int | None:
        """Return the row with these codes, None if no feasible design has them."""
        order, keys = self._keys
        key = int(np.asarray(codes, dtype=np.int64) @ self._radix)
        at = int(np.searchsorted(keys, key))
        return int(order[at]) if at < len(keys) and keys[at] == key else None

    def find_params(self, params: Mapping[str, Sequence[Any]], numbers: Sequence[int]) -> npt.NDArray[np.int64]:
        """Return the rows of trials, -1 where no feasible design has their parameters or some are missing.

        `params` are a table's columns of parameters, `numbers` the trials to look up.
        """
        keys, known = np.zeros(len(numbers), dtype=np.int64), np.ones(len(numbers), dtype=bool)
        for axis, weight in zip(self.axes, self._radix, strict=True):
            column, place = params.get(axis.name), {choice: code for code, choice in enumerate(axis.choices)}
            if column is None:
                return np.full(len(numbers), -1, dtype=np.int64)
            codes = np.array([place.get(column[number], -1) for number in numbers], dtype=np.int64)
            known &= codes >= 0
            keys += codes * weight
        order, sorted_keys = self._keys
        at = np.minimum(np.searchsorted(sorted_keys, keys), len(self) - 1)
        return np.where(known & (sorted_keys[at] == keys), order[at], -1)

    @cached_property
    def _radix(self) -> npt.NDArray[np.int64]:
        sizes = [len(axis.choices) for axis in self.axes]
        if np.prod([float(size) for size in sizes]) > 2**62:
            raise InputError(
                f"space '{self.space.name}' has too many choices on {len(sizes)} axes: narrow some of them"
            )
        return np.concatenate(([1], np.cumprod(sizes[:-1]))).astype(np.int64)[: len(sizes)]

    @cached_property
    def _keys(self) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        keys = np.zeros(len(self), dtype=np.int64)
        for column, weight in zip(self.codes.T, self._radix, strict=True):
            keys += column.astype(np.int64) * weight
        order = np.argsort(keys, kind="stable")
        return order, keys[order]


def build(
    space: SearchSpace,
    costs: Mapping[str, npt.NDArray[np.float64]],
    limits: Limits = Limits(),
    accounting: Accounting = "published",
    feasible: npt.NDArray[np.bool_] | None = None,
) -> Pool:
    """Make the pool of a space from the cost columns of all its designs.

    Raises:
        InputError: no design fits; the sentence names the cheapest.
    """
    gflops = costs[f"gflops_{accounting}"]
    fits = np.ones(len(gflops), dtype=bool) if feasible is None else feasible.copy()
    if limits.max_gflops is not None:
        fits &= gflops <= limits.max_gflops
    if limits.max_params is not None:
        fits &= costs["params"] <= limits.max_params
    fastest = ""
    for bound in map(parse_bound, filter(None, (limits.max_latency_ms, space.constraints.max_latency_ms))):
        latency = costs[latency_cost(bound.profile)]
        fits &= latency <= bound.milliseconds
        fastest += f", its fastest is predicted to take {latency.min():.4g} ms on {bound.profile}"
    rows = np.flatnonzero(fits).astype(np.int64)
    if not len(rows):
        raise InputError(
            f"no design of '{space.name}' fits the limits: its cheapest has {gflops.min():.4g} GFLOPs ({accounting}) "
            f"and its smallest {costs['params'].min() / 1e6:.4g} M parameters{fastest}"
        )
    axes, codes = axes_of(space.columns(), rows)
    return Pool(space, rows, axes, codes, {name: column[rows] for name, column in costs.items()})


def load(space: SearchSpace, limits: Limits, accounting: Accounting, profiles: Collection[str] = ()) -> Pool:
    """Count every design of a space in both accountings and make the pool.

    `profiles` are those whose latencies are costs; those of the limits are anyway.

    Raises:
        InputError: no design fits, or a device profile cannot be read or does not know the parts of the space.
    """
    from piip_explore.cost.table import count_columns
    from piip_explore.latency import load as load_profile

    columns = space.columns()
    tables = {name: count_columns(columns, name) for name in ("published", "built")}
    costs = {f"gflops_{name}": table.macs / 1e9 for name, table in tables.items()}
    costs["params"] = tables["published"].params.astype(np.float64)
    own = space.constraints
    texts = filter(None, (limits.max_latency_ms, own.max_latency_ms))
    for profile in dict.fromkeys([*profiles, *(parse_bound(text).profile for text in texts)]):
        costs[latency_cost(profile)] = 1e3 * load_profile(profile).model.column(columns)
    feasible = tables[own.accounting].within(own)
    if own.max_train_gb is not None:
        feasible &= tables["built"].trains_within(parse_training_bound(own.max_train_gb), space.name)
    return build(space, costs, limits, accounting, feasible)
