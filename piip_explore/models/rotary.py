"""Rotary positions: pairs of channels of queries and keys, turned by angles of their patch's place in the image."""

from __future__ import annotations

import torch
from torch import Tensor

from piip_explore.catalog import Rotary


def angles(
    rotary: Rotary, head_dim: int, grid: tuple[int, int], cells: tuple[int, int], device: torch.device
) -> Tensor:
    """Return the angles (rows * columns, head_dim / 2) in radians of a grid of `cells` (rows, columns).

    The first `grid` (H, W) of them are the map, over which `rotary` stretches; cells beyond it, as windows have,
    continue at the same spacing.
    """
    frequencies = rotary.base ** (torch.arange(head_dim // 4, device=device) * (-4 / head_dim))
    turns = [
        ((torch.arange(count, device=device) + rotary.offset) * (rotary.extent / side) + rotary.origin)[:, None]
        * frequencies
        for count, side in zip(cells, grid, strict=True)
    ]
    rows = turns[0][:, None].expand(*cells, -1)
    columns = turns[1][None].expand(*cells, -1)
    return torch.cat([columns, rows] if rotary.columns_first else [rows, columns], -1).flatten(0, 1)


def turn(x: Tensor, angles: Tensor, halves: bool) -> Tensor:
    """Turn the pairs of channels of heads (..., tokens, heads, C) by `angles` (..., tokens, C / 2).

    Args:
        halves: pairs are channels j and j + C / 2, not neighbours.
    """
    cos, sin = angles.cos().unsqueeze(-2), angles.sin().unsqueeze(-2)
    if halves:
        a, b = x.chunk(2, -1)
        turned = torch.cat([a * cos - b * sin, b * cos + a * sin], -1)
    else:
        a, b = x[..., 0::2], x[..., 1::2]
        turned = torch.stack([a * cos - b * sin, b * cos + a * sin], -1).flatten(-2)
    return turned.to(x.dtype)
