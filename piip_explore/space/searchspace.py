"""SearchSpace: a set of designs, counted, listed and searched without making them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from piip_explore.design import Design
from piip_explore.errors import InputError
from piip_explore.space.axes import Axis, Value, axes_of, design_from, values_of
from piip_explore.space.chains import assign, count_chains
from piip_explore.space.choices import SettingChoices, Slot
from piip_explore.space.columns import Block, SpaceColumns, blocks, columns
from piip_explore.space.constraints import Constraints
from piip_explore.space.tables import Tables, tabulate

MAX_LISTED = 100_000_000
"""The most designs that a space lists as columns (about 1 GB); larger ones can be sampled through their axes."""


@dataclass(frozen=True)
class SearchSpace:
    """A set of designs: choices of branches and settings, and constraints.

    A design of n branches, for every n of `counts`, has one branch from each of the first n `slots`; the order of the
    branches does not count. Its settings are any combination of `settings` that fits the branches. A design is in the
    space once, however many choices mean it. `docs/spaces.md` describes the YAML form.
    """

    name: str
    slots: tuple[Slot, ...]
    counts: tuple[int, ...]
    settings: SettingChoices = field(default_factory=SettingChoices)
    constraints: Constraints = field(default_factory=Constraints)
    description: str = ""
    proxy: Mapping[str, Any] = field(default_factory=dict, hash=False)

    @classmethod
    def load(cls, path: str | Path) -> SearchSpace:
        """Read a space from a YAML file.

        Raises:
            InputError: the file cannot be read, or says something impossible; the sentence says where.
        """
        try:
            text = Path(path).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
            raise InputError(f"cannot read the space '{path}': {reason}") from None
        return cls.parse(text, str(path))

    @classmethod
    def parse(cls, text: str, name: str) -> SearchSpace:
        """Read a space from YAML text; `name` stands for the file in errors.

        Raises:
            InputError: the text says something impossible; the sentence says where.
        """
        from piip_explore.space.reader import read  # the reader makes spaces, so it imports this module

        return read(text, name)

    @cached_property
    def tables(self) -> Tables:
        """The branch options, settings and which of them go together."""
        return tabulate(self.slots, self.counts, self.settings, self.constraints)

    @cached_property
    def size(self) -> int:
        """Number of designs; limits on GFLOPs and parameters are not applied. Exact below 2^53."""
        return sum(count_chains(self.tables, group) * len(group.settings) for group in self.tables.groups)

    def columns(self) -> SpaceColumns:
        """Return all designs as integer columns; limits on GFLOPs and parameters are not applied.

        Raises:
            InputError: the space has more than `MAX_LISTED` designs.
        """
        return columns(self.tables, self._blocks)

    @cached_property
    def _blocks(self) -> tuple[Block, ...]:
        if self.size > MAX_LISTED:
            raise InputError(
                f"space '{self.name}' has {self.size:,} designs, more than can be listed ({MAX_LISTED:,}): "
                "narrow its choices or constraints"
            )
        return blocks(self.tables)

    def design(self, index: int) -> Design:
        """Return the design of row `index` of the columns, its branches from the highest resolution to the lowest.

        Raises:
            IndexError: there is no such row.
        """
        if not 0 <= index < self.size:
            raise IndexError(f"row {index} of space '{self.name}', which has {self.size} designs")
        ends = [block.end for block in self._blocks]
        block = self._blocks[int(np.searchsorted(ends, index, "right"))]
        chain, setting = divmod(index - block.start, len(block.settings))
        branches = tuple(self.tables.branches[code] for code in block.chains[chain])
        return Design(branches, *self.tables.settings[block.settings[setting]])

    def designs(self, indices: Iterable[int]) -> list[Design]:
        """Return the designs of rows `indices` of the columns."""
        return [self.design(int(index)) for index in indices]

    def index_of(self, design: Design) -> int:
        """Return the row of a design in the columns, whatever the order of its branches.

        Raises:
            InputError: the design is not in the space.
        """
        place = self._place(design)
        if place is None:
            raise InputError(f"'{design}' is not in the space '{self.name}'")
        codes, setting, group = place
        block = self._blocks[group]
        position = int(np.searchsorted(block.settings, setting))
        return block.start + block.find(codes) * len(block.settings) + position

    def __contains__(self, design: object) -> bool:
        """Tell whether a design is in the space; limits on GFLOPs and parameters are not applied."""
        return isinstance(design, Design) and self._place(design) is not None

    @cached_property
    def axes(self) -> tuple[Axis, ...]:
        """The choices to make for a design, one by one: names and values, plain strings and numbers."""
        return axes_of(self.slots, self.counts, self.settings)

    def design_from(self, values: Mapping[str, Value]) -> Design | None:
        """Return the design that one value for every axis means, None if it is invalid or against a constraint.

        Raises:
            InputError: a value is missing or is none of its axis' choices.
        """
        branches, design = design_from(values, self.axes, self.settings)
        if design is None or design not in self:
            return None
        if self.constraints.decreasing_resolution and len(set(self.slots)) > 1 and branches != design.branches:
            return None  # the slots are in order of resolution, and these branches are not
        return design

    def values_of(self, design: Design) -> dict[str, Value]:
        """Return a value for every axis such that `design_from` gives the design, whatever the order of its branches.

        Axes that say nothing about this design (a branch or exchange that it does not have) take their first choice.

        Raises:
            InputError: the design is not in the space.
        """
        place = self._place(design)
        assigned = place and assign(self.tables, place[0])
        if not assigned:
            raise InputError(f"'{design}' is not in the space '{self.name}'")
        return values_of(design.sorted(), assigned, self.slots, self.settings, self.axes)

    def summary(self) -> dict[str, Any]:
        """Return name, axes, constraints and size as plain values, for the record and to compare spaces."""
        return {
            "name": self.name,
            "axes": {axis.name: list(axis.choices) for axis in self.axes},
            "constraints": asdict(self.constraints),
            "size": self.size,
        }

    def _place(self, design: Design) -> tuple[tuple[int, ...], int, int] | None:
        """Return the branch codes, the setting's code and the group's number of a design, None if it is not here."""
        design = design.sorted()
        setting = self._setting_codes.get((design.interaction, design.merge))
        codes = tuple(self._branch_codes.get(branch, -1) for branch in design.branches)
        if setting is None or -1 in codes:
            return None
        tables = self.tables
        for number, group in enumerate(tables.groups):
            if group.branches == len(codes) and setting in group.settings:
                fits = all(group.allowed[place, code] for place, code in enumerate(codes))
                follows = all(tables.follows[a, b] for a, b in pairwise(codes))
                within = codes[-1] < tables.reach[codes[0]]
                return (codes, setting, number) if fits and follows and within and assign(tables, codes) else None
        return None

    @cached_property
    def _branch_codes(self) -> dict[Any, int]:
        return {branch: code for code, branch in enumerate(self.tables.branches)}

    @cached_property
    def _setting_codes(self) -> dict[Any, int]:
        return {setting: code for code, setting in enumerate(self.tables.settings)}
