"""The maps of a branch at its interactions and merges: how wide they are, and how many tokens they have."""

from __future__ import annotations

from typing import Any, NamedTuple, Protocol

from piip_explore import catalog
from piip_explore.design import Interaction, Merge


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

    def side(self, grid: Any) -> Any:
        """Return the side of the map; one of odd size loses its last row and column in down-sampling."""
        return grid // self.shrink

    def tokens(self, grid: Any) -> Any:
        """Return the tokens of the map."""
        return self.side(grid) ** 2


def maps(spec: catalog.Model, interaction: Interaction | None) -> list[MapShape]:
    """Return a model's maps at all interactions, the last one after the last block."""
    ends = catalog.positions(spec, interaction.count if interaction else 1)
    return [MapShape(spec.width(end), spec.stride(end) // spec.patch) for end in ends]


def merged_maps(spec: catalog.Model, interaction: Interaction | None, merge: Merge) -> list[MapShape]:
    """Return a model's maps at all merges, the last one after the last block."""
    found = maps(spec, interaction)
    return [found[k] for k in (*merge.levels(interaction), -1)]


def pyramid_widths(spec: catalog.Model, interaction: Interaction | None, merge: Merge) -> tuple[int, int]:
    """Return the widths of the feature pyramid's two levels that are up-sampled, from merged maps as wide as `spec`'s.

    They are those of the first two merges, or both of the only one.
    """
    merged = merged_maps(spec, interaction, merge)
    return merged[0].width, merged[1 if len(merged) > 1 else 0].width
