"""The operator in PyTorch alone, on any device: a sparse matrix of bilinear weights times the value.

A (query, head) row of that matrix has 4*points entries, one per sampled corner. The product is an `embedding_bag`; the
value's gradient is the transposed product, an `embedding_bag` again after sorting the entries by column, and therefore
deterministic; the gradients of offsets and logits follow from one dot product per entry. `grid_sample` is not used: its
normalised coordinates round, and at a pixel centre, where PIIP's offsets start, rounding picks the derivative's side.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor


class Corners(NamedTuple):
    """The four pixels around every sampled location.

    `row` numbers the rows of the value viewed as (B*S*heads, width), `known` is false outside the map; both are
    (B, Q, heads, points, 2, 2) over corner y and x. `fraction_x` and `fraction_y`, (B, Q, heads, points), are the
    location's place between its left and right, upper and lower corner.
    """

    row: Tensor
    known: Tensor
    fraction_x: Tensor
    fraction_y: Tensor

    def weights(self) -> Tensor:
        """Return the bilinear weights, zero outside the map, in the shape of `row`."""
        along_x = torch.stack([1 - self.fraction_x, self.fraction_x], -1)
        along_y = torch.stack([1 - self.fraction_y, self.fraction_y], -1)
        return along_y[..., :, None] * along_x[..., None, :] * self.known


def forward(
    value: Tensor, offsets: Tensor, logits: Tensor, key_grid: Sequence[int], query_grid: Sequence[int]
) -> Tensor:
    """Return the attended values (B, Q, heads*width) in the dtype of `value`."""
    dtype = _compute_dtype(value)
    corners = _locate(offsets.to(dtype), key_grid, query_grid)
    attention = logits.to(dtype).softmax(-1)
    entries = _entries(attention[..., None, None] * corners.weights())
    out = F.embedding_bag(_entries(corners.row), _rows(value, logits), mode="sum", per_sample_weights=entries)
    return out.reshape(*logits.shape[:2], -1).to(value.dtype)


def backward(
    gradient: Tensor,
    value: Tensor,
    offsets: Tensor,
    logits: Tensor,
    key_grid: Sequence[int],
    query_grid: Sequence[int],
    needs: Sequence[bool],
) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
    """Return the gradients of value, offsets and logits, None where `needs` says that nobody asks."""
    dtype = _compute_dtype(value)
    corners = _locate(offsets.to(dtype), key_grid, query_grid)
    attention = logits.to(dtype).softmax(-1)
    gradient = _rows(gradient, logits)
    of_value = of_offsets = of_logits = None
    if needs[0]:
        entries = attention[..., None, None] * corners.weights()
        of_value = _transposed_product(
            _entries(corners.row), _entries(entries), gradient, _rows(value, logits).shape[0]
        )
        of_value = of_value.reshape(value.shape).to(value.dtype)
    if needs[1] or needs[2]:
        dots = _dots(_entries(corners.row), gradient, _rows(value, logits)).reshape(corners.row.shape)
        dots = torch.where(corners.known, dots, 0)
        if needs[1]:
            of_offsets = (attention[..., None] * _location_gradient(dots, corners)).to(offsets.dtype)
        if needs[2]:
            of_attention = (corners.weights() * dots).sum((-2, -1))
            mean = (attention * of_attention).sum(-1, keepdim=True)
            of_logits = (attention * (of_attention - mean)).to(logits.dtype)
    return of_value, of_offsets, of_logits


def _compute_dtype(value: Tensor) -> torch.dtype:
    return torch.float64 if value.dtype == torch.float64 else torch.float32


def _rows(tensor: Tensor, logits: Tensor) -> Tensor:
    """View (B, N, heads*width) as (B*N*heads, width) in the dtype of computation."""
    heads = logits.shape[2]
    return tensor.to(_compute_dtype(tensor)).reshape(-1, tensor.shape[2] // heads)


def _entries(corners: Tensor) -> Tensor:
    """Flatten (B, Q, heads, points, 2, 2) to (B*Q*heads, 4*points): the entries of each matrix row."""
    return corners.reshape(-1, 4 * corners.shape[3])


def _query_centres(key_size: int, query_size: int, like: Tensor) -> tuple[Tensor, Tensor]:
    """Return along one axis each query centre's pixel of the key map, and its fraction beyond that pixel.

    The split is made in integers: a fraction is exact to the last bit whatever the size of the map.
    """
    numerator = (2 * torch.arange(query_size, device=like.device) + 1) * key_size - query_size
    pixel = numerator.div(2 * query_size, rounding_mode="floor")
    return pixel.to(like.dtype), (numerator - pixel * 2 * query_size).to(like.dtype) / (2 * query_size)


def _locate(offsets: Tensor, key_grid: Sequence[int], query_grid: Sequence[int]) -> Corners:
    batch, _, heads, _, _ = offsets.shape
    (height, width), (query_height, query_width) = key_grid, query_grid
    pixel_x, fraction_x = _query_centres(width, query_width, offsets)
    pixel_y, fraction_y = _query_centres(height, query_height, offsets)
    moved_x = fraction_x.repeat(query_height)[:, None, None] + offsets[..., 0]
    moved_y = fraction_y.repeat_interleave(query_width)[:, None, None] + offsets[..., 1]
    x = moved_x.floor() + pixel_x.repeat(query_height)[:, None, None]
    y = moved_y.floor() + pixel_y.repeat_interleave(query_width)[:, None, None]
    inside = (x >= -1) & (x <= width - 1) & (y >= -1) & (y <= height - 1)  # false for nan

    step = torch.arange(2, device=offsets.device)
    x = torch.where(inside, x, 0).long()[..., None, None] + step
    y = torch.where(inside, y, 0).long()[..., None, None] + step[:, None]
    known = inside[..., None, None] & (x >= 0) & (x < width) & (y >= 0) & (y < height)
    image = torch.arange(batch, device=offsets.device)[:, None, None, None, None, None]
    head = torch.arange(heads, device=offsets.device)[:, None, None, None]
    pixel = y.clamp(0, height - 1) * width + x.clamp(0, width - 1)
    row = (image * height * width + pixel) * heads + head
    return Corners(
        row,
        known,
        torch.where(inside, moved_x - moved_x.floor(), 0),
        torch.where(inside, moved_y - moved_y.floor(), 0),
    )


def _location_gradient(dots: Tensor, corners: Corners) -> Tensor:
    """Differentiate the bilinear sum of `dots` by the location: (B, Q, heads, points, 2), x first."""
    fraction_x, fraction_y = corners.fraction_x, corners.fraction_y
    upper, lower = dots[..., 0, :], dots[..., 1, :]
    along_x = torch.lerp(upper[..., 1] - upper[..., 0], lower[..., 1] - lower[..., 0], fraction_y)
    along_y = torch.lerp(lower[..., 0] - upper[..., 0], lower[..., 1] - upper[..., 1], fraction_x)
    return torch.stack([along_x, along_y], -1)


def _transposed_product(columns: Tensor, entries: Tensor, gradient: Tensor, rows: int) -> Tensor:
    """Return the sparse matrix (`columns`, `entries`: one line per row of `gradient`), transposed, times `gradient`."""
    ordered, order = torch.sort(columns.reshape(-1), stable=True)
    starts = torch.searchsorted(ordered, torch.arange(rows, device=columns.device))
    return F.embedding_bag(
        order // columns.shape[1], gradient, starts, mode="sum", per_sample_weights=entries.reshape(-1)[order]
    )


def _dots(columns: Tensor, gradient: Tensor, rows: Tensor) -> Tensor:
    """Return the dot product of each line of `gradient` with the rows of the value that `columns` names.

    Entry by entry: all gathered rows at once would be 4*points times the size of the output.
    """
    return torch.stack(
        [torch.linalg.vecdot(rows.index_select(0, column), gradient) for column in columns.unbind(1)], -1
    )
