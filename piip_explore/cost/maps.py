"""The maps of a branch at its interactions: how wide they are, and how many tokens they have."""

from __future__ import annotations

from typing import Any, NamedTuple, Protocol

from piip_explore import catalog
from piip_explore.design import Interaction


class Sized(Protocol):
    """A model at a size: a `Branch`, or a model with the grids of many branches at once.

    `grid` is the side of the map after the embedding, in cells: an integer or a NumPy integer array.
    """

    @property
    def spec(self) -> catalog.Model:
        """The model."""

    @property
    def grid(self) -> Any:
        """Side of the map after the embedding."""


class Grids(NamedTuple):
    """One model at many sizes."""

    spec: catalog.Model
    grid: Any


class MapShape(NamedTuple):
    """A map's channels, and the factor by which its side is smaller than after the embedding."""

    width: int
    shrink: int

    def tokens(self, grid: Any) -> Any:
        """Return the tokens of the map; one of odd size loses its last row and column in down-sampling."""
        return (grid // self.shrink) ** 2


def maps(spec: catalog.Model, interaction: Interaction | None) -> list[MapShape]:
    """Return a model's maps at all interactions, the last one after the last block."""
    ends = catalog.positions(spec, interaction.count if interaction else 1)
    return [MapShape(spec.width(end), spec.stride(end) // spec.patch) for end in ends]
