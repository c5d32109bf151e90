"""Deformable attention in plain steps and float64: what every backend is judged against."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


def deformable_attention_reference(
    value: Tensor, offsets: Tensor, logits: Tensor, key_grid: tuple[int, int], query_grid: tuple[int, int]
) -> Tensor:
    """Compute the operator (same arguments and shapes as `deformable_attention`) in float64 by autograd alone.

    A location exactly on a pixel has one-sided derivatives; `floor` chooses the right one, at -1 too. A location
    outside the map, and one that is not a number, samples zero and has zero gradient.
    """
    offsets = offsets.double()
    (height, width), (query_height, query_width) = key_grid, query_grid
    query = torch.arange(logits.shape[1], device=value.device)
    # The numerator is an integer, so a query centre that falls on a pixel centre is on it exactly.
    x = ((2 * (query % query_width) + 1) * width - query_width).double() / (2 * query_width)
    y = ((2 * (query // query_width) + 1) * height - query_height).double() / (2 * query_height)
    x = x[:, None, None] + offsets[..., 0]
    y = y[:, None, None] + offsets[..., 1]
    return weighted_samples(value.double(), x, y, logits.double().softmax(-1), key_grid)


def multi_scale_reference(
    value: Tensor, spatial_shapes: Sequence[tuple[int, int]], sampling_locations: Tensor, attention_weights: Tensor
) -> Tensor:
    """Compute `piip_explore.ops.compat.ms_deform_attn` (same shapes) in float64 by autograd alone.

    Source: Deformable DETR (arXiv 2010.04159), equation 3: location p of a level is at `p * size - 0.5` pixels.
    """
    batch, queries, heads = sampling_locations.shape[:3]
    locations, weights = sampling_locations.double(), attention_weights.double()
    maps = value.double().flatten(2).split([height * width for height, width in spatial_shapes], dim=1)
    out = value.new_zeros(batch, queries, heads * value.shape[3], dtype=torch.float64)
    for level, (height, width) in enumerate(spatial_shapes):
        x = locations[:, :, :, level, :, 0] * width - 0.5
        y = locations[:, :, :, level, :, 1] * height - 0.5
        out = out + weighted_samples(maps[level], x, y, weights[:, :, :, level], (height, width))
    return out


def weighted_samples(value: Tensor, x: Tensor, y: Tensor, weights: Tensor, key_grid: tuple[int, int]) -> Tensor:
    """Sum the samples of `value` (B, S, heads*width) at pixels (x, y), all three (B, Q, heads, points)."""
    batch, queries, heads, points = weights.shape
    height, width = key_grid
    maps = value.reshape(batch, height, width, heads, -1)
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
    return (weights[..., None] * sampled).sum(-2).reshape(batch, queries, -1)
