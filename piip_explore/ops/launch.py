"""Launch parameters of the Triton kernels: a table, so that one call compiles nothing it does not run."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Launch:
    """A tile is `queries` x `lanes`: queries of one head, channels of the head's width rounded up to a power of two."""

    queries: int
    lanes: int
    warps: int


FORWARD_WARPS = 4
"""The forward pass exchanges nothing between threads but a row's channels: it has no barrier whatever its warps."""

BACKWARD_WARPS = 1
"""The gradients of offsets and logits change layout point by point, a barrier each time unless one warp is alone."""

_QUERIES_PER_WARP = {8: 16, 16: 8, 32: 8, 64: 4, 128: 2}
"""Queries per warp by lanes: 4 to 8 elements of the tile for each of 32 threads.

Always fewer queries than threads: only such a vector does the compiler recompute in the layout of the tile, where a
longer one would pass through shared memory.
"""


def launch(width: int, bytes_per_element: int, warps: int) -> Launch:
    """Return the launch parameters for heads of `width` channels of `bytes_per_element` bytes."""
    lanes = 1
    while lanes < width:
        lanes *= 2
    queries = _QUERIES_PER_WARP.get(max(lanes, 8), 1) * warps
    if bytes_per_element == 8:  # a double takes two registers
        queries = max(queries // 2, 1)
    return Launch(queries, lanes, warps)
