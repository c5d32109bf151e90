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
from piip_explore.ops.launch import BACKWARD_WARPS, FORWARD_WARPS, Launch, launch

INT32_ELEMENTS = 2**31
"""Within one image the kernels count in 32 bits."""


def forward(
    value: Tensor, offsets: Tensor, logits: Tensor, key_grid: Sequence[int], query_grid: Sequence[int]
) -> Tensor:
    """Return the attended values (B, Q, heads*width) in the dtype of `value`."""
    _check(value, offsets, logits)
    batch, queries, heads, _ = logits.shape
    out = value.new_empty(batch, queries, value.shape[2])
    constants, tile = _constants(value, logits, FORWARD_WARPS)
    with _on(value):
        kernels.forward_kernel[_programs(batch, queries, heads, tile)](
            value, offsets, logits, out, queries, *key_grid, *query_grid, **constants
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
    constants, tile = _constants(value, logits, BACKWARD_WARPS)
    total = torch.zeros_like(value, dtype=_compute_dtype(value))
    kernels.value_gradient_kernel[_programs(batch, queries, heads, tile)](
        gradient, offsets, logits, total, queries, *key_grid, *query_grid, **constants
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
    batch, queries, heads, _ = logits.shape
    constants, tile = _constants(value, logits, BACKWARD_WARPS)
    cells = torch.empty(logits.shape, dtype=torch.int64, device=value.device)
    samples = torch.empty((*logits.shape, 3), dtype=_compute_dtype(value), device=value.device)
    without_channels = {name: constants[name] for name in constants if name not in ("WIDTH", "LANES")}
    kernels.cell_kernel[_programs(batch, queries, heads, tile)](
        offsets, logits, cells, samples, queries, *key_grid, *query_grid, **without_channels
    )
    by_cell, order = torch.sort(cells.flatten(), stable=True)
    count = batch * heads * (key_grid[0] + 1) * (key_grid[1] + 1)
    starts = torch.searchsorted(by_cell, torch.arange(count + 1, device=value.device))
    of_value = torch.empty_like(value)
    kernels.ordered_value_gradient_kernel[_programs(batch, value.shape[1], heads, tile)](
        gradient, samples, order, starts, of_value, value.shape[1], key_grid[1], **constants
    )
    return of_value


def _sampling_gradient(
    gradient: Tensor,
    value: Tensor,
    offsets: Tensor,
    logits: Tensor,
    key_grid: Sequence[int],
    query_grid: Sequence[int],
) -> tuple[Tensor, Tensor]:
    batch, queries, heads, points = logits.shape
    constants, tile = _constants(value, logits, BACKWARD_WARPS)
    of_offsets, of_logits = torch.empty_like(offsets), torch.empty_like(logits)
    kernels.sampling_gradient_kernel[_programs(batch, queries, heads, tile)](
        gradient,
        value,
        offsets,
        logits,
        of_offsets,
        of_logits,
        queries,
        *key_grid,
        *query_grid,
        **constants,
        COLUMNS=triton.next_power_of_2(points),
    )
    return of_offsets, of_logits


def _compute_dtype(value: Tensor) -> torch.dtype:
    return torch.float64 if value.dtype == torch.float64 else torch.float32


def _constants(value: Tensor, logits: Tensor, warps: int) -> tuple[dict[str, Any], Launch]:
    """Return what the kernels are compiled for, and the tile among it."""
    heads, points = logits.shape[2:]
    width = value.shape[2] // heads
    tile = launch(width, value.element_size(), warps)
    constants = {
        "HEADS": heads,
        "POINTS": points,
        "WIDTH": width,
        "QUERIES": tile.queries,
        "LANES": tile.lanes,
        "COMPUTE": tl.float64 if value.dtype == torch.float64 else tl.float32,
        "num_warps": tile.warps,
    }
    return constants, tile


def _programs(batch: int, rows: int, heads: int, tile: Launch) -> tuple[int]:
    """Return the one-dimensional grid: the other dimensions end at 65,535."""
    return (batch * triton.cdiv(rows, tile.queries) * heads,)


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
