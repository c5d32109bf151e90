"""The operator in PyTorch alone, on any device: a sparse matrix of bilinear weights times the value.

A (query, head) row of that matrix has 4*points entries, one per sampled corner. The product is an `embedding_bag`; the
value's gradient is the transposed product, an `embedding_bag` again after sorting the entries by column, and therefore
deterministic; the gradients of offsets and logits follow from one dot product per entry. `grid_sample` is not used: its
normalised coordinates round, and at a pixel centre, where PIIP's offsets start, rounding picks the derivative's side.

What belongs to a sample is (points, N) here, N = B*Q*heads: with the long axis last every step is one contiguous loop.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor


class Corners(NamedTuple):
    """The four pixels around every sampled location.

    `row` (2, 2, points, N), over corner y and x, numbers the rows of the value viewed as (B*S*heads, width); for a
    corner outside the map it is some other row, of weight zero. The others are (2, points, N): the bilinear weights
    along each axis, and their derivatives by the location, both zero outside the map.
    """

    row: Tensor
    weights_x: Tensor
    weights_y: Tensor
    slopes_x: Tensor
    slopes_y: Tensor

    def entries(self, attention: Tensor) -> Tensor:
        """Return attention times bilinear weight of every corner, in the shape of `row`."""
        return (attention * self.weights_y)[:, None] * self.weights_x


def forward(
    value: Tensor, offsets: Tensor, logits: Tensor, key_grid: Sequence[int], query_grid: Sequence[int] | None
) -> Tensor:
    """Return the attended values (B, Q, heads*width) in the dtype of `value`."""
    corners = _locate(_by_sample(offsets, value), logits.shape, key_grid, query_grid)
    attention = _attention(logits, value, query_grid)
    out = F.embedding_bag(
        corners.row.flatten(0, 2).t(),
        _rows(value, logits),
        mode="sum",
        per_sample_weights=corners.entries(attention).flatten(0, 2).t(),
    )
    return out.reshape(*logits.shape[:2], -1).to(value.dtype)


def backward(
    gradient: Tensor,
    value: Tensor,
    offsets: Tensor,
    logits: Tensor,
    key_grid: Sequence[int],
    query_grid: Sequence[int] | None,
    needs: Sequence[bool],
) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
    """Return the gradients of value, offsets and logits, None for those not in `needs`."""
    corners = _locate(_by_sample(offsets, value), logits.shape, key_grid, query_grid)
    attention = _attention(logits, value, query_grid)
    gradient, rows = _rows(gradient, logits), _rows(value, logits)
    of_value = of_offsets = of_logits = None
    if needs[0]:
        of_rows = _transposed_product(corners.row, corners.entries(attention), gradient, rows.shape[0])
        of_value = of_rows.reshape(value.shape).to(value.dtype)
    if needs[1] or needs[2]:
        dots = _dots(corners.row, gradient, rows)
        by_column = (corners.weights_y[:, None] * dots).sum(0)
        if needs[1]:
            by_row = (corners.weights_x * dots).sum(1)
            along = torch.stack([(corners.slopes_x * by_column).sum(0), (corners.slopes_y * by_row).sum(0)])
            of_offsets = (attention * along).permute(2, 1, 0).contiguous().reshape(offsets.shape).to(offsets.dtype)
        if needs[2]:
            of_attention = (corners.weights_x * by_column).sum(0)
            if query_grid is not None:  # through the softmax
                of_attention = attention * (of_attention - (attention * of_attention).sum(0))
            of_logits = of_attention.t().contiguous().reshape(logits.shape).to(logits.dtype)
    return of_value, of_offsets, of_logits


def _compute_dtype(value: Tensor) -> torch.dtype:
    return torch.float64 if value.dtype == torch.float64 else torch.float32


def _by_sample(tensor: Tensor, value: Tensor) -> Tensor:
    """Turn logits (B, Q, heads, points) to (points, N), offsets to (2, points, N), in the dtype of computation."""
    wide = tensor.to(_compute_dtype(value)).flatten(0, 2)
    return wide.permute(*reversed(range(wide.dim()))).contiguous()


def _attention(logits: Tensor, value: Tensor, query_grid: Sequence[int] | None) -> Tensor:
    """Return the weights of the samples, (points, N)."""
    weights = _by_sample(logits, value)
    return weights if query_grid is None else weights.softmax(0)


def _rows(tensor: Tensor, logits: Tensor) -> Tensor:
    """View (B, S, heads*width) as (B*S*heads, width) in the dtype of computation."""
    heads = logits.shape[2]
    return tensor.to(_compute_dtype(tensor)).reshape(-1, tensor.shape[2] // heads)


def _locate(
    offsets: Tensor, logits_shape: Sequence[int], key_grid: Sequence[int], query_grid: Sequence[int] | None
) -> Corners:
    batch, queries, heads, _ = logits_shape
    height, width = key_grid
    number = torch.arange(batch * queries * heads, device=offsets.device)
    query, head, image = number // heads % queries, number % heads, number // (heads * queries)
    along_x: tuple[Tensor | int, Tensor] = (0, offsets.new_zeros(()))
    along_y = along_x
    if query_grid is not None:
        along_x = _centres(query % query_grid[1], width, query_grid[1], offsets.dtype)
        along_y = _centres(query // query_grid[1], height, query_grid[0], offsets.dtype)
    x, weights_x, slopes_x = _along_axis(offsets[0], *along_x, width)
    y, weights_y, slopes_y = _along_axis(offsets[1], *along_y, height)
    first = (image * (height * width * heads) + head) + y * (width * heads) + x * heads
    step = torch.arange(2, device=offsets.device)[:, None, None] * heads  # no host tensor: a GPU would wait for it
    row = (first + step[:, None] * width + step).clamp_(0, batch * height * width * heads - 1)
    return Corners(row, weights_x, weights_y, slopes_x, slopes_y)


def _centres(query: Tensor, size: int, queries: int, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """Return the pixel of each query's centre along one axis, and its fraction beyond.

    Split in integers: the fraction is exact to the last bit whatever the size of the map, and a centre on a pixel is
    on it exactly.
    """
    numerator = (2 * query + 1) * size - queries
    pixel = numerator.div(2 * queries, rounding_mode="floor")
    return pixel, (numerator - pixel * (2 * queries)).to(dtype) / (2 * queries)


def _along_axis(offset: Tensor, pixel: Tensor | int, fraction: Tensor, size: int) -> tuple[Tensor, Tensor, Tensor]:
    """Return each location's lower pixel along one axis, the weights of it and the next, and their derivatives.

    A location is `offset` from a centre in `pixel`, `fraction` beyond it.
    """
    moved = fraction + offset
    whole = moved.floor()
    place = whole + pixel
    inside = (place >= -1) & (place < size)  # false for nan
    share = torch.where(inside, moved - whole, 0)
    place = torch.where(inside, place, -2)
    known = torch.stack([place >= 0, inside & (place < size - 1)]).to(share.dtype)
    weights = torch.stack([1 - share, share]) * known
    sign = torch.arange(-1, 2, 2, device=offset.device)[:, None, None]
    return place.long(), weights, known * sign


def _transposed_product(columns: Tensor, entries: Tensor, gradient: Tensor, rows: int) -> Tensor:
    """Return the sparse matrix of `entries` in `columns`, transposed to `rows` lines, times `gradient`.

    The last axis of both is the matrix's row, a line of `gradient`.
    """
    small = torch.int32 if rows < 2**31 else torch.int64  # sorted in half the time
    ordered, order = torch.sort(columns.flatten().to(small), stable=True)
    starts = torch.searchsorted(ordered, torch.arange(rows, dtype=small, device=columns.device))
    return F.embedding_bag(
        order % gradient.shape[0], gradient, starts, mode="sum", per_sample_weights=entries.flatten()[order]
    )


def _dots(columns: Tensor, gradient: Tensor, rows: Tensor) -> Tensor:
    """Return the dot product of each line of `gradient` with the rows of the value that `columns` names.

    Corner by corner: all gathered rows at once would be 4*points times the size of the output.
    """
    dots = [rows.index_select(0, corner).mul_(gradient).sum(1) for corner in columns.flatten(0, 2)]
    return torch.stack(dots).reshape(columns.shape)
