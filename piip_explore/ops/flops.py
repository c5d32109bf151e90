"""What the operator costs, stated once for both counters that meet it: fvcore's and PyTorch's."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch.utils.flop_counter import register_flop_formula

OPERATOR = "piip::deformable_attention"
"""The operator's name in a trace."""

MACS_PER_SAMPLE = 5
"""Multiply-adds per query, head, point and channel: four bilinear corners and the attention weight."""


def deformable_attention_macs(value_shape: Sequence[int], logits_shape: Sequence[int]) -> int:
    """Return the multiply-adds of one call: 5 per query, head, point and channel of the value's width.

    `value_shape` is (B, S, heads*width) and `logits_shape` (B, Q, heads, points). Coordinates and softmax count
    nothing, as in the published figures.
    """
    batch, queries, _, points = logits_shape
    return MACS_PER_SAMPLE * batch * queries * points * value_shape[2]


def jit_handle(inputs: list[Any], outputs: list[Any]) -> int:
    """Count the operator in an fvcore analysis: `analysis.set_op_handle(OPERATOR, jit_handle)`.

    fvcore's unit is one multiply-add.
    """
    return deformable_attention_macs(inputs[0].type().sizes(), inputs[2].type().sizes())


def install_torch_counts() -> None:
    """Register the operator and its backward with `torch.utils.flop_counter`, whose unit is half a multiply-add.

    The backward pass counts twice the forward: a corner's gradient is one multiply-add into the value, and one into
    the dot product from which the sample's other gradients follow.
    """

    def forward(value: Sequence[int], offsets: Sequence[int], logits: Sequence[int], *_: Any, **__: Any) -> int:
        return 2 * deformable_attention_macs(value, logits)

    def backward(
        gradient: Sequence[int],
        value: Sequence[int],
        offsets: Sequence[int],
        logits: Sequence[int],
        *_: Any,
        **__: Any,
    ) -> int:
        return 4 * deformable_attention_macs(value, logits)

    register: Callable[..., Any] = register_flop_formula
    register(torch.ops.piip.deformable_attention)(forward)
    register(torch.ops.piip.deformable_attention_backward)(backward)
