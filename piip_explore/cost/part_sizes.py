"""The counts of parts at any size, from a few traces of each. No torch.

Grids and tokens may be integers or, except for the grid of a ViT or a ConvNeXt, NumPy integer arrays.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache
from math import ceil

from piip_explore.catalog import ConvNeXt, OwnBranch, ViT
from piip_explore.cost.counts import Bilinear, Counts, Polynomial
from piip_explore.cost.part_cache import counted
from piip_explore.cost.parts import (
    Adapter,
    GlobalViT,
    Head,
    InteractionUnit,
    SizedConvNeXt,
    SizedOwn,
    UpSampling,
    WindowedBlock,
)
from piip_explore.design import Interaction

HEAD_CLASSES = 1000


@dataclass(frozen=True)
class ViTCounts:
    """A ViT on one map: everything outside its blocks, one global and (with windows) one windowed block."""

    outside: Counts
    global_block: Counts
    windowed_block: Counts | None


@cache
def vision_transformer(spec: ViT, grid: int, window: int | None, class_token: bool) -> ViTCounts:
    """Return the counts of a ViT on a map of `grid` x `grid` patches."""
    one_block = replace(spec, depth=1)
    outside, block = _by_side(one_block, class_token)
    windowed = None
    if window is not None:
        by_size = Bilinear(**counted(WindowedBlock(one_block, window, class_token)))
        windowed = by_size.at(tokens=grid**2, keys=ceil(grid / window) ** 2)
    return ViTCounts(outside.at(grid), block.at(grid), windowed)


@cache
def _by_side(spec: ViT, class_token: bool) -> tuple[Polynomial, Polynomial]:
    """Return what is outside the blocks of a ViT, and a global block, by the side of the map."""
    counts = counted(GlobalViT(spec, class_token))
    sides = range(1, len(counts) // 2 + 1)
    outside, block = ([counts[f"{name} {side}"] for side in sides] for name in ("outside", "block"))
    return Polynomial.through(outside), Polynomial.through(block)


def convnext(spec: ConvNeXt, grid: int) -> Counts:
    """Return the counts of a ConvNeXt, or another package's branch, with `grid` x `grid` cells after its stem."""
    if isinstance(spec, OwnBranch):
        return counted(SizedOwn(spec, grid, spec.code))["whole"]
    counts = convnext_parts(spec, grid)
    blocks = (counts[f"stage {stage}"] * depth for stage, depth in enumerate(spec.depths))
    return sum(blocks, counts["outside"])


def own_peak(spec: OwnBranch, grid: int) -> int:
    """Return the largest working set of another package's branch with `grid` x `grid` cells after its stem."""
    return int(counted(SizedOwn(spec, grid, spec.code))["peak"].kept)


def convnext_parts(spec: ConvNeXt, grid: int) -> dict[str, Counts]:
    """Return the counts `outside` a ConvNeXt's blocks, and of one block of every stage: `stage 0`, ..."""
    return counted(SizedConvNeXt(replace(spec, depths=(1,) * len(spec.depths)), grid))


def interaction_unit(width_from: int, width: int, interaction: Interaction) -> Bilinear:
    """Return one direction of one interaction, by the tokens of the map it writes to and of the one it reads (keys)."""
    return Bilinear(**counted(InteractionUnit(width_from, width, unit_options(interaction))))


def unit_options(interaction: Interaction) -> Interaction:
    """Return an interaction with the options that one direction depends on: neither number nor direction."""
    return replace(interaction, count=1, direction="both")


def adapter(merge: str, width: int, target: int, is_target: bool) -> Bilinear:
    """Return what one branch's map passes to join a merged map, by its tokens."""
    return Bilinear(**counted(Adapter(merge, width, target, is_target)))


def pyramid(widths: Sequence[int]) -> Bilinear:
    """Return the simple pyramid's up-samplings of merged maps that all have the same size; `widths` by level."""
    four_times, twice = (Bilinear(**counted(UpSampling(level, widths[level]))) for level in (0, 1))
    return four_times + twice


def head(width: int) -> Counts:
    """Return one branch's LayerNorm and linear classifier of `HEAD_CLASSES`."""
    return counted(Head(width, HEAD_CLASSES))["head"]
