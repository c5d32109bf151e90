"""Small tables that the cost of any row of a space's columns is a sum of look-ups in.

A cost is additive over branches and over pairs of branches. So there is one table for every two places of a design
(the highest resolution and the next, ...): what two branches exchange there, and what one passes to join the merge at
the other's width. Each branch itself is added to one table of its place.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import combinations

import numpy as np
import numpy.typing as npt

from piip_explore import catalog
from piip_explore.cost import modules
from piip_explore.cost.accounting import Rules
from piip_explore.cost.counts import Counts
from piip_explore.cost.modules import Maps
from piip_explore.errors import InputError
from piip_explore.space import SpaceColumns
from piip_explore.space.choices import Setting, misfit

Integers = npt.NDArray[np.int64]
_MOST = 1 << 56
"""The most that a branch or a pair of branches may cost: the sum of a design's parts is a 64-bit integer."""


class Place:
    """The branch options that occur at one place of designs, numbered from 1; 0 is no branch.

    `number` gives the number of every code, and as its last entry that of -1.
    """

    def __init__(self, columns: SpaceColumns, place: int) -> None:
        options = columns.branch_options
        column = columns.branches[:, place].astype(np.int64)
        codes = np.flatnonzero(np.bincount(column + 1, minlength=len(options) + 1)[1:])
        self.branches = [options[code] for code in codes]
        self.number = np.zeros(len(options) + 1, np.int64)
        self.number[codes] = np.arange(1, len(codes) + 1)

    def __len__(self) -> int:
        return len(self.branches) + 1

    def by_model(self, setting: Setting, *, query: bool) -> Iterator[tuple[Integers, catalog.Model, Integers]]:
        """Yield numbers, model and grids of the options of every model that the setting fits."""
        for model in dict.fromkeys(branch.model for branch in self.branches):
            numbers = [n for n, branch in enumerate(self.branches, start=1) if branch.model == model]
            branches = [self.branches[n - 1] for n in numbers]
            if misfit(setting, branches[0], query=query) is None:
                yield np.array(numbers), branches[0].spec, np.array([branch.grid for branch in branches])


class Lookup:
    """The tables of a space's columns under a set of rules.

    A table is `[form, option at one place, option at another, (macs, params)]`, where a form is a setting with a number
    of branches; a space of single branches has a table for the one place.
    """

    def __init__(self, columns: SpaceColumns, rule: Rules) -> None:
        self.columns, self.rule = columns, rule
        self.places = [Place(columns, place) for place in range(columns.branches.shape[1])]
        self.ragged = bool((columns.branches < 0).any())
        occurring = np.flatnonzero(np.bincount(self._settings_and_counts(slice(None))))
        codes = (divmod(form, len(self.places)) for form in occurring.tolist())
        self.forms = [(columns.settings[setting], last + 1) for setting, last in codes]
        self.form_number = np.zeros(len(columns.settings) * len(self.places), np.int64)
        self.form_number[occurring] = np.arange(len(occurring))
        pairs: list[tuple[int, ...]] = list(combinations(range(len(self.places)), 2)) or [(0,)]
        shapes = {pair: (len(self.forms), *(len(self.places[place]) for place in pair), 2) for pair in pairs}
        self.tables = {pair: np.zeros(shape, np.int64) for pair, shape in shapes.items()}
        for form, (setting, count) in enumerate(self.forms):
            for place in range(count):
                self._add_branches(form, setting, count, place)
            for pair in combinations(range(count), 2):
                self._add_pairs(form, setting, count, *pair)
        self.tables = {pair: table for pair, table in self.tables.items() if table.any()}

    def sums(self, rows: slice) -> Integers:
        """Return the costs of rows: `(rows, 2)`, multiply-accumulates and parameters."""
        form = self.form_number[self._settings_and_counts(rows)]
        numbers = [place.number[codes] for place, codes in zip(self.places, self.columns.branches[rows].T, strict=True)]
        total = np.zeros((len(form), 2), np.int64)
        for pair, table in self.tables.items():
            index = form
            for place in pair:
                index = index * len(self.places[place]) + numbers[place]
            total += table.reshape(-1, 2).take(index, axis=0)
        return total

    def _settings_and_counts(self, rows: slice) -> Integers:
        """Return setting and number of branches of every row as one number."""
        places = len(self.places)
        last = (self.columns.branches[rows] >= 0).sum(axis=1) - 1 if self.ragged else places - 1
        return self.columns.setting[rows].astype(np.int64) * places + last

    def _add_branches(self, form: int, setting: Setting, count: int, place: int) -> None:
        """Add every branch itself, with its head; the lowest-resolution one with what it passes to the merge."""
        interaction, merge = setting
        out = range(count) if merge.out is None else [number - 1 for number in merge.out]
        is_target = place == count - 1
        costs = np.zeros((len(self.places[place]), 2), np.int64)
        for number, branch in enumerate(self.places[place].branches, start=1):
            if misfit(setting, branch, query=False) is not None:
                continue
            counts = modules.branch(self.rule, branch, merge)
            if place in out or merge.kind != "separate-heads":
                counts += modules.head(self.rule, branch.spec, is_target, merge)
            if is_target and place in out:
                maps = Maps(branch.spec, branch.grid)
                counts += modules.joining(self.rule, maps, maps, True, interaction, merge)
            _check(counts)
            costs[number] = counts.macs, counts.params
        if len(self.places) == 1:
            self.tables[(0,)][form] += costs
        elif place + 1 < len(self.places):
            self.tables[place, place + 1][form] += costs[:, None]
        else:
            self.tables[place - 1, place][form] += costs

    def _add_pairs(self, form: int, setting: Setting, count: int, high: int, low: int) -> None:
        """Add what two branches have with each other, for all options of the places `high` and `low` at once."""
        interaction, _ = setting
        queries = {query for _, query in interaction.pairs(count)} if interaction else set()
        table = self.tables[high, low][form]
        for rows, spec_high, grids_high in self.places[high].by_model(setting, query=high in queries):
            for columns, spec_low, grids_low in self.places[low].by_model(setting, query=low in queries):
                largest = {high: Maps(spec_high, int(grids_high.max())), low: Maps(spec_low, int(grids_low.max()))}
                _check(self._pair(setting, count, high, low, largest))
                maps = {high: Maps(spec_high, grids_high[:, None]), low: Maps(spec_low, grids_low)}
                counts = self._pair(setting, count, high, low, maps)
                cells = np.ix_(rows, columns)
                table[(*cells, 0)] += counts.macs
                table[(*cells, 1)] += counts.params

    def _pair(self, setting: Setting, count: int, high: int, low: int, maps: Mapping[int, Maps]) -> Counts:
        """Return what the branches at two places have with each other."""
        interaction, merge = setting
        directions = [pair for pair in interaction.pairs(count) if {high, low} == set(pair)] if interaction else []
        out = range(count) if merge.out is None else [number - 1 for number in merge.out]
        counts = Counts()
        for source, query in directions:
            assert interaction is not None
            counts += modules.exchanges(self.rule, maps[source], maps[query], interaction, merge)
        if low == count - 1 and high in out:
            counts += modules.joining(self.rule, maps[high], maps[low], False, interaction, merge)
        if (high, low) == (0, count - 1):
            counts += modules.pyramid(self.rule, maps[high], maps[low], interaction, merge)
        return counts


def _check(counts: Counts) -> None:
    """Check that sums of such counts fit into the 64 bits of the tables."""
    if max(counts.macs, counts.params) > _MOST:
        raise InputError(
            f"designs of this space take {counts.macs:.1e} multiply-accumulates, more than can be summed exactly: "
            "lower its resolutions"
        )
