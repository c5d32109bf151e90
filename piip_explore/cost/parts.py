"""The parts that every design's cost is a sum of, each counted once (`cost.measure`) and kept (`cost.store`). No torch.

A cost is additive over branches and over directed pairs of branches. A branch is counted with one block of every
distinct kind; one direction of an exchange, and what a branch's map passes on its way to the merge, are counted on a
few tiny maps and are exact polynomials of the number of tokens after that.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from piip_explore.catalog import ConvNeXt, ViT
from piip_explore.cost.counts import Bilinear, Counts
from piip_explore.cost.store import part
from piip_explore.design import Interaction


@dataclass(frozen=True)
class ViTParts:
    """A ViT on one map: everything outside its blocks, one global and (with windows) one windowed block."""

    outside: Counts
    global_block: Counts
    windowed_block: Counts | None


def vision_transformer(spec: ViT, grid: int, window: int | None, class_token: bool) -> ViTParts:
    """Return the parts of a ViT on a map of `grid` x `grid` patches."""
    counts = part("vision_transformer", replace(spec, depth=1), grid, window, class_token)
    return ViTParts(counts["outside"], counts["global"], counts.get("windowed"))


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
