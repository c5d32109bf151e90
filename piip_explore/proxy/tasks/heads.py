"""What dense heads share: the model's maps, whatever they are, to one map of a fixed width and size."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from piip_explore.models.layers import group_norm, resize


class Fusion(nn.Module):
    """Project all maps to one width, resize them to one size and sum them: what every dense head reads from.

    A single map first gets a simple pyramid of its own: itself, and itself at two and four times its size, as a merge
    that ends in a pyramid would have given. Width and size are the same for every design, and so is what comes after.
    """

    def __init__(self, channels: list[int], dim: int, size: int) -> None:
        super().__init__()
        self.size = (size, size)
        self.laterals = nn.ModuleList(nn.Conv2d(width, dim, 1) for width in channels)
        self.up = None
        if len(channels) == 1:
            self.up = nn.ModuleList(
                nn.Sequential(group_norm(dim), nn.GELU(), nn.ConvTranspose2d(dim, dim, 2, 2)) for _ in range(2)
            )
        self.norm = group_norm(dim)

    def forward(self, maps: list[Tensor]) -> Tensor:
        """Fuse maps (B, C_i, H_i, W_i) into (B, dim, size, size)."""
        levels = [lateral(x) for lateral, x in zip(self.laterals, maps, strict=True)]
        if self.up is not None:
            for up in self.up:
                levels.append(up(levels[-1]))
        fused = torch.stack([resize(x, self.size) for x in levels]).sum(0)
        return F.gelu(self.norm(fused))
