"""The operator through Triton: allocates, chooses launch parameters, starts the kernels of `triton_kernels`."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor

from piip_explore.errors import InputError
from piip_explore.ops import triton_kernels as kernels
from piip_explore.ops.launch import FORWARD, SAMPLING_GRADIENT, VALUE_GRADIENT, Launch, launch, launch_whole_rows

INT32_ELEMENTS = 2**31
"""Within one image the kernels count in 32 bits."""

ORDERED_BYTES_PER_SAMPLE = 64
"""What the deterministic gradient holds at most per sample: its cell (4), attention and fractions (12, or 24 in
float64), and the sort's keys and indices: its results (12), and two sets of its own (20)."""

ORDERED_BYTES_PER_CELL = 8
"""The cell's number and its list's start."""


def forward(
    value: Tensor, offsets: Tensor, logits: Tensor, key_grid: Sequence[int], query_grid: Sequence[int]
) -> Tensor:
    """Return the attended values (B, Q, heads*width) in the dtype of `value`."""
    _check(value, offsets, logits)
    batch, queries, heads, _ = logits.shape
    out = value.new_empty(batch, queries, value.shape[2])
    tile = launch(FORWARD, value.shape[2] // heads, value.element_size())
    with _on(value):
        kernels.forward_kernel[_programs(batch * heads, queries, tile)](
            value, offsets, logits, out, queries, *key_grid, *query_grid, **_constants(value, logits, tile)
        )
    return out


def backward(
    gradient: Tensor,
    value: Tensor,
    offsets: Tensor,
    logits: Tensor,
    key_grid: Sequence[int],
    query_grid: Sequence[int],
    needs: Sequence[bool],
) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
    """Return the gradients of value, offsets and logits, None where `needs` says that nobody asks.

    The value's comes first: its float32 buffer is gone again when the others are allocated.
    """
    _check(value, offsets, logits)
    of_value = of_offsets = of_logits = None
    with _on(value):
        if needs[0]:
            ordered = torch.are_deterministic_algorithms_enabled()
            differentiate = _ordered_value_gradient if ordered else _value_gradient
            of_value = differentiate(gradient, value, offsets, logits, key_grid, query_grid)
        if needs[1] or needs[2]:
            of_offsets, of_logits = _sampling_gradient(gradient, value, offsets, logits, key_grid, query_grid)
    return of_value, of_offsets if needs[1] else None, of_logits if needs[2] else None


def _value_gradient(
    gradient: Tensor,
    value: Tensor,
    offsets: Tensor,
    logits: Tensor,
    key_grid: Sequence[int],
    query_grid: Sequence[int],
) -> Tensor:
    batch, queries, heads, _ = logits.shape
    total = torch.zeros_like(value, dtype=_compute_dtype(value))
    tile = launch(VALUE_GRADIENT, value.shape[2] // heads, total.element_size())
    kernels.value_gradient_kernel[_programs(batch * heads, queries, tile)](
        gradient, offsets, logits, total, queries, *key_grid, *query_grid, **_constants(value, logits, tile)
    )
    return total.to(value.dtype)


def _ordered_value_gradient(
    gradient: Tensor,
    value: Tensor,
    offsets: Tensor,
    logits: Tensor,
    key_grid: Sequence[int],
    query_grid: Sequence[int],
) -> Tensor:
    """Return the gradient of the value, some maps (heads of images) at a time, so that their samples fit in memory."""
    batch, queries, heads, points = logits.shape
    maps = batch * heads
    cells_per_map = (key_grid[0] + 1) * (key_grid[1] + 1)
    bytes_per_map = queries * points * ORDERED_BYTES_PER_SAMPLE + cells_per_map * ORDERED_BYTES_PER_CELL
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
    query_grid: Sequence[int],
    first: int,
    count: int,
) -> None:
    """Write the gradient of the value in `count` maps from the `first` on."""
    _, queries, heads, points = logits.shape
    compute_dtype, device = _compute_dtype(of_value), of_value.device
    tile = launch_whole_rows(of_value.shape[2] // heads, compute_dtype.itemsize)
    constants = _constants(of_value, logits, tile)
    without_channels = {name: constants[name] for name in constants if name not in ("WIDTH", "LANES")}
    cells = torch.empty((count, queries, points), dtype=torch.int32, device=device)
    samples = torch.empty((count, queries, points, 3), dtype=compute_dtype, device=device)
    kernels.cell_kernel[_programs(count, queries, tile)](
        offsets, logits, cells, samples, first, count, queries, *key_grid, *query_grid, **without_channels
    )
    by_cell, order = torch.sort(cells.flatten(), stable=True)
    boundaries = torch.arange(count * (key_grid[0] + 1) * (key_grid[1] + 1) + 1, dtype=torch.int32, device=device)
    starts = torch.searchsorted(by_cell, boundaries, out_int32=True)
    keys = of_value.shape[1]
    kernels.ordered_value_gradient_kernel[_programs(count, keys, tile)](
        gradient, samples, order, starts, of_value, first, queries, keys, key_grid[1], **constants
    )


def _sampling_gradient(
    gradient: Tensor,
    value: Tensor,
    offsets: Tensor,
    logits: Tensor,
    key_grid: Sequence[int],
    query_grid: Sequence[int],
) -> tuple[Tensor, Tensor]:
    batch, queries, heads, points = logits.shape
    of_offsets, of_logits = torch.empty_like(offsets), torch.empty_like(logits)
    tile = launch(SAMPLING_GRADIENT, value.shape[2] // heads, value.element_size())
    kernels.sampling_gradient_kernel[_programs(batch * heads, queries, tile)](
        gradient,
        value,
        offsets,
        logits,
        of_offsets,
        of_logits,
        queries,
        *key_grid,
        *query_grid,
        **_constants(value, logits, tile),
        COLUMNS=triton.next_power_of_2(points),
    )
    return of_offsets, of_logits


def _compute_dtype(value: Tensor) -> torch.dtype:
    return torch.float64 if value.dtype == torch.float64 else torch.float32


def _constants(value: Tensor, logits: Tensor, tile: Launch) -> dict[str, Any]:
    """Return what the kernels are compiled for."""
    heads, points = logits.shape[2:]
    return {
        "HEADS": heads,
        "POINTS": points,
        "WIDTH": value.shape[2] // heads,
        "QUERIES": tile.queries,
        "LANES": tile.lanes,
        "COMPUTE": tl.float64 if value.dtype == torch.float64 else tl.float32,
        "num_warps": tile.warps,
    }


def _programs(maps: int, rows: int, tile: Launch) -> tuple[int]:
    """Return the grid for `rows` of each of `maps` (a head of an image): one dimension, as others end at 65,535."""
    return (maps * triton.cdiv(rows, tile.queries),)


def _on(value: Tensor) -> AbstractContextManager[Any]:
    """Make the tensor's device the current one: Triton starts kernels there."""
    return torch.cuda.device(value.device) if value.is_cuda else nullcontext()


def _check(value: Tensor, offsets: Tensor, logits: Tensor) -> None:
    for name, tensor in (("value", value), ("offsets", offsets), ("logits", logits)):
        if tensor[0].numel() >= INT32_ELEMENTS:
            raise InputError(
                f"one image's {name} has {tensor[0].numel():,} elements, and the Triton backend counts to 2^31:"
                " use backend='torch', or a smaller map"
            )
