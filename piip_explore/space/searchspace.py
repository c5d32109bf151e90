"""SearchSpace: a set of designs, enumerable without making them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from piip_explore.design import Design
from piip_explore.space.columns import SpaceColumns
from piip_explore.space.constraints import Constraints


@dataclass(frozen=True)
class SearchSpace:
    """A set of designs: choices of branches and settings, and constraints (see docs/spaces.md)."""

    name: str
    constraints: Constraints
    proxy: Mapping[str, Any]

    @classmethod
    def load(cls, path: str | Path) -> SearchSpace:
        """Read a space from a YAML file."""
        raise NotImplementedError

    @classmethod
    def parse(cls, text: str, name: str) -> SearchSpace:
        """Read a space from YAML text; `name` stands for the file in errors."""
        raise NotImplementedError

    @property
    def size(self) -> int:
        """Number of structurally valid designs (limits on cost not applied)."""
        raise NotImplementedError

    def columns(self) -> SpaceColumns:
        """Return all designs as integer columns."""
        raise NotImplementedError

    def design(self, index: int) -> Design:
        """Return the design of row `index`."""
        raise NotImplementedError

    def designs(self, indices: Sequence[int]) -> list[Design]:
        """Return the designs of rows `indices`."""
        raise NotImplementedError

    def index_of(self, design: Design) -> int:
        """Return the row of `design`."""
        raise NotImplementedError

    def __contains__(self, design: Design) -> bool:
        raise NotImplementedError
