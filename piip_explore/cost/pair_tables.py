"""Small tables: the cost of any row of a space's columns is a sum of look-ups in them.

Every term of a cost (`cost.terms`), or of a time (`latency.terms`), depends on one branch or on two. So there is one
table for every two places of a design (the highest resolution and the next, ...) with the terms of both branches there;
a term of one branch is added to one of the tables of its place.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import combinations
from typing import Any

import numpy as np
import numpy.typing as npt

from piip_explore import catalog
from piip_explore.cost.terms import Grids, Term
from piip_explore.design import Interaction, Merge
from piip_explore.design.setting import Setting
from piip_explore.errors import InputError
from piip_explore.space import SpaceColumns
from piip_explore.space.choices import misfit

Integers = npt.NDArray[np.int64]
TermsOf = Callable[[Interaction | None, Merge, int], Iterable[Term]]
"""Returns the terms of designs with an interaction, a merge and a number of branches."""
_MOST = 1 << 55
"""The largest value of a term, so that the sum over a design fits in 64 bits."""


class PlaceOptions:
    """The branch options that occur at one place of designs, numbered from 1; 0 is not a branch.

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


class PairTables:
    """The tables of a space's columns for the terms of its designs.

    A table is `[form, option at one place, option at another, measure]`, where a form is a setting with a number of
    branches, and `measures` are attributes of what the terms count; a space of single branches has a table for the one
    place. Sums are exact where `dtype` is int64. With `combine=np.maximum` the largest term counts instead of the sum.
    """

    def __init__(
        self,
        columns: SpaceColumns,
        terms_of: TermsOf,
        measures: Sequence[str],
        dtype: type[np.generic] = np.int64,
        combine: np.ufunc = np.add,
    ) -> None:
        self.columns, self.measures, self.dtype, self.combine = columns, measures, dtype, combine
        self.places = [PlaceOptions(columns, place) for place in range(columns.branches.shape[1])]
        self.ragged = bool((columns.branches < 0).any())
        occurring = np.flatnonzero(np.bincount(self._settings_and_counts(slice(None))))
        codes = (divmod(form, len(self.places)) for form in occurring.tolist())
        self.forms = [(columns.settings[setting], last + 1) for setting, last in codes]
        self.form_number = np.zeros(len(columns.settings) * len(self.places), np.int64)
        self.form_number[occurring] = np.arange(len(occurring))
        pairs: list[tuple[int, ...]] = list(combinations(range(len(self.places)), 2)) or [(0,)]
        shapes = {
            pair: (len(self.forms), *(len(self.places[place]) for place in pair), len(measures)) for pair in pairs
        }
        self.tables: dict[tuple[int, ...], npt.NDArray[Any]] = {
            pair: np.zeros(shape, dtype) for pair, shape in shapes.items()
        }
        for form, (setting, count) in enumerate(self.forms):
            for term in terms_of(*setting, count):
                (self._add_of_branch if len(term.places) == 1 else self._add_of_pair)(form, setting, term)
        self.tables = {pair: table for pair, table in self.tables.items() if table.any()}

    def sums(self, rows: slice) -> npt.NDArray[Any]:
        """Return the measures of rows: `(rows, measures)`."""
        form = self.form_number[self._settings_and_counts(rows)]
        numbers = [place.number[codes] for place, codes in zip(self.places, self.columns.branches[rows].T, strict=True)]
        total = np.zeros((len(form), len(self.measures)), self.dtype)
        for pair, table in self.tables.items():
            index = form
            for place in pair:
                index = index * len(self.places[place]) + numbers[place]
            self.combine(total, table.reshape(-1, len(self.measures)).take(index, axis=0), out=total)
        return total

    def _settings_and_counts(self, rows: slice) -> Integers:
        """Return setting and number of branches of every row as one number."""
        places = len(self.places)
        last = (self.columns.branches[rows] >= 0).sum(axis=1) - 1 if self.ragged else places - 1
        return self.columns.setting[rows].astype(np.int64) * places + last

    def _add_of_branch(self, form: int, setting: Setting, term: Term) -> None:
        """Add a term of one branch, for all options of its place, to one table that the place is in."""
        (place,) = term.places
        costs = np.zeros((len(self.places[place]), len(self.measures)), self.dtype)
        for number, branch in enumerate(self.places[place].branches, start=1):
            if misfit(setting, branch, query=False) is None:
                costs[number] = _checked(self._values(term.counts(branch)))
        if len(self.places) == 1:
            table = self.tables[(0,)][form]
        elif place + 1 < len(self.places):
            table, costs = self.tables[place, place + 1][form], costs[:, None]
        else:
            table = self.tables[place - 1, place][form]
        self.combine(table, costs, out=table)

    def _add_of_pair(self, form: int, setting: Setting, term: Term) -> None:
        """Add a term of two branches, for all options of their places at once."""
        interacts = term.module == "interactions"
        one, other = (self.places[place] for place in term.places)
        table = self.tables[min(term.places), max(term.places)][form]
        if term.places[0] > term.places[1]:
            table = table.transpose(1, 0, 2)
        for rows, spec_one, grids_one in one.by_model(setting, query=False):
            for columns, spec_other, grids_other in other.by_model(setting, query=interacts):
                largest = Grids(spec_one, int(grids_one.max())), Grids(spec_other, int(grids_other.max()))
                _checked(self._values(term.counts(*largest)))
                counts = term.counts(Grids(spec_one, grids_one[:, None]), Grids(spec_other, grids_other))
                for measure, values in enumerate(self._values(counts)):
                    cells = (*np.ix_(rows, columns), measure)
                    table[cells] = self.combine(table[cells], values)

    def _values(self, counts: Any) -> list[Any]:
        return [getattr(counts, name) for name in self.measures]


def _checked(values: list[Any]) -> list[Any]:
    """Return values whose sums fit into the 64 bits of the tables."""
    if max(values) > _MOST:
        raise InputError(
            f"designs of this space take {max(values):.1e} multiply-accumulates, more than can be summed exactly: "
            "lower its resolutions"
        )
    return values
