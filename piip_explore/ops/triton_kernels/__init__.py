"""Deformable attention in Triton: the forward pass and its gradients.

All kernels share one shape: a program computes a tile of `QUERIES` queries of one head of one image, and walks through
the head's `WIDTH` channels in pieces of `LANES` (the last one masked). Numbers that belong to a query (locations,
weights) are vectors of [QUERIES], computed by every thread that holds a part of its row: the fewer lanes, the fewer
threads repeat them. Points are unrolled: a [queries, points] tile would pass through shared memory, with a barrier, at
every use. Everything is computed in `COMPUTE` (float32, or float64 for float64 values), whatever the dtypes in memory.

Where locations and weights are `GIVEN`, offsets are locations in pixels and logits are weights.

Offsets to an image are 64-bit, those within one 32-bit.
"""

from piip_explore.ops.triton_kernels.backward import sampling_gradient_kernel, value_gradient_kernel
from piip_explore.ops.triton_kernels.blocks import block_kernel
from piip_explore.ops.triton_kernels.forward import forward_kernel
from piip_explore.ops.triton_kernels.ordered import cell_kernel, gathered_value_gradient_kernel
from piip_explore.ops.triton_kernels.ranked import list_kernel, rank_kernel

__all__ = [
    "block_kernel",
    "cell_kernel",
    "forward_kernel",
    "gathered_value_gradient_kernel",
    "list_kernel",
    "rank_kernel",
    "sampling_gradient_kernel",
    "value_gradient_kernel",
]
