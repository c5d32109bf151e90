"""The gradient of the value through Triton by gathering: samples are listed by cell, and each pixel sums its lists.

Some maps (heads of images) at a time, so that their samples fit in memory.
"""

from __future__ import annotations

import torch
import triton
from torch import Tensor

from piip_explore.ops import triton_kernels as kernels
from piip_explore.ops.launch import Tile, launch_blocks, launch_whole_rows
from piip_explore.ops.triton_call import INT32_ELEMENTS, Call, programs

SORTED_BYTES_PER_SAMPLE = 64
"""The most that gathering in order holds per sample: its cell (4), attention and fractions (12, or 24 in float64), and
the sort's keys and indices: its results (12), and two sets of its own (20)."""

RANKED_BYTES_PER_SAMPLE = 40
"""Without an order: cell, attention and fractions, its number in the cell (4) and its place in the lists (8)."""

BYTES_PER_CELL = 8
"""The cell's number, or count, and its list's start."""

SUMMED_AT_ONCE = 64
"""Samples of a block that is summed ahead, and blocks that are summed again; a power of two."""

RANKED_AT_ONCE = 1024
"""Samples of a program that numbers them."""


def value_gradient(gradient: Tensor, call: Call, ordered: bool) -> Tensor:
    """Return the gradient of the value; `ordered`: every pixel sums its samples in a fixed order."""
    cells_per_map = _cells_per_map(call)
    bytes_per_sample = SORTED_BYTES_PER_SAMPLE if ordered else RANKED_BYTES_PER_SAMPLE
    bytes_per_sample += triton.cdiv(4 * call.width * call.compute_dtype.itemsize, SUMMED_AT_ONCE)
    samples_per_map = call.queries * call.points
    bytes_per_map = samples_per_map * bytes_per_sample + cells_per_map * BYTES_PER_CELL
    counted = (INT32_ELEMENTS - 1) // max(cells_per_map, samples_per_map)
    step = max(min(4 * call.value.numel() // bytes_per_map, counted), 1)
    of_value = torch.empty_like(call.value)
    for first in range(0, call.maps, step):
        _gather_maps(of_value, gradient, call, ordered, first, min(step, call.maps - first))
    return of_value


def _cells_per_map(call: Call) -> int:
    return (call.sizes[1] + 1) * (call.sizes[2] + 1)


def _gather_maps(of_value: Tensor, gradient: Tensor, call: Call, ordered: bool, first: int, count: int) -> None:
    """Write the gradient of the value in `count` maps from the `first` on."""
    tile = launch_whole_rows(call.width, call.compute_dtype.itemsize)
    cells, samples = _samples(call, tile, first, count)
    outside = count * _cells_per_map(call)
    order, starts = (_sorted if ordered else _ranked)(cells.flatten(), outside)
    constants = call.shape_constants() | {"WIDTH": call.width, "LANES": tile.lanes, "BLOCK": SUMMED_AT_ONCE}
    full = cells.numel() // SUMMED_AT_ONCE
    groups = triton.cdiv(full, SUMMED_AT_ONCE)
    blocks = groups * SUMMED_AT_ONCE
    sums = torch.empty((blocks + groups, 4, call.width), dtype=call.compute_dtype, device=of_value.device)
    if full:
        warps = launch_blocks(SUMMED_AT_ONCE, call.width).warps
        kernels.block_kernel[(full,)](
            *(gradient, cells, samples, order, starts, sums, first, call.queries, outside), **constants, num_warps=warps
        )
        sums[blocks:] = sums[:blocks].unflatten(0, (groups, SUMMED_AT_ONCE)).sum(1)
    keys = of_value.shape[1]
    kernels.gathered_value_gradient_kernel[programs(count, keys, tile)](
        *(gradient, samples, order, starts, sums, of_value, blocks, first, call.queries, keys, call.sizes[2]),
        **constants,
        QUERIES=tile.queries,
        num_warps=tile.warps,
    )


def _samples(call: Call, tile: Tile, first: int, count: int) -> tuple[Tensor, Tensor]:
    """Return every sample's cell (count, Q, points), and its attention and fractions (count, Q, points, 3)."""
    shape, device = (count, call.queries, call.points), call.value.device
    cells = torch.empty(shape, dtype=torch.int32, device=device)
    samples = torch.empty((*shape, 3), dtype=call.compute_dtype, device=device)
    kernels.cell_kernel[programs(count, call.queries, tile)](
        *(call.offsets, call.logits, cells, samples, first, count, *call.sizes),
        **call.shape_constants(),
        GIVEN=call.given,
        QUERIES=tile.queries,
        num_warps=tile.warps,
    )
    return cells, samples


def _sorted(cells: Tensor, number: int) -> tuple[Tensor, Tensor]:
    """Return the samples listed by cell, those of a cell in their order, and where each of `number` lists begins."""
    by_cell, order = torch.sort(cells, stable=True)
    boundaries = torch.arange(number + 1, dtype=torch.int32, device=cells.device)
    return order, torch.searchsorted(by_cell, boundaries, out_int32=True)


def _ranked(cells: Tensor, number: int) -> tuple[Tensor, Tensor]:
    """Return the same without a sort: those of a cell come in any order."""
    counts = torch.zeros(number + 1, dtype=torch.int32, device=cells.device)
    ranks = torch.empty_like(cells)
    order = torch.empty(cells.shape, dtype=torch.int64, device=cells.device)
    grid = (triton.cdiv(len(cells), RANKED_AT_ONCE),)
    kernels.rank_kernel[grid](cells, counts, ranks, len(cells), number, BLOCK=RANKED_AT_ONCE)
    starts = counts.cumsum(0, dtype=torch.int32)
    kernels.list_kernel[grid](cells, ranks, starts, order, len(cells), number, BLOCK=RANKED_AT_ONCE)
    return order, starts
