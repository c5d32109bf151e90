"""The parts that every design's cost is a sum of, each counted once (`cost.measure`) and kept (`cost.store`). No torch.

A cost is additive over branches and over directed pairs of branches. A ViT is counted with one block of every distinct
kind on a few tiny maps; so are one direction of an exchange, and what a branch's map passes on its way to the merge.
All of them are exact polynomials of the sizes of their maps after that. A ConvNeXt, whose stages round odd sizes down,
is counted at every size.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache
from math import ceil

from piip_explore.catalog import ConvNeXt, ViT
from piip_explore.cost.counts import Bilinear, Counts, Polynomial
from piip_explore.cost.store import part
from piip_explore.design import Interaction


@dataclass(frozen=True)
class ViTParts:
    """A ViT on one map: everything outside its blocks, one global and (with windows) one windowed block."""

    outside: Counts
    global_block: Counts
    windowed_block: Counts | None


@cache
def vision_transformer(spec: ViT, grid: int, window: int | None, class_token: bool) -> ViTParts:
    """Return the parts of a ViT on a map of `grid` x `grid` patches."""
    short = replace(spec, depth=1)
    outside, block = _by_side(short, class_token)
    windowed = None
    if window is not None:
        by_size = Bilinear(**part("windowed_block", short, window, class_token))
        windowed = by_size.at(tokens=grid**2, keys=ceil(grid / window) ** 2)
    return ViTParts(outside.at(grid), block.at(grid), windowed)


@cache
def _by_side(spec: ViT, class_token: bool) -> tuple[Polynomial, Polynomial]:
    """Return what is outside the blocks of a ViT, and a global block, by the side of the map."""
    counts = part("vision_transformer", spec, class_token)
    sides = range(1, len(counts) // 2 + 1)
    outside, block = ([counts[f"{name} {side}"] for side in sides] for name in ("outside", "block"))
    return Polynomial.through(outside), Polynomial.through(block)


def convnext(spec: ConvNeXt, grid: int) -> Counts:
    """Return the counts of a ConvNeXt with `grid` x `grid` cells behind its stem."""
    counts = part("convnext", replace(spec, depths=(1,) * len(spec.depths)), grid)
    blocks = (counts[f"stage {stage}"] * depth for stage, depth in enumerate(spec.depths))
    return sum(blocks, counts["outside"])


def direction(width_from: int, width: int, interaction: Interaction) -> Bilinear:
    """Return one direction of one exchange, into a map of `width` channels (tokens) from one of `width_from` (keys)."""
    options = replace(interaction, count=1, direction="both")  # neither changes what one direction is
    return Bilinear(**part("direction", width_from, width, options))


def adapter(merge: str, width: int, target: int, is_target: bool) -> Bilinear:
    """Return what one branch's map of `width` channels passes to join a merged map of `target` channels."""
    return Bilinear(**part("adapter", merge, width, target, is_target))


def pyramid(widths: Sequence[int]) -> Bilinear:
    """Return the simple pyramid's up-samplings of merged maps that all have the same size; `widths` by level."""
    four_times, twice = (Bilinear(**part("up_sampling", level, widths[level])) for level in (0, 1))
    return four_times + twice


def head(width: int) -> Counts:
    """Return one branch's LayerNorm and 1000-way linear classifier."""
    return part("head", width, 1000)["head"]
