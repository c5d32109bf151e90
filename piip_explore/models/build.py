"""From a design to its network."""

from __future__ import annotations

from torch import nn

from piip_explore import catalog
from piip_explore.design import Branch, Design
from piip_explore.errors import InputError
from piip_explore.models.convnext import ConvNeXtBranch
from piip_explore.models.interaction import Exchange
from piip_explore.models.merging import MapMerge, NoMerge, PooledHead, SeparateHeads, SimplePyramid, WeightedSum
from piip_explore.models.pyramid import BranchModule, Pyramid
from piip_explore.models.vit import VisionTransformer


def build(
    design: Design, *, num_classes: int | None = None, drop_path: float = 0.0, checkpointing: bool = False
) -> Pyramid:
    """Build the network of a design with fresh weights; under `torch.device("meta")` it takes no memory.

    Args:
        design: the architecture.
        num_classes: classes of a classifier. A design that merges linearly and a single branch get one on the mean
            of the final map's tokens where this is given; separate heads always have one (1000 classes by default).
        drop_path: stochastic-depth rate of the deepest blocks and of the exchanges.
        checkpointing: recompute blocks in the backward pass to save memory.

    Raises:
        InputError: `num_classes` for a design whose merge has no classifier, or maps too small for the merge.
    """
    _check_maps(design)
    class_tokens = design.merge.kind == "separate-heads"
    branches = [build_branch(branch, class_tokens, drop_path, checkpointing) for branch in design.branches]
    count = design.interaction.count if design.interaction else 1
    positions = [catalog.positions(branch.spec, count) for branch in design.branches]
    widths = [[b.spec.width(p[k]) for b, p in zip(design.branches, positions, strict=True)] for k in range(count)]
    exchanges = []
    if design.interaction is not None:
        exchanges = [Exchange(w, design.directed_pairs, design.interaction, drop_path) for w in widths]
    merge = build_merge(design, widths)
    head = _head(design, widths[-1], num_classes)
    return Pyramid(branches, [b.resolution for b in design.branches], positions, exchanges, merge, head)


def build_branch(
    branch: Branch, class_tokens: bool, drop_path: float = 0.0, checkpointing: bool = False
) -> BranchModule:
    """Build one branch; `class_tokens` asks for a class token where the model does not have one in every design."""
    spec = branch.spec
    if isinstance(spec, catalog.ConvNeXt):
        return ConvNeXtBranch(spec, drop_path, checkpointing)
    windows = [branch.block_window(block) for block in range(spec.depth)]
    return VisionTransformer(
        spec, branch.grid, windows, class_tokens or spec.class_token, drop_path=drop_path, checkpointing=checkpointing
    )


def build_merge(design: Design, widths: list[list[int]]) -> MapMerge | NoMerge:
    """Build the merge; `widths` are the channels of every branch after every exchange, the final ones last."""
    kind = design.merge.kind
    if kind in ("none", "separate-heads"):
        return NoMerge(design.out)
    target, reference = design.order[-1], design.order[0]
    levels = design.merge.levels(design.interaction)
    sums = [WeightedSum(kind, widths[k], design.out, target, reference) for k in (*levels, -1)]
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
    if _has_pyramid(design) and _final_side(largest) < 2:
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


def _has_pyramid(design: Design) -> bool:
    """Say whether the merged maps are up- and down-sampled; a CNN's own maps already are a pyramid."""
    cnn = isinstance(design.branches[design.order[0]].spec, catalog.ConvNeXt)
    return design.merge.kind == "conv" or (design.merge.kind == "conv-multilevel" and not cnn)


def _pyramid(design: Design, sums: list[WeightedSum]) -> SimplePyramid | None:
    if not _has_pyramid(design):
        return None
    return SimplePyramid([merge.dim for merge in sums] if len(sums) > 1 else [sums[0].dim] * 4)


def _head(design: Design, widths: list[int], num_classes: int | None) -> nn.Module | None:
    kind = design.merge.kind
    if kind == "separate-heads":
        return SeparateHeads([widths[i] for i in design.out], num_classes or 1000)
    if num_classes is None:
        return None
    if kind != "linear" and len(design.branches) > 1:
        raise InputError(f"merge={kind} has no classifier: use merge=linear or merge=separate-heads")
    return PooledHead(widths[design.order[-1]], num_classes)
