"""The operator through Triton: allocates, chooses launch parameters, starts the kernels of `triton_kernels`."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Literal

import torch
import triton
import triton.language as tl
from torch import Tensor

from piip_explore.errors import InputError
from piip_explore.ops import triton_kernels as kernels
from piip_explore.ops.launch import (
    SAMPLING_GRADIENT,
    VALUE_GRADIENT,
    Launch,
    Program,
    forward_program,
    launch,
    launch_blocks,
    launch_whole_rows,
)

INT32_ELEMENTS = 2**31
"""Within one image the kernels count in 32 bits."""

ALIGNMENT = 16
"""Bytes: a pointer off this grid would compile variants of the kernels whose every load is scalar."""

FORWARD: Program | None = None
"""In place of the launch table's program for a forward pass."""

VALUE_GRADIENT_BY: Literal["adding", "gathering"] = "adding"
"""How the value's gradient is summed where its order is free: by atomic additions, or by pixel from lists. Which is
faster only a GPU can tell (`python -m benchmarks.kernel_launch --kernel value_gradient`)."""

SORTED_BYTES_PER_SAMPLE = 64
"""What gathering in order holds at most per sample: its cell (4), attention and fractions (12, or 24 in float64), and
the sort's keys and indices: its results (12), and two sets of its own (20)."""

RANKED_BYTES_PER_SAMPLE = 40
"""Without an order: cell, attention and fractions, its number in the cell (4) and its place in the lists (8)."""

BYTES_PER_CELL = 8
"""The cell's number, or count, and its list's start."""

SUMMED_AT_ONCE = 64
"""Samples of a block that is summed ahead, and blocks that are summed again; a power of two."""

RANKED_AT_ONCE = 1024
"""Samples of a program that numbers them."""


def forward(
    value: Tensor, offsets: Tensor, logits: Tensor, key_grid: Sequence[int], query_grid: Sequence[int] | None
) -> Tensor:
    """Return the attended values (B, Q, heads*width) in the dtype of `value`."""
    _check(value, offsets, logits, key_grid, query_grid)
    value, offsets, logits = _aligned(value), _aligned(offsets), _aligned(logits)
    batch, queries, heads, points = logits.shape
    out = value.new_empty(batch, queries, value.shape[2])
    row = value.shape[2] // heads, value.element_size()
    tile = launch(FORWARD or forward_program(*row, points), *row)
    with _on(value):
        kernels.forward_kernel[_programs(batch * heads, queries, tile, query_grid)](
            value,
            offsets,
            logits,
            out,
            queries,
            *key_grid,
            *_sizes(query_grid),
            **_constants(value, logits, tile, query_grid),
            AHEAD=tile.ahead,
        )
    return out


def backward(
    gradient: Tensor,
    value: Tensor,
    offsets: Tensor,
    logits: Tensor,
    key_grid: Sequence[int],
    query_grid: Sequence[int] | None,
    needs: Sequence[bool],
) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
    """Return the gradients of value, offsets and logits, None where `needs` says that nobody asks.

    The value's comes first: its float32 buffer is gone again when the others are allocated.
    """
    _check(value, offsets, logits, key_grid, query_grid)
    gradient, value, offsets, logits = _aligned(gradient), _aligned(value), _aligned(offsets), _aligned(logits)
    of_value = of_offsets = of_logits = None
    with _on(value):
        if needs[0]:
            gathers = torch.are_deterministic_algorithms_enabled() or VALUE_GRADIENT_BY == "gathering"
            differentiate = _gathered_value_gradient if gathers else _added_value_gradient
            of_value = differentiate(gradient, value, offsets, logits, key_grid, query_grid)
        if needs[1] or needs[2]:
            of_offsets, of_logits = _sampling_gradient(gradient, value, offsets, logits, key_grid, query_grid)
    return of_value, of_offsets if needs[1] else None, of_logits if needs[2] else None


def _added_value_gradient(
    gradient: Tensor,
    value: Tensor,
    offsets: Tensor,
    logits: Tensor,
    key_grid: Sequence[int],
    query_grid: Sequence[int] | None,
) -> Tensor:
    batch, queries, heads, _ = logits.shape
    total = torch.zeros_like(value, dtype=_compute_dtype(value))
    tile = launch(VALUE_GRADIENT, value.shape[2] // heads, total.element_size())
    kernels.value_gradient_kernel[_programs(batch * heads, queries, tile, query_grid)](
        gradient,
        offsets,
        logits,
        total,
        queries,
        *key_grid,
        *_sizes(query_grid),
        **_constants(value, logits, tile, query_grid),
    )
    return total.to(value.dtype)


def _gathered_value_gradient(
    gradient: Tensor,
    value: Tensor,
    offsets: Tensor,
    logits: Tensor,
    key_grid: Sequence[int],
    query_grid: Sequence[int] | None,
) -> Tensor:
    """Return the gradient of the value, some maps (heads of images) at a time, so that their samples fit in memory."""
    batch, queries, heads, points = logits.shape
    maps = batch * heads
    cells_per_map = (key_grid[0] + 1) * (key_grid[1] + 1)
    ordered = torch.are_deterministic_algorithms_enabled()
    bytes_per_sample = SORTED_BYTES_PER_SAMPLE if ordered else RANKED_BYTES_PER_SAMPLE
    bytes_per_sample += triton.cdiv(4 * value.shape[2] // heads * _compute_dtype(value).itemsize, SUMMED_AT_ONCE)
    bytes_per_map = queries * points * bytes_per_sample + cells_per_map * BYTES_PER_CELL
    counted = (INT32_ELEMENTS - 1) // max(cells_per_map, queries * points)
    step = max(min(4 * value.numel() // bytes_per_map, counted), 1)
    of_value = torch.empty_like(value)
    for first in range(0, maps, step):
        _gather_maps(of_value, gradient, offsets, logits, key_grid, query_grid, first, min(step, maps - first))
    return of_value


def _gather_maps(
    of_value: Tensor,
    gradient: Tensor,
    offsets: Tensor,
    logits: Tensor,
    key_grid: Sequence[int],
    query_grid: Sequence[int] | None,
    first: int,
    count: int,
) -> None:
    """Write the gradient of the value in `count` maps from the `first` on."""
    _, queries, heads, points = logits.shape
    compute_dtype, device = _compute_dtype(of_value), of_value.device
    tile = launch_whole_rows(of_value.shape[2] // heads, compute_dtype.itemsize)
    constants = _constants(of_value, logits, tile, query_grid)
    del constants["HIGH"]
    of_cells = {name: constants[name] for name in constants if name not in ("WIDTH", "LANES")}
    cells = torch.empty((count, queries, points), dtype=torch.int32, device=device)
    samples = torch.empty((count, queries, points, 3), dtype=compute_dtype, device=device)
    kernels.cell_kernel[_programs(count, queries, tile)](
        offsets, logits, cells, samples, first, count, queries, *key_grid, *_sizes(query_grid), **of_cells
    )
    list_samples = _sorted if torch.are_deterministic_algorithms_enabled() else _ranked
    outside = count * (key_grid[0] + 1) * (key_grid[1] + 1)
    order, starts = list_samples(cells.flatten(), outside)
    of_pixels = {name: constants[name] for name in constants if name != "GIVEN"} | {"BLOCK": SUMMED_AT_ONCE}
    full = cells.numel() // SUMMED_AT_ONCE
    groups = triton.cdiv(full, SUMMED_AT_ONCE)
    blocks = groups * SUMMED_AT_ONCE
    sums = torch.empty((blocks + groups, 4, constants["WIDTH"]), dtype=compute_dtype, device=device)
    if full:
        of_blocks = {name: of_pixels[name] for name in of_pixels if name != "QUERIES"}
        of_blocks["num_warps"] = launch_blocks(SUMMED_AT_ONCE, constants["WIDTH"]).warps
        kernels.block_kernel[(full,)](
            gradient, cells, samples, order, starts, sums, first, queries, outside, **of_blocks
        )
        sums[blocks:] = sums[:blocks].unflatten(0, (groups, SUMMED_AT_ONCE)).sum(1)
    keys = of_value.shape[1]
    kernels.gathered_value_gradient_kernel[_programs(count, keys, tile)](
        gradient, samples, order, starts, sums, of_value, blocks, first, queries, keys, key_grid[1], **of_pixels
    )


def _sorted(cells: Tensor, number: int) -> tuple[Tensor, Tensor]:
    """Return the samples listed by cell, in each in their order, and where each of the `number` lists begins."""
    by_cell, order = torch.sort(cells, stable=True)
    boundaries = torch.arange(number + 1, dtype=torch.int32, device=cells.device)
    return order, torch.searchsorted(by_cell, boundaries, out_int32=True)


def _ranked(cells: Tensor, number: int) -> tuple[Tensor, Tensor]:
    """Return the same without a sort, in each cell in any order."""
    counts = torch.zeros(number + 1, dtype=torch.int32, device=cells.device)
    ranks = torch.empty_like(cells)
    order = torch.empty(cells.shape, dtype=torch.int64, device=cells.device)
    grid = (triton.cdiv(len(cells), RANKED_AT_ONCE),)
    kernels.rank_kernel[grid](cells, counts, ranks, len(cells), number, BLOCK=RANKED_AT_ONCE)
    starts = counts.cumsum(0, dtype=torch.int32)
    kernels.list_kernel[grid](cells, ranks, starts, order, len(cells), number, BLOCK=RANKED_AT_ONCE)
    return order, starts


def _sampling_gradient(
    gradient: Tensor,
    value: Tensor,
    offsets: Tensor,
    logits: Tensor,
    key_grid: Sequence[int],
    query_grid: Sequence[int] | None,
) -> tuple[Tensor, Tensor]:
    batch, queries, heads, points = logits.shape
    of_offsets, of_logits = torch.empty_like(offsets), torch.empty_like(logits)
    tile = launch(SAMPLING_GRADIENT, value.shape[2] // heads, value.element_size())
    kernels.sampling_gradient_kernel[_programs(batch * heads, queries, tile, query_grid)](
        gradient,
        value,
        offsets,
        logits,
        of_offsets,
        of_logits,
        queries,
        *key_grid,
        *_sizes(query_grid),
        **_constants(value, logits, tile, query_grid),
        COLUMNS=triton.next_power_of_2(points),
    )
    return of_offsets, of_logits


def _compute_dtype(value: Tensor) -> torch.dtype:
    return torch.float64 if value.dtype == torch.float64 else torch.float32


def _sizes(query_grid: Sequence[int] | None) -> Sequence[int]:
    """Return the query grid's sizes, which the kernels do not look at where locations are given."""
    return (1, 1) if query_grid is None else query_grid


def _constants(value: Tensor, logits: Tensor, tile: Launch, query_grid: Sequence[int] | None) -> dict[str, Any]:
    """Return what the kernels are compiled for."""
    heads, points = logits.shape[2:]
    return {
        "HEADS": heads,
        "POINTS": points,
        "GIVEN": query_grid is None,
        "WIDTH": value.shape[2] // heads,
        "QUERIES": tile.queries,
        "HIGH": 1 if query_grid is None else tile.high,
        "LANES": tile.lanes,
        "COMPUTE": tl.float64 if value.dtype == torch.float64 else tl.float32,
        "num_warps": tile.warps,
    }


def _programs(maps: int, rows: int, tile: Launch, grid: Sequence[int] | None = None) -> tuple[int]:
    """Return the number of programs for `rows` of each of `maps` (a head of an image), on a `grid` where that matters.

    One dimension, as others end at 65,535.
    """
    if grid is None or tile.high == 1:
        return (maps * triton.cdiv(rows, tile.queries),)
    return (maps * triton.cdiv(grid[0], tile.high) * triton.cdiv(grid[1], tile.queries // tile.high),)


def _on(value: Tensor) -> AbstractContextManager[Any]:
    """Make the tensor's device the current one: Triton starts kernels there."""
    return torch.cuda.device(value.device) if value.is_cuda else nullcontext()


def _aligned(tensor: Tensor) -> Tensor:
    """Return the tensor, or a copy of it where it starts in the middle of a vector, as some views do."""
    return tensor.clone() if tensor.data_ptr() % ALIGNMENT else tensor


def _check(
    value: Tensor, offsets: Tensor, logits: Tensor, key_grid: Sequence[int], query_grid: Sequence[int] | None
) -> None:
    counts = {
        "value": value[0].numel(),
        "offsets": offsets[0].numel(),
        "output": logits.shape[1] * value.shape[2],
        "key map with its border": (key_grid[0] + 1) * (key_grid[1] + 1),
    }
    for name, count in counts.items():
        if count >= INT32_ELEMENTS:
            raise InputError(
                f"one image's {name} has {count:,} elements, and the Triton backend counts to 2^31:"
                " use backend='torch', or a smaller map"
            )
    for axis, keys, queries in zip(("high", "wide"), key_grid, _sizes(query_grid), strict=True):
        # The largest numerator of `geometry.centre`.
        if (2 * queries - 1) * keys + queries >= INT32_ELEMENTS:
            raise InputError(
                f"a key map {keys:,} pixels {axis} and queries {queries:,} {axis}: the Triton backend places queries to"
                f" 1/{2 * queries:,} of a pixel and counts to 2^31; use backend='torch', or smaller maps"
            )
