"""The PIIP-LLaVA vision encoder: a network of two branches without a merge, and a projector for each."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from piip_explore.design import Design
from piip_explore.errors import InputError
from piip_explore.models.build import build
from piip_explore.models.layers import group_norm, resize, to_tokens
from piip_explore.models.merging import ChannelLinear


class LlavaEncoder(nn.Module):
    """Images to visual tokens of a language model (arXiv 2501.07783, PIIP-LLaVA).

    The final maps of all branches are resized bilinearly to the highest-resolution branch's grid; each passes its own
    projector (linear, GroupNorm, GELU, linear), and the results are summed: as many tokens as that grid has cells.

    Args:
        design: two branches or more, `merge=none`.
        width: width of the language model's tokens.

    Raises:
        InputError: a design that merges its branches, or has one alone.
    """

    def __init__(self, design: Design, width: int) -> None:
        super().__init__()
        if design.merge.kind != "none" or len(design.branches) < 2:
            raise InputError(f"'{design}': a LLaVA encoder has several branches and merge=none")
        self.encoder = build(design)
        self.reference = design.order[0]
        dims = [branch.spec.out_dim for branch in design.branches]
        self.projectors = nn.ModuleList(
            nn.Sequential(ChannelLinear(dim, width), group_norm(width), nn.GELU(), ChannelLinear(width, width))
            for dim in dims
        )

    def forward(self, images: Tensor) -> Tensor:
        """Encode images (B, 3, H, W) into tokens (B, H' * W', width)."""
        maps = self.encoder(images)
        size = (maps[self.reference].shape[2], maps[self.reference].shape[3])
        projected = [project(resize(x, size)) for project, x in zip(self.projectors, maps, strict=True)]
        return to_tokens(torch.stack(projected).sum(0))
