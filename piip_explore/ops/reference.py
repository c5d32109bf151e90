"""Deformable attention in plain steps and float64: what every backend is judged against."""

from __future__ import annotations

import torch
from torch import Tensor


def deformable_attention_reference(
    value: Tensor, offsets: Tensor, logits: Tensor, key_grid: tuple[int, int], query_grid: tuple[int, int]
) -> Tensor:
    """Compute the operator (same arguments and shapes as `deformable_attention`) in float64 by autograd alone.

    A location exactly on a pixel has one-sided derivatives; `floor` chooses the right one, at -1 too. A location
    outside the map, and one that is not a number, samples zero and has zero gradient.
    """
    value, offsets, logits = value.double(), offsets.double(), logits.double()
    batch, queries, heads, points = logits.shape
    (height, width), (query_height, query_width) = key_grid, query_grid
    maps = value.reshape(batch, height, width, heads, -1)
    query = torch.arange(queries, device=value.device)
    # The numerator is an integer, so a query centre that falls on a pixel centre is on it exactly.
    x = ((2 * (query % query_width) + 1) * width - query_width).double() / (2 * query_width)
    y = ((2 * (query // query_width) + 1) * height - query_height).double() / (2 * query_height)
    x = x[:, None, None] + offsets[..., 0]
    y = y[:, None, None] + offsets[..., 1]
    inside = (x >= -1) & (x < width) & (y >= -1) & (y < height)
    x, y = torch.where(inside, x, 0), torch.where(inside, y, 0)

    left, top = x.detach().floor(), y.detach().floor()
    image = torch.arange(batch, device=value.device)[:, None, None, None]
    head = torch.arange(heads, device=value.device)[:, None]
    sampled = value.new_zeros(batch, queries, heads, points, maps.shape[-1])
    for row, row_weight in ((top, 1 - (y - top)), (top + 1, y - top)):
        for column, column_weight in ((left, 1 - (x - left)), (left + 1, x - left)):
            known = inside & (row >= 0) & (row < height) & (column >= 0) & (column < width)
            pixel = maps[image, row.clamp(0, height - 1).long(), column.clamp(0, width - 1).long(), head]
            weight = torch.where(known, row_weight * column_weight, 0)
            sampled = sampled + weight[..., None] * torch.where(known[..., None], pixel, 0)
    attention = logits.softmax(-1)
    return (attention[..., None] * sampled).sum(-2).reshape(batch, queries, -1)
