"""The designs that a study chooses from: those of a space that fit its limits, as columns.

Costs are known before any training, so limits on them are filters: a design over the budget is not in the pool. The
axes number branches from the highest resolution (1) to the lowest, as `Design.sorted()` does, and hold only choices
that differ between designs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from piip_explore.design import Branch, Design, Interaction
from piip_explore.errors import InputError
from piip_explore.space import Accounting, SearchSpace, SpaceColumns

Value = str | int | float
_ABSENT: dict[str, Value] = {"model": "none", "resolution": 0, "window": "none"}
_EXCHANGE = ("attention", "heads", "points", "ratio", "ffn", "project", "direction")


@dataclass(frozen=True)
class Axis:
    """One choice that differs between the designs of a pool; `choices` rise where they are numbers."""

    name: str
    choices: tuple[Value, ...]

    @property
    def ordered(self) -> bool:
        """Whether the choices are numbers."""
        return all(isinstance(choice, int | float) for choice in self.choices)


@dataclass(frozen=True)
class Limits:
    """What a study demands of every design before it is trained, inclusive; None means no limit.

    GFLOPs (10^9 multiply-accumulates) count under the study's accounting, `max_params` counts parameters. The limits
    that the space's own file sets hold as well.
    """

    max_gflops: float | None = None
    max_params: float | None = None

    def constraints(self, costs: Mapping[str, float], gflops: str) -> dict[str, float]:
        """Return each limit as an Optuna constraint: feasible at or below 0."""
        limits = {"gflops": (self.max_gflops, gflops), "params": (self.max_params, "params")}
        return {name: costs[cost] - limit for name, (limit, cost) in limits.items() if limit is not None}


@dataclass(frozen=True)
class Pool:
    """Feasible designs, one row each.

    `rows` are their rows in the space, rising. `codes` is (designs, axes): codes into the axes' choices. `costs` maps
    `gflops_published`, `gflops_built` and `params` to float64 columns.
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

    def params(self, row: int) -> dict[str, Value]:
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
    rows = np.flatnonzero(fits).astype(np.int64)
    if not len(rows):
        raise InputError(
            f"no design of '{space.name}' fits the limits: its cheapest has {gflops.min():.4g} GFLOPs ({accounting}) "
            f"and its smallest {costs['params'].min() / 1e6:.4g} M parameters"
        )
    axes, codes = _axes(space.columns(), rows)
    return Pool(space, rows, axes, codes, {name: column[rows] for name, column in costs.items()})


def load(space: SearchSpace, limits: Limits, accounting: Accounting) -> Pool:
    """Count every design of a space in both accountings and make the pool.

    Raises:
        InputError: no design fits.
    """
    from piip_explore.cost.table import count_columns

    columns = space.columns()
    tables = {name: count_columns(columns, name) for name in ("published", "built")}
    costs = {f"gflops_{name}": table.macs / 1e9 for name, table in tables.items()}
    costs["params"] = tables["published"].params.astype(np.float64)
    own = space.constraints
    feasible = _between(costs[f"gflops_{own.accounting}"], own.min_gflops, own.max_gflops)
    feasible &= _between(costs["params"] / 1e6, own.min_mparams, own.max_mparams)
    return build(space, costs, limits, accounting, feasible)


def _between(values: npt.NDArray[np.float64], least: float | None, most: float | None) -> npt.NDArray[np.bool_]:
    low, high = -np.inf if least is None else least, np.inf if most is None else most
    return (values >= low) & (values <= high)


def _axes(columns: SpaceColumns, rows: npt.NDArray[np.int64]) -> tuple[tuple[Axis, ...], npt.NDArray[np.int16]]:
    axes: list[Axis] = []
    codes: list[npt.NDArray[np.int16]] = []

    def add(name: str, values: list[Value], picked: npt.NDArray[np.integer]) -> None:
        used = {values[code] for code in np.unique(picked)}
        if len(used) < 2:
            return
        choices = tuple(sorted(used, key=lambda v: (isinstance(v, str), v)))
        lookup = np.array([choices.index(value) if value in used else -1 for value in values], dtype=np.int16)
        axes.append(Axis(name, choices))
        codes.append(lookup[picked])

    for place in range(columns.branches.shape[1]):
        picked = columns.branches[rows, place].astype(np.int64) + 1  # row 0: no such branch
        for part in _ABSENT:
            add(f"branch{place + 1}.{part}", [_ABSENT[part], *(_part(b, part) for b in columns.branch_options)], picked)
    setting = columns.setting[rows].astype(np.int64)
    for option, values in _settings(columns).items():
        add(option, values, setting)
    stacked = np.stack(codes, axis=1) if codes else np.zeros((len(rows), 0), dtype=np.int16)
    return tuple(axes), np.asfortranarray(stacked)


def _part(branch: Branch, part: str) -> Value:
    if part == "window":
        window = f"w{branch.window}" if branch.window else "none"
        return window + (f"g{branch.global_every}" if branch.global_every else "")
    value: Value = getattr(branch, part)
    return value


def _settings(columns: SpaceColumns) -> dict[str, list[Value]]:
    """Each option's value in every setting, spelled as in a design's text; an exchange's as their defaults without."""
    default = Interaction()
    found: dict[str, list[Value]] = {
        "interactions": [0 if exchange is None else exchange.count for exchange, _ in columns.settings]
    }
    for option in _EXCHANGE:
        values: list[Any] = [getattr(exchange or default, option) for exchange, _ in columns.settings]
        found[option] = [("yes" if value else "no") if isinstance(value, bool) else value for value in values]
    found["merge"] = [merge.kind for _, merge in columns.settings]
    found["out"] = ["all" if merge.out is None else ",".join(map(str, merge.out)) for _, merge in columns.settings]
    return found
