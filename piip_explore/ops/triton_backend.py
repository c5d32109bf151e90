"""The operator through Triton: allocates, chooses launch parameters, starts the kernels of `triton_kernels`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
import triton
from torch import Tensor

from piip_explore.ops import triton_gathering
from piip_explore.ops import triton_kernels as kernels
from piip_explore.ops.launch import SAMPLING_GRADIENT, VALUE_GRADIENT, Program, forward_program, launch
from piip_explore.ops.triton_call import Call, aligned

FORWARD: Program | None = None
"""The forward pass's program in place of the launch table's."""

VALUE_GRADIENT_BY: Literal["adding", "gathering"] = "adding"
"""How the value's gradient is summed where its order is free: by atomic additions, or by pixel from lists. Which is
faster only a GPU can tell (`python -m benchmarks.kernel_launch --kernel value_gradient`)."""


def forward(
    value: Tensor, offsets: Tensor, logits: Tensor, key_grid: Sequence[int], query_grid: Sequence[int] | None
) -> Tensor:
    """Return the attended values (B, Q, heads*width) in the dtype of `value`."""
    call = Call.of(value, offsets, logits, key_grid, query_grid)
    out = value.new_empty(value.shape[0], call.queries, value.shape[2])
    row = call.width, value.element_size()
    tile = launch(FORWARD or forward_program(*row, call.points), *row)
    with call.on_device():
        kernels.forward_kernel[call.programs(tile)](
            call.value, call.offsets, call.logits, out, *call.sizes, **call.constants(tile), AHEAD=tile.ahead
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
    """Return the gradients of value, offsets and logits, None for those not in `needs`.

    The value's comes first: its float32 buffer is freed before the others are allocated.
    """
    call, gradient = Call.of(value, offsets, logits, key_grid, query_grid), aligned(gradient)
    of_value = of_offsets = of_logits = None
    ordered = torch.are_deterministic_algorithms_enabled()
    with call.on_device():
        if needs[0] and (ordered or VALUE_GRADIENT_BY == "gathering"):
            of_value = triton_gathering.value_gradient(gradient, call, ordered)
        elif needs[0]:
            of_value = _added_value_gradient(gradient, call)
        if needs[1] or needs[2]:
            of_offsets, of_logits = _sampling_gradient(gradient, call)
    return of_value, of_offsets if needs[1] else None, of_logits if needs[2] else None


def _added_value_gradient(gradient: Tensor, call: Call) -> Tensor:
    total = torch.zeros_like(call.value, dtype=call.compute_dtype)
    tile = launch(VALUE_GRADIENT, call.width, total.element_size())
    kernels.value_gradient_kernel[call.programs(tile)](
        gradient, call.offsets, call.logits, total, *call.sizes, **call.constants(tile)
    )
    return total.to(call.value.dtype)


def _sampling_gradient(gradient: Tensor, call: Call) -> tuple[Tensor, Tensor]:
    of_offsets, of_logits = torch.empty_like(call.offsets), torch.empty_like(call.logits)
    tile = launch(SAMPLING_GRADIENT, call.width, call.value.element_size())
    kernels.sampling_gradient_kernel[call.programs(tile)](
        *(gradient, call.value, call.offsets, call.logits, of_offsets, of_logits, *call.sizes),
        **call.constants(tile),
        COLUMNS=triton.next_power_of_2(call.points),
    )
    return of_offsets, of_logits
