"""From a design to its network."""

from __future__ import annotations

from collections.abc import Sequence

from torch import nn

from piip_explore import catalog
from piip_explore.design import Branch, Design
from piip_explore.errors import InputError
from piip_explore.models.convnext import ConvNeXtBranch
from piip_explore.models.interaction import InteractionLayer
from piip_explore.models.map_branch import OwnBranchModule
from piip_explore.models.merging import MapMerge, NoMerge, PooledHead, SeparateHeads, SimplePyramid, WeightedSum
from piip_explore.models.pyramid import BranchModule, Pyramid
from piip_explore.models.vit import VisionTransformer


def build(
    design: Design,
    *,
    num_classes: int | None = None,
    drop_path: float | Sequence[float] = 0.0,
    interaction_drop_path: float | None = None,
    checkpointing: bool = False,
    in_channels: int = 3,
) -> Pyramid:
    """Build the network of a design with fresh weights; under `torch.device("meta")` it takes no memory.

    Args:
        design: the architecture.
        num_classes: classes of the classifier. If given, a design with a linear merge or one branch gets a classifier
            on the mean of the final map's tokens; separate heads always have one (1000 classes by default).
        drop_path: stochastic-depth rate of the deepest blocks, one for all branches or one for each.
        interaction_drop_path: that of the interactions; None for the highest of the branches'.
        checkpointing: recompute blocks in the backward pass to save memory.
        in_channels: channels of the images; like the classes they belong to the data, not to the design.

    Raises:
        InputError: `num_classes` for a design whose merge has no classifier, maps too small for the merge, or a branch
            of another package for images of other than three channels.
    """
    _check_maps(design)
    class_tokens = design.merge.kind == "separate-heads"
    rates = [drop_path] * len(design.branches) if isinstance(drop_path, int | float) else list(drop_path)
    between = max(rates) if interaction_drop_path is None else interaction_drop_path
    branches = [
        build_branch(branch, class_tokens, rate, checkpointing, in_channels)
        for branch, rate in zip(design.branches, rates, strict=True)
    ]
    count = design.interaction.count if design.interaction else 1
    positions = [catalog.positions(branch.spec, count) for branch in design.branches]
    widths = [[b.spec.width(p[k]) for b, p in zip(design.branches, positions, strict=True)] for k in range(count)]
    interactions = []
    if design.interaction is not None:
        interactions = [InteractionLayer(w, design.directed_pairs, design.interaction, between) for w in widths]
    merge = build_merge(design, widths)
    head = _head(design, widths[-1], num_classes)
    return Pyramid(branches, [b.resolution for b in design.branches], positions, interactions, merge, head)


def build_branch(
    branch: Branch, class_tokens: bool, drop_path: float = 0.0, checkpointing: bool = False, in_channels: int = 3
) -> BranchModule:
    """Build one branch; `class_tokens` adds a class token if the model has none of its own."""
    spec = branch.spec
    branch.check_channels(in_channels)
    if isinstance(spec, catalog.OwnBranch):
        return OwnBranchModule(spec, checkpointing)
    if isinstance(spec, catalog.ConvNeXt):
        return ConvNeXtBranch(spec, drop_path, checkpointing, in_channels)
    windows = [branch.block_window(block) for block in range(spec.depth)]
    class_token = class_tokens or spec.class_token
    return VisionTransformer(spec, branch.grid, windows, class_token, drop_path, checkpointing, in_channels)


def build_merge(design: Design, widths: list[list[int]]) -> MapMerge | NoMerge:
    """Build the merge; `widths` are the channels of every branch after every interaction, the final ones last."""
    kind = design.merge.kind
    if kind in ("none", "separate-heads"):
        return NoMerge(design.out)
    target, reference = design.order[-1], design.order[0]
    levels = design.merge.levels(design.interaction)
    weighting = design.merge.weighting
    sums = [WeightedSum(kind, widths[k], design.out, target, reference, weighting) for k in (*levels, -1)]
    return MapMerge(sums, levels, _pyramid(design, sums))


def _check_maps(design: Design) -> None:
    """Refuse merges that have nothing to pool or to normalise.

    Raises:
        InputError: the largest branch's final map has one cell where the pyramid halves it, or a branch's map has one
            where every group of the merge's GroupNorm is one channel wide.
    """
    kind = design.merge.kind
    if kind in ("none", "separate-heads"):
        return
    largest, target = design.branches[design.order[0]], design.branches[design.order[-1]].spec
    if design.merge.has_pyramid(largest.spec) and _final_side(largest) < 2:
        raise InputError(
            f"'{largest}' ends with a map of one cell, which merge={kind} cannot halve: choose a larger resolution"
        )
    for index in design.out:
        branch = design.branches[index]
        width = branch.spec.out_dim if kind == "linear" else target.out_dim
        if _final_side(branch) == 1 and 32 % width == 0:
            raise InputError(
                f"'{branch}' ends with a map of one cell, too little to normalise {width} channels in as many groups: "
                "choose a larger resolution or a wider model"
            )


def _final_side(branch: Branch) -> int:
    return branch.resolution // branch.spec.stride(branch.spec.blocks - 1)


def _pyramid(design: Design, sums: list[WeightedSum]) -> SimplePyramid | None:
    if not design.merge.has_pyramid(design.branches[design.order[0]].spec):
        return None
    return SimplePyramid([merge.dim for merge in sums] if len(sums) > 1 else [sums[0].dim] * 4)


def _head(design: Design, widths: list[int], num_classes: int | None) -> nn.Module | None:
    kind = design.merge.kind
    if kind == "separate-heads":
        return SeparateHeads([widths[i] for i in design.out], num_classes or 1000, design.merge.weighting)
    if num_classes is None:
        return None
    if kind != "linear" and len(design.branches) > 1:
        raise InputError(f"merge={kind} has no classifier: use merge=linear or merge=separate-heads")
    return PooledHead(widths[design.order[-1]], num_classes)
