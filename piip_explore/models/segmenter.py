"""A design's network as a plain semantic segmenter."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from piip_explore.design import Design
from piip_explore.models.build import build
from piip_explore.models.pyramid import Pyramid


class Segmenter(nn.Module):
    """The network and a head on all its maps: one linear layer each, summed at the largest map's size.

    Args:
        network: the network of `design`, without a classifier.
        classes: classes that a pixel may have.
    """

    def __init__(self, network: Pyramid, design: Design, classes: int) -> None:
        super().__init__()
        self.network = network
        with torch.device("meta"):
            maps = build(design)(torch.zeros(1, 3, design.resolution, design.resolution))
        self.heads = nn.ModuleList(nn.Conv2d(x.shape[1], classes, 1) for x in maps)

    def forward(self, images: Tensor) -> Tensor:
        """Return logits (B, classes, H, W) at the size of the images (B, 3, H, W)."""
        logits = [head(x) for head, x in zip(self.heads, self.network(images), strict=True)]
        size = max((x.shape[2:] for x in logits), key=lambda s: int(s[0]))
        summed = torch.stack([F.interpolate(x, size=size, mode="bilinear") for x in logits]).sum(0)
        return F.interpolate(summed, size=images.shape[2:], mode="bilinear")
