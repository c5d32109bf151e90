"""Small layers that several parts of the network share."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn

NORM_EPS = 1e-6
"""Epsilon of the LayerNorms of interactions, ConvNeXts and heads of PIIP (GroupNorm keeps PyTorch's 1e-5)."""


class DropPath(nn.Module):
    """Drop a residual path of whole images with probability `rate` in training (stochastic depth, arXiv 1603.09382)."""

    def __init__(self, rate: float = 0.0) -> None:
        super().__init__()
        self.rate = rate

    def forward(self, x: Tensor) -> Tensor:
        """Return `x` (B, ...) with some images zeroed and the others scaled up by 1 / (1 - rate)."""
        if not self.training or self.rate == 0.0:
            return x
        keep = x.new_empty(x.shape[0], *[1] * (x.ndim - 1)).bernoulli_(1 - self.rate)
        return x * keep / (1 - self.rate)


class LayerScale(nn.Module):
    """A learnable scale per channel (arXiv 2103.17239)."""

    def __init__(self, dim: int, init: float = 1.0) -> None:
        super().__init__()
        self.gamma = nn.Parameter(torch.full((dim,), init))

    def forward(self, x: Tensor) -> Tensor:
        """Scale `x` (..., dim)."""
        return x * self.gamma


class QuickGELU(nn.Module):
    """CLIP's approximation of GELU: x * sigmoid(1.702 x)."""

    def forward(self, x: Tensor) -> Tensor:
        """Apply to `x` of any shape."""
        return x * torch.sigmoid(1.702 * x)


class SwiGLU(nn.Module):
    """The first half of the channels, through SiLU, times the second (arXiv 2002.05202)."""

    def forward(self, x: Tensor) -> Tensor:
        """Gate `x` (..., 2 C); return (..., C)."""
        gate, x = x.chunk(2, -1)
        return F.silu(gate) * x


ACTIVATIONS: Mapping[str, Callable[[], nn.Module]] = {
    "gelu": nn.GELU,
    "gelu-tanh": partial(nn.GELU, approximate="tanh"),
    "quick-gelu": QuickGELU,
    "swiglu": SwiGLU,
}
"""The activations by their names in `catalog.ViT.activation`."""


class GroupNorm(nn.GroupNorm):
    """PyTorch's GroupNorm, also where its own backward pass ends the process.

    On a CPU, PyTorch 2.13 writes the gradient of a channels-last input to address zero if the input needs none, as the
    map of a frozen branch: such a map is copied into the usual layout.
    """

    def forward(self, x: Tensor) -> Tensor:
        """Normalise `x` (B, C, H, W)."""
        if x.device.type == "cpu" and torch.is_grad_enabled() and not x.requires_grad:
            x = x.clone(memory_format=torch.contiguous_format)  # `contiguous` leaves a map of one position as it is
        return super().forward(x)


def group_norm(dim: int) -> GroupNorm:
    """Return the merge's GroupNorm: 32 groups as published, fewer if a narrower model's width needs it."""
    return GroupNorm(math.gcd(32, dim), dim)


def to_map(tokens: Tensor, grid: tuple[int, int]) -> Tensor:
    """Arrange tokens (B, H*W, C) on their grid as a map (B, C, H, W).

    The map is channels last in memory, also for one image: exported programs, traced with several, expect that.
    """
    return tokens.unflatten(1, grid).permute(0, 3, 1, 2)


def to_tokens(x: Tensor) -> Tensor:
    """Flatten a map (B, C, H, W) into tokens (B, H*W, C)."""
    return x.flatten(2).transpose(1, 2)


def resize(x: Tensor, size: tuple[int, int]) -> Tensor:
    """Resize a map or image (B, C, H, W) bilinearly, without aligned corners and without antialiasing."""
    if tuple(x.shape[2:]) == tuple(size):
        return x
    return F.interpolate(x, size=size, mode="bilinear", align_corners=False)


def scale(images: Tensor, part: int, whole: int) -> Tensor:
    """Resize images (B, C, H, W) bilinearly to part / whole of their size, rounded down.

    If that is not a whole number of pixels, samples still lie at the exact ratio, as in the published models.
    """
    height, width = images.shape[2:]
    size = (height * part // whole, width * part // whole)
    if height * part % whole == 0 and width * part % whole == 0:
        return resize(images, size)
    ratio = part / whole
    return torch.ops.aten.upsample_bilinear2d(images, size, False, ratio, ratio)
