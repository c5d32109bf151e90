"""What a design's network returns, told before it is built."""

from __future__ import annotations

from dataclasses import dataclass

from piip_explore import catalog
from piip_explore.design import Branch, Design


@dataclass(frozen=True)
class FeatureMap:
    """One map that a network returns: its channels, and the pixels of the input image per cell."""

    channels: int
    stride: float


def feature_maps(design: Design) -> list[FeatureMap]:
    """Return the maps of a design's network without a head, in the order in which it returns them."""
    if design.merge.kind in ("none", "separate-heads"):
        branches = [design.branches[index] for index in design.out]
        return [FeatureMap(branch.spec.out_dim, _stride(design, branch, -1)) for branch in branches]
    reference, target = (design.branches[index] for index in (design.order[0], design.order[-1]))
    if design.merge.kind == "linear":
        return [FeatureMap(target.spec.out_dim, _stride(design, reference, -1))]
    levels = [*design.merge.levels(design.interaction), -1]
    ends = _ends(design, target)
    widths = [target.spec.width(ends[k]) for k in levels] if len(levels) > 1 else [target.spec.out_dim] * 4
    if design.merge.has_pyramid(reference.spec):
        last = _stride(design, reference, -1)
        strides = [last / 4, last / 2, last, last * 2]
    else:
        strides = [_stride(design, reference, k) for k in levels]
    return [FeatureMap(width, _whole(stride)) for width, stride in zip(widths, strides, strict=True)]


def _ends(design: Design, branch: Branch) -> tuple[int, ...]:
    return tuple(catalog.positions(branch.spec, design.interaction.count if design.interaction else 1))


def _stride(design: Design, branch: Branch, interaction: int) -> float:
    """Return the stride of a branch's map after an interaction: smaller images make larger strides."""
    return _whole(branch.spec.stride(_ends(design, branch)[interaction]) * design.resolution / branch.resolution)


def _whole(stride: float) -> float:
    return int(stride) if stride == int(stride) else stride
