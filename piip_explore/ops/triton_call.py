"""One call of the operator through Triton: its inputs, checked, and what every kernel is launched with for them."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor

from piip_explore.errors import InputError
from piip_explore.ops.launch import Tile

INT32_ELEMENTS = 2**31
"""Within one image the kernels count in 32 bits."""

ALIGNMENT = 16
"""Bytes: a pointer off this grid would compile variants of the kernels whose every load is scalar."""


@dataclass(frozen=True)
class Call:
    """The inputs of the operator, each tensor aligned, and the numbers that its kernels need.

    `sizes` are the queries, the key grid and the query grid; the last says nothing where locations and weights are
    `given`. `maps` are the heads of all images, `width` the channels of one, and `compute_dtype` is that of locations,
    weights and sums. Numbers are read once: launching takes the host as long as small kernels take the GPU.
    """

    value: Tensor
    offsets: Tensor
    logits: Tensor
    sizes: tuple[int, int, int, int, int]
    given: bool
    maps: int
    queries: int
    heads: int
    points: int
    width: int
    compute_dtype: torch.dtype

    @classmethod
    def of(
        cls, value: Tensor, offsets: Tensor, logits: Tensor, key_grid: Sequence[int], query_grid: Sequence[int] | None
    ) -> Call:
        """Return the call of the operator with these arguments.

        Raises:
            InputError: the elements of an image are more than 32 bits count.
        """
        batch, queries, heads, points = logits.shape
        channels = value.shape[2]
        sizes = (queries, key_grid[0], key_grid[1], *((1, 1) if query_grid is None else (query_grid[0], query_grid[1])))
        _check(sizes, value.shape[1] * channels, 2 * queries * heads * points, queries * channels)
        compute_dtype = torch.float64 if value.dtype == torch.float64 else torch.float32
        inputs = aligned(value), aligned(offsets), aligned(logits)
        given, width = query_grid is None, channels // heads
        return cls(*inputs, sizes, given, batch * heads, queries, heads, points, width, compute_dtype)

    def shape_constants(self) -> dict[str, Any]:
        """Return what all kernels are compiled for, whatever their tile."""
        compute = tl.float64 if self.compute_dtype == torch.float64 else tl.float32
        return {"HEADS": self.heads, "POINTS": self.points, "COMPUTE": compute}

    def constants(self, tile: Tile) -> dict[str, Any]:
        """Return what a kernel over tiles of queries is compiled for."""
        return self.shape_constants() | {
            "GIVEN": self.given,
            "WIDTH": self.width,
            "QUERIES": tile.queries,
            "HIGH": 1 if self.given else tile.high,
            "LANES": tile.lanes,
            "num_warps": tile.warps,
        }

    def programs(self, tile: Tile) -> tuple[int]:
        """Return the number of programs for the queries of all maps."""
        if self.given or tile.high == 1:
            return programs(self.maps, self.queries, tile)
        high, wide = self.sizes[3:]
        return (self.maps * triton.cdiv(high, tile.high) * triton.cdiv(wide, tile.queries // tile.high),)

    def on_device(self) -> AbstractContextManager[Any]:
        """Make the tensors' device the current one: Triton starts kernels there."""
        return torch.cuda.device(self.value.device) if self.value.is_cuda else nullcontext()


def _check(sizes: tuple[int, int, int, int, int], value: int, offsets: int, output: int) -> None:
    """Check that 32 bits count the elements of an image's tensors, and the places of its queries."""
    _, key_height, key_width, query_height, query_width = sizes
    border = (key_height + 1) * (key_width + 1)
    counts = {"value": value, "offsets": offsets, "output": output, "key map with its border": border}
    for name, count in counts.items():
        if count >= INT32_ELEMENTS:
            raise InputError(
                f"one image's {name} has {count:,} elements, and the Triton backend counts to 2^31:"
                " use backend='torch', or a smaller map"
            )
    for axis, keys, queries in (("high", key_height, query_height), ("wide", key_width, query_width)):
        # The largest numerator of `geometry.centre`.
        if (2 * queries - 1) * keys + queries >= INT32_ELEMENTS:
            raise InputError(
                f"a key map {keys:,} pixels {axis} and queries {queries:,} {axis}: the Triton backend places queries to"
                f" 1/{2 * queries:,} of a pixel and counts to 2^31; use backend='torch', or smaller maps"
            )


def programs(maps: int, rows: int, tile: Tile) -> tuple[int]:
    """Return the number of programs for `rows` of each map, in one dimension: others end at 65,535."""
    return (maps * triton.cdiv(rows, tile.queries),)


def aligned(tensor: Tensor) -> Tensor:
    """Return the tensor, or a copy of it where it starts in the middle of a vector, as some views do."""
    return tensor.clone() if tensor.data_ptr() % ALIGNMENT else tensor
