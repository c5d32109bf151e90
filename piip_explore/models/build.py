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
        InputError: `num_classes` for a design whose merge has no classifier.
    """
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


def _pyramid(design: Design, sums: list[WeightedSum]) -> SimplePyramid | None:
    kind, largest = design.merge.kind, design.branches[design.order[0]]
    if kind == "linear" or (kind == "conv-multilevel" and isinstance(largest.spec, catalog.ConvNeXt)):
        return None  # a CNN's own maps already are a pyramid
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
