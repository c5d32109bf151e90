"""SearchSpace: a set of designs, counted, listed and searched without making them."""

from __future__ import annotations

import html
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from piip_explore.design import Design
from piip_explore.design.setting import OPTIONS, Plain, plain
from piip_explore.errors import InputError
from piip_explore.space.chains import assign, count_chains
from piip_explore.space.columns import SpaceBlock, SpaceColumns, blocks, columns
from piip_explore.space.definition import Definition
from piip_explore.space.reader import read
from piip_explore.space.shipped import locate

MAX_LISTED = 100_000_000
"""The most designs that a space lists as columns (about 1 GB)."""


@dataclass(frozen=True)
class SearchSpace(Definition):
    """A set of designs: it has a length, is iterated over, and holds a design or not. `Definition` says what it is."""

    @classmethod
    def load(cls, path: str | Path) -> SearchSpace:
        """Read a space from a YAML file, or one that comes with the package by its name, such as `coco_tsb`.

        Raises:
            InputError: the file cannot be read, or says something impossible; the sentence says where.
        """
        path = locate(path)
        try:
            text = path.read_text(encoding="utf-8")
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
        said = read(text, name)
        return cls(**{field.name: getattr(said, field.name) for field in fields(said)})

    @cached_property
    def size(self) -> int:
        """Number of designs; limits on GFLOPs and parameters are not applied. Exact below 2^53."""
        return sum(count_chains(self.tables, group) * len(group.settings) for group in self.tables.groups)

    def __len__(self) -> int:
        return self.size

    def __iter__(self) -> Iterator[Design]:
        """Iterate over all designs, in the order of the columns."""
        return map(self.design, range(self.size))

    def columns(self) -> SpaceColumns:
        """Return all designs as integer columns; limits on GFLOPs and parameters are not applied.

        Raises:
            InputError: the space has more than `MAX_LISTED` designs.
        """
        return columns(self.tables, self._blocks)

    @cached_property
    def _blocks(self) -> tuple[SpaceBlock, ...]:
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
        starts = [block.start for block in self._blocks]
        block = self._blocks[int(np.searchsorted(starts, index, "right")) - 1]
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

    def choices(self) -> dict[str, list[Plain]]:
        """Return all choices under the names that they have in a file with one entry per branch."""
        found: dict[str, list[Plain]] = {"branches": list(self.counts)}
        for number, slot in enumerate(self.slots, 1):
            found |= {f"branches[{number}].{part.name}": list(getattr(slot, part.name)) for part in fields(slot)}
        for option in fields(self.settings):
            found[option.name] = [plain(value) for value in getattr(self.settings, option.name)]
        return found

    def summary(self) -> dict[str, Any]:
        """Return name, task, choices, constraints and size as plain values, for the record and to compare spaces."""
        return {
            "name": self.name,
            "task": self.task,
            "choices": self.choices(),
            "constraints": asdict(self.constraints),
            "size": self.size,
        }

    def _repr_html_(self) -> str:
        """Return the choices as an HTML table, which notebooks show."""
        import pandas as pd

        choices = self.choices().items()
        shown = [(name, values) for name, values in choices if len(values) > 1 or name.startswith("branches[")]
        rows = [(name, ", ".join(map(str, values))) for name, values in shown]
        table = pd.DataFrame(rows, columns=["choice", "values"])
        with pd.option_context("display.max_colwidth", None):
            return f"<p>{html.escape(self.name)}: {self.size:,} designs</p>{table.to_html(index=False)}"

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


def choices_of(summary: Mapping[str, Any]) -> dict[str, Sequence[Any]]:
    """Return the choices in a `SearchSpace.summary()`, even one that an earlier version wrote.

    Such a summary may keep choices as axes, and lack an option that came later: its designs had the default.
    """
    found = summary.get("choices")
    if found is None:
        axes = summary["axes"].items()
        found = {re.sub(r"^branch(\d+)\.(.*)", r"branches[\1].\2s", name): values for name, values in axes}
    return {**found, **{name: [plain(option.default)] for name, option in OPTIONS.items() if name not in found}}
