"""The operator as PyTorch sees it: shapes, registration and gradient; the arithmetic is in the backends.

Registered as a custom operator, and its backward as another, so that tracers and FLOP counters meet one name and
`torch.compile` never looks inside. Without a query grid, offsets are locations and logits are weights.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from piip_explore.errors import InputError
from piip_explore.ops import backends
from piip_explore.ops.flops import OPERATOR, install_torch_counts


def deformable_attention(
    value: Tensor,
    offsets: Tensor,
    logits: Tensor,
    key_grid: Sequence[int],
    query_grid: Sequence[int],
    *,
    backend: str | None = None,
) -> Tensor:
    """Attend from every query to `points` freely placed locations of the key map, per head.

    Args:
        value: (B, S, heads*width), the projected features of the key map, row by row; S = H*W of `key_grid`.
        offsets: (B, Q, heads, points, 2), (x, y) in pixels of the key map from the centre of the query's cell:
            a location is `x = (qx + 0.5) * W_key / W_query - 0.5 + offset` in key-map pixel coordinates.
        logits: (B, Q, heads, points), attention weights before their softmax over the points.
        key_grid: (H, W) of the key map.
        query_grid: (H, W) of the queries, Q = H*W.
        backend: "torch", "triton" or "auto"; None asks PIIP_EXPLORE_OPS_BACKEND, then chooses by device.

    Returns:
        (B, Q, heads*width) in the dtype of `value`: sampled bilinearly, zero outside the map, weighted, summed.

    Locations, weights and sums are computed in float32 (float64 for float64 values) whatever the dtypes of the inputs,
    which may differ. At a location exactly on a pixel, where the derivative has two sides, the gradient is that to
    the right (below); -1 is such a location. A location outside [-1, W) x [-1, H), infinite or not a number samples
    zero and has zero gradient. Under autocast a float32 `value` is cast; offsets and logits are taken as they are.

    Source: Deformable DETR (arXiv 2010.04159), equation 2 with one level, as used by PIIP (arXiv 2406.04330).
    Raises `InputError` where shapes, dtypes or devices do not fit together, or the backend cannot run.
    """
    return _call(value, offsets, logits, key_grid, query_grid, backend)


def deformable_sampling(
    value: Tensor,
    locations: Tensor,
    weights: Tensor,
    key_grid: Sequence[int],
    *,
    backend: str | None = None,
) -> Tensor:
    """Sum samples of the key map at given locations, with given weights, per query and head.

    `deformable_attention` without the steps that make locations and weights: `locations` (B, Q, heads, points, 2) are
    (x, y) in pixels of the key map, whose first pixel's centre is (0, 0), and `weights` (B, Q, heads, points) multiply
    the samples as they are. Returns and raises the same.
    """
    return _call(value, locations, weights, key_grid, None, backend)


def _call(
    value: Tensor,
    offsets: Tensor,
    logits: Tensor,
    key_grid: Sequence[int],
    query_grid: Sequence[int] | None,
    backend: str | None,
) -> Tensor:
    device = value.device.type
    if device in ("cpu", "cuda") and torch.is_autocast_enabled(device) and value.dtype == torch.float32:
        value = value.to(torch.get_autocast_dtype(device))
    out: Tensor = torch.ops.piip.deformable_attention(
        value, offsets, logits, key_grid, query_grid, backend or backends.AUTOMATIC
    )
    return out


@torch.library.custom_op(OPERATOR, mutates_args=())
def _forward(
    value: Tensor,
    offsets: Tensor,
    logits: Tensor,
    key_grid: Sequence[int],
    query_grid: Sequence[int] | None,
    backend: str,
) -> Tensor:
    _check(value, offsets, logits, key_grid, query_grid)
    program = backends.load(backends.backend_name(value.device, backend))
    if value.shape[0] == 0:
        return _empty_output(value, logits)
    return program.forward(value.contiguous(), offsets.contiguous(), logits.contiguous(), key_grid, query_grid)


@torch.library.custom_op(f"{OPERATOR}_backward", mutates_args=())
def _backward(
    gradient: Tensor,
    value: Tensor,
    offsets: Tensor,
    logits: Tensor,
    key_grid: Sequence[int],
    query_grid: Sequence[int] | None,
    backend: str,
    needs: Sequence[bool],
) -> tuple[Tensor, Tensor, Tensor]:
    inputs = (value, offsets, logits)
    if value.shape[0] == 0:
        return _empty_gradients(inputs, needs)
    program = backends.load(backends.backend_name(value.device, backend))
    gradient, value, offsets, logits = (tensor.contiguous() for tensor in (gradient, *inputs))
    found = program.backward(gradient, value, offsets, logits, key_grid, query_grid, needs)
    of_value, of_offsets, of_logits = (
        tensor.new_empty(0) if of_tensor is None else of_tensor for tensor, of_tensor in zip(inputs, found, strict=True)
    )
    return of_value, of_offsets, of_logits


@_forward.register_fake
def _(
    value: Tensor,
    offsets: Tensor,
    logits: Tensor,
    key_grid: Sequence[int],
    query_grid: Sequence[int] | None,
    backend: str,
) -> Tensor:
    _check(value, offsets, logits, key_grid, query_grid)
    return _empty_output(value, logits)


@_backward.register_fake
def _(
    gradient: Tensor,
    value: Tensor,
    offsets: Tensor,
    logits: Tensor,
    key_grid: Sequence[int],
    query_grid: Sequence[int] | None,
    backend: str,
    needs: Sequence[bool],
) -> tuple[Tensor, Tensor, Tensor]:
    return _empty_gradients((value, offsets, logits), needs)


def _save(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    ctx.save_for_backward(*inputs[:3])
    ctx.grids_and_backend = inputs[3:]


def _differentiate(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
    needs = ctx.needs_input_grad[:3]
    found = torch.ops.piip.deformable_attention_backward(
        gradient, *ctx.saved_tensors, *ctx.grids_and_backend, list(needs)
    )
    return (*(of_input if need else None for of_input, need in zip(found, needs, strict=True)), None, None, None)


_forward.register_autograd(_differentiate, setup_context=_save)
install_torch_counts()


def _empty_output(value: Tensor, logits: Tensor) -> Tensor:
    return value.new_empty(logits.shape[0], logits.shape[1], value.shape[2])


def _empty_gradients(inputs: Sequence[Tensor], needs: Sequence[bool]) -> tuple[Tensor, Tensor, Tensor]:
    of_value, of_offsets, of_logits = (
        tensor.new_empty(tensor.shape if need else 0) for tensor, need in zip(inputs, needs, strict=True)
    )
    return of_value, of_offsets, of_logits


def _check(
    value: Tensor, offsets: Tensor, logits: Tensor, key_grid: Sequence[int], query_grid: Sequence[int] | None
) -> None:
    if value.dim() != 3 or offsets.dim() != 5 or logits.dim() != 4:
        raise InputError(
            "deformable_attention takes value (B, S, heads*width), offsets (B, Q, heads, points, 2) and logits"
            f" (B, Q, heads, points), not {_shape(value)}, {_shape(offsets)} and {_shape(logits)}"
        )
    batch, queries, heads, points = logits.shape
    if offsets.shape != (batch, queries, heads, points, 2):
        raise InputError(f"offsets {_shape(offsets)} and logits {_shape(logits)} differ in B, Q, heads or points")
    if value.shape[0] != batch:
        raise InputError(f"value has batch {value.shape[0]}, offsets and logits {batch}")
    if heads < 1 or points < 1 or value.shape[2] < 1 or value.shape[2] % heads != 0:
        raise InputError(f"value has {value.shape[2]} channels, which do not divide into {heads} heads")
    for name, grid, tokens in (("key_grid", key_grid, value.shape[1]), ("query_grid", query_grid, queries)):
        if grid is None:
            continue
        if len(grid) != 2 or grid[0] < 1 or grid[1] < 1 or grid[0] * grid[1] != tokens:
            raise InputError(f"{name} {tuple(grid)} is not an (H, W) of {tokens} tokens")
    if not (value.is_floating_point() and offsets.is_floating_point() and logits.is_floating_point()):
        raise InputError(f"deformable_attention computes on floats, not {value.dtype}, {offsets.dtype}, {logits.dtype}")
    if not value.device == offsets.device == logits.device:
        raise InputError(f"value is on {value.device}, offsets on {offsets.device}, logits on {logits.device}")


def _shape(tensor: Tensor) -> tuple[int, ...]:
    return tuple(tensor.shape)
