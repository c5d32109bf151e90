"""The whole network: branches, interactions, merge and head, with one code path for any number of branches."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor, nn

from piip_explore.models.attention import Grid
from piip_explore.models.layers import scale, to_map
from piip_explore.models.map_branch import MapBranch
from piip_explore.models.merging import MapMerge, NoMerge
from piip_explore.models.vit import VisionTransformer

BranchModule = VisionTransformer | MapBranch


class Pyramid(nn.Module):
    """A parameter-inverted image pyramid network, or a single branch.

    Args:
        branches: the branch modules, in any order.
        resolutions: image size of every branch (pixels); only their ratios to the largest matter in `forward`.
        positions: for every branch, the blocks (from 0) that the groups end with, the same number for all; the last
            is the last block.
        interactions: one per group, or none.
        merge: makes the output of the final (and intermediate) maps.
        head: a classifier on the merge's maps, or None to return the maps.
        given: resolution of the images that are passed in; None for the largest branch's.
    """

    def __init__(
        self,
        branches: Sequence[BranchModule],
        resolutions: Sequence[int],
        positions: Sequence[Sequence[int]],
        interactions: Sequence[nn.Module],
        merge: MapMerge | NoMerge,
        head: nn.Module | None = None,
        given: int | None = None,
    ) -> None:
        super().__init__()
        self.branches = nn.ModuleList(branches)
        self.resolutions = tuple(resolutions)
        self.given = given or max(resolutions)
        self.groups = [list(ends) for ends in zip(*positions, strict=True)]
        self.interactions = nn.ModuleList(interactions)
        self.merge = merge
        self.head = head
        self.unused: dict[str, Tensor] = {}
        """Tensors of a loaded checkpoint that the forward pass never reads, kept to write it back whole."""

    @property
    def in_channels(self) -> int:
        """Channels of the images."""
        return cast("BranchModule", self.branches[0]).in_channels

    def forward(self, images: Tensor) -> list[Tensor] | Tensor:
        """Run images (B, C, H, W), of the resolution `given`, else of the largest branch's; any aspect ratio.

        Returns:
            The merge's maps (B, C, H', W'), or logits (B, classes) where the network has a head.
        """
        branches = cast("list[BranchModule]", list(self.branches))
        features, grids = self._embed(branches, images)
        prefixes = [branch.prefix for branch in branches]
        starts = [0] * len(branches)
        stages = []
        for k, ends in enumerate(self.groups):
            for j, branch in enumerate(branches):
                features[j], grids[j] = branch.run(features[j], grids[j], starts[j], ends[j] + 1)
                starts[j] = ends[j] + 1
            # Class tokens take part in every block but in no interaction (docs/architecture.md, point 4).
            classes = [x[:, :n] for x, n in zip(features, prefixes, strict=True)]
            features = [x[:, n:] for x, n in zip(features, prefixes, strict=True)]
            if len(self.interactions) > 0:
                features = self.interactions[k](features, grids)
            last = k + 1 == len(self.groups)
            if last or k in self.merge.levels:
                stages.append([to_map(x, grid) for x, grid in zip(features, grids, strict=True)])
            if not last:
                features = [torch.cat([c, x], 1) if c.shape[1] else x for c, x in zip(classes, features, strict=True)]
        maps = self.merge(stages)
        return maps if self.head is None else self.head(maps)

    def _embed(self, branches: list[BranchModule], images: Tensor) -> tuple[list[Tensor], list[Grid]]:
        embedded = [
            branch.embed(scale(images, side, self.given))
            for branch, side in zip(branches, self.resolutions, strict=True)
        ]
        return [x for x, _ in embedded], [grid for _, grid in embedded]
