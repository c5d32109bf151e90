"""The ConvNeXt branch (arXiv 2201.03545), under timm's state-dict names."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from piip_explore.catalog import ConvNeXt
from piip_explore.models.layers import NORM_EPS, DropPath
from piip_explore.models.map_branch import MapBranch
from piip_explore.models.vit import Mlp


class LayerNorm2d(nn.LayerNorm):
    """LayerNorm over the channels of a map (B, C, H, W)."""

    def __init__(self, dim: int) -> None:
        super().__init__(dim, eps=NORM_EPS)

    def forward(self, x: Tensor) -> Tensor:
        """Normalise every position of `x` (B, C, H, W) over its channels."""
        x = F.layer_norm(x.permute(0, 2, 3, 1), self.normalized_shape, self.weight, self.bias, self.eps)
        return x.permute(0, 3, 1, 2)


class ConvNeXtBlock(nn.Module):
    """7x7 depth-wise convolution, LayerNorm, MLP of four times the width, a scale per channel."""

    def __init__(self, dim: int, drop_path: float = 0.0) -> None:
        super().__init__()
        self.conv_dw = nn.Conv2d(dim, dim, 7, padding=3, groups=dim)
        self.norm = nn.LayerNorm(dim, eps=NORM_EPS)
        self.mlp = Mlp(dim, 4 * dim, "gelu")
        self.gamma = nn.Parameter(torch.ones(dim))
        self.drop_path = DropPath(drop_path)

    def forward(self, x: Tensor) -> Tensor:
        """Transform a map (B, dim, H, W)."""
        y = self.mlp(self.norm(self.conv_dw(x).permute(0, 2, 3, 1))) * self.gamma
        return x + self.drop_path(y.permute(0, 3, 1, 2))


class Stage(nn.Module):
    """A stage: down-sampling by two (except in the first stage), then blocks."""

    def __init__(self, dim_in: int, dim: int, drop_paths: list[float], downsample: bool) -> None:
        super().__init__()
        self.downsample: nn.Module = nn.Identity()
        if downsample:
            self.downsample = nn.Sequential(LayerNorm2d(dim_in), nn.Conv2d(dim_in, dim, 2, 2))
        self.blocks = nn.ModuleList(ConvNeXtBlock(dim, rate) for rate in drop_paths)


class ConvNeXtBranch(MapBranch):
    """A ConvNeXt branch: stem and four stages. Arguments are those of `VisionTransformer`."""

    def __init__(
        self, spec: ConvNeXt, drop_path: float = 0.0, checkpointing: bool = False, in_channels: int = 3
    ) -> None:
        super().__init__()
        self.spec, self.checkpointing, self.in_channels = spec, checkpointing, in_channels
        stem = nn.Conv2d(in_channels, spec.dims[0], spec.patch, spec.patch)
        self.stem = nn.Sequential(stem, LayerNorm2d(spec.dims[0]))
        rates = iter(drop_path * i / max(sum(spec.depths) - 1, 1) for i in range(sum(spec.depths)))
        self.stages = nn.ModuleList(
            Stage(spec.dims[max(s - 1, 0)], dim, [next(rates) for _ in range(depth)], downsample=s > 0)
            for s, (depth, dim) in enumerate(zip(spec.depths, spec.dims, strict=True))
        )
        self.apply(_initialise)

    def layers(self) -> list[nn.Module]:
        """Return all that counts as a block, in order: down-sampling layers and blocks."""
        layers: list[nn.Module] = []
        for stage in self.stages:
            assert isinstance(stage, Stage)
            layers += [] if isinstance(stage.downsample, nn.Identity) else [stage.downsample]
            layers += list(stage.blocks)
        return layers


def _initialise(module: nn.Module) -> None:
    if isinstance(module, nn.Linear | nn.Conv2d):
        nn.init.trunc_normal_(module.weight, std=0.02)
        if module.bias is not None:
            nn.init.zeros_(module.bias)
