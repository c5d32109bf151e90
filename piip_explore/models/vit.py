"""The ViT branch: every vision transformer of the catalog in one module, under timm's state-dict names."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from piip_explore.catalog import ViT
from piip_explore.models.attention import Grid, SelfAttention
from piip_explore.models.layers import ACTIVATIONS, DropPath, LayerScale, to_tokens


def _norm(spec: ViT) -> nn.Module:
    return nn.RMSNorm(spec.dim, eps=spec.norm_eps) if spec.norm == "rms" else nn.LayerNorm(spec.dim, eps=spec.norm_eps)


class Mlp(nn.Module):
    """Linear, activation, linear; a gate doubles the first layer's outputs."""

    def __init__(self, dim: int, hidden: int, activation: str) -> None:
        super().__init__()
        self.fc1 = nn.Linear(dim, 2 * hidden if activation == "swiglu" else hidden)
        self.act = ACTIVATIONS[activation]()
        self.fc2 = nn.Linear(hidden, dim)

    def forward(self, x: Tensor) -> Tensor:
        """Apply to `x` (..., dim)."""
        return self.fc2(self.act(self.fc1(x)))


class Block(nn.Module):
    """A pre-norm transformer block: attention and MLP, each with a norm, a LayerScale and stochastic depth."""

    def __init__(self, spec: ViT, window: int | None, grid: int, class_token: bool, drop_path: float = 0.0) -> None:
        super().__init__()
        scale = spec.layer_scale
        self.norm1 = _norm(spec)
        self.attn = SelfAttention(spec, window, grid, class_token)
        self.ls1 = LayerScale(spec.dim) if scale else nn.Identity()
        self.norm2 = _norm(spec)
        self.mlp = Mlp(spec.dim, spec.hidden, spec.activation)
        self.ls2 = LayerScale(spec.dim) if scale else nn.Identity()
        self.drop_path = DropPath(drop_path)

    def forward(self, x: Tensor, grid: Grid) -> Tensor:
        """Transform tokens (B, prefix + H*W, dim) whose patches are on `grid` (H, W)."""
        x = x + self.drop_path(self.ls1(self.attn(self.norm1(x), grid)))
        return x + self.drop_path(self.ls2(self.mlp(self.norm2(x))))


class PatchEmbed(nn.Module):
    """Non-overlapping patches through one convolution."""

    def __init__(self, patch: int, dim: int, bias: bool, in_channels: int = 3) -> None:
        super().__init__()
        self.proj = nn.Conv2d(in_channels, dim, patch, patch, bias=bias)

    def forward(self, images: Tensor) -> Tensor:
        """Map images (B, C, H, W) to patches (B, dim, H // patch, W // patch)."""
        return self.proj(images)


class VisionTransformer(nn.Module):
    """A ViT branch: patch embedding, position embedding, blocks; no final norm and no head.

    Args:
        spec: the model's structure.
        grid: side of the square map that the position embedding is laid out for; other maps resample it bicubically.
        windows: window of every block in patches, None where attention is global.
        class_token: add a class token in front of the model's registers (none of them gets a position).
        drop_path: stochastic-depth rate of the last block, rising linearly from 0 at the first.
        checkpointing: recompute blocks in the backward pass instead of keeping their activations.
        in_channels: channels of the images.
    """

    def __init__(
        self,
        spec: ViT,
        grid: int,
        windows: Sequence[int | None] | None = None,
        class_token: bool = False,
        drop_path: float = 0.0,
        checkpointing: bool = False,
        in_channels: int = 3,
    ) -> None:
        super().__init__()
        self.spec, self.checkpointing, self.in_channels = spec, checkpointing, in_channels
        self.prefix = spec.prefix(class_token)
        self.patch_embed = PatchEmbed(spec.patch, spec.dim, bias=not spec.embed_norm, in_channels=in_channels)
        self.cls_token = nn.Parameter(torch.zeros(1, 1, spec.dim)) if class_token else None
        self.reg_token = nn.Parameter(torch.zeros(1, spec.registers, spec.dim)) if spec.registers else None
        absolute = spec.position == "absolute"
        self.pos_embed = nn.Parameter(torch.zeros(1, grid * grid, spec.dim)) if absolute else None
        self.norm_pre = nn.LayerNorm(spec.dim, eps=spec.norm_eps) if spec.embed_norm else nn.Identity()
        windows = windows or [None] * spec.depth
        self.blocks = nn.ModuleList(
            Block(spec, window, grid, class_token, drop_path * i / max(spec.depth - 1, 1))
            for i, window in enumerate(windows)
        )
        self.apply(_initialise)
        for parameter in (self.cls_token, self.reg_token, self.pos_embed):
            if parameter is not None:
                nn.init.trunc_normal_(parameter, std=0.02)

    def embed(self, images: Tensor) -> tuple[Tensor, Grid]:
        """Embed images (B, C, H, W); return tokens (B, prefix + patches, dim) and the map's grid."""
        x = self.patch_embed(images)
        grid = (x.shape[2], x.shape[3])
        x = to_tokens(x)
        if self.pos_embed is not None:
            x = x + resample_positions(self.pos_embed, grid)
        learned = [token.expand(x.shape[0], -1, -1) for token in (self.cls_token, self.reg_token) if token is not None]
        if learned:
            x = torch.cat([*learned, x], 1)
        return self.norm_pre(x), grid

    def run(self, x: Tensor, grid: Grid, start: int, stop: int) -> tuple[Tensor, Grid]:
        """Run blocks `start` to `stop` - 1 on tokens (B, prefix + H*W, dim); return tokens and grid."""
        for block in list(self.blocks)[start:stop]:
            recompute = self.checkpointing and self.training
            x = checkpoint(block, x, grid, use_reentrant=False) if recompute else block(x, grid)
        return x, grid


def resample_positions(position: Tensor, grid: Grid) -> Tensor:
    """Resample a square position embedding (1, side^2, dim) bicubically to `grid`."""
    side = math.isqrt(position.shape[1])
    if grid == (side, side):
        return position
    square = position.transpose(1, 2).unflatten(2, (side, side))
    return to_tokens(F.interpolate(square, size=grid, mode="bicubic", align_corners=False))


def _initialise(module: nn.Module) -> None:
    if isinstance(module, nn.Linear):
        nn.init.trunc_normal_(module.weight, std=0.02)
        if module.bias is not None:
            nn.init.zeros_(module.bias)
