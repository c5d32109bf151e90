"""Which designs share a supernet: those of the same branch models, in the same order of resolution."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from piip_explore import catalog
from piip_explore.design import Branch, Design, Direction, Interaction
from piip_explore.errors import InputError

_INTERACTIONS = 12
"""Interactions of a supernet, as published; a design with more has a supernet of its own."""


def whole(design: Design, resolutions: Sequence[int]) -> Design:
    """Return the design that holds all of a design's family: every interaction, every direction, every branch merged.

    Two designs share a supernet if this is the same for both: the same models from the highest resolution to the
    lowest, the same kind of interaction, and of merge with its weighting. A design without interactions belongs to the
    family that has the default ones.

    Args:
        design: any design, at full scale.
        resolutions: sizes (pixels) that branches are trained at; those of the whole are chosen among them and only
            decide how position embeddings are laid out.
    """
    models = [branch.model for branch in design.sorted().branches]
    sides = sorted(resolutions)
    places = [len(sides) * (len(models) - n) // (len(models) + 1) for n in range(len(models))]
    branches = tuple(Branch(model, tiled(model, sides[place])) for model, place in zip(models, places, strict=True))
    if len(branches) == 1:
        return Design(branches)
    merge = replace(design.merge, out=None)
    most = min(branch.spec.blocks for branch in branches)
    if design.interaction is not None:
        direction: Direction = "all" if design.interaction.direction == "all" else "both"
        count = max(min(_INTERACTIONS, most), design.interaction.count)
        return Design(branches, replace(design.interaction, count=count, direction=direction), merge)
    try:
        return Design(branches, Interaction(min(_INTERACTIONS, most)), merge)
    except InputError:  # the default interactions do not fit these widths
        return Design(branches, None, merge)


def tiled(model: str, side: int) -> int:
    """Return the largest resolution up to `side` (pixels), but at least one patch, that a model's patches tile."""
    patch = catalog.model(model).patch
    return max(patch, side // patch * patch)
