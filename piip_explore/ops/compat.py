"""Deformable-DETR's `MSDeformAttn` on our kernels, so that code written for its CUDA extension runs without a build.

    from piip_explore.ops.compat import MSDeformAttn, MSDeformAttnFunction  # Deformable-DETR, ViT-Adapter, PIIP
    from piip_explore.ops.compat import MultiScaleDeformableAttention, MultiScaleDeformableAttnFunction  # mmcv

Arguments, shapes and parameter names are theirs, so their checkpoints load. Locations are scaled to pixels in float32
whatever their dtype, any head width works, `im2col_step` need not divide the batch, and gradients exist in half
precision too.

`spatial_shapes` and `level_start_index` may be lists: tensors on a GPU are read back, and the host waits for them.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from piip_explore.errors import InputError
from piip_explore.ops.operator import deformable_sampling
from piip_explore.ops.precision import without_autocast

Shapes = Tensor | Sequence[Sequence[int]]
Starts = Tensor | Sequence[int]


def ms_deform_attn(
    value: Tensor,
    spatial_shapes: Shapes,
    level_start_index: Starts,
    sampling_locations: Tensor,
    attention_weights: Tensor,
    im2col_step: int = 64,
    *,
    backend: str | None = None,
) -> Tensor:
    """Sum samples of several maps ("levels") per query and head.

    Args:
        value: (B, S, heads, width): all maps, one after the other, row by row.
        spatial_shapes: (levels, 2), (H, W) of each map.
        level_start_index: (levels,), where each map begins among the S rows.
        sampling_locations: (B, Q, heads, levels, points, 2), (x, y) in 0..1 from edge to edge of the map.
        attention_weights: (B, Q, heads, levels, points).
        im2col_step: accepted and ignored: nothing is cut into parts.
        backend: as in `deformable_attention`.

    Returns:
        (B, Q, heads*width) in the dtype of `value`; samples outside a map are zero.

    Source: Deformable DETR (arXiv 2010.04159), equation 3.
    Raises `InputError` where shapes do not fit together.
    """
    grids, starts = _levels(spatial_shapes, level_start_index)
    _check(value, grids, starts, sampling_locations, attention_weights)
    wide = torch.float64 if value.dtype == torch.float64 else torch.float32
    out: Tensor | None = None
    for level, ((height, width), start) in enumerate(zip(grids, starts, strict=True)):
        size = sampling_locations.new_tensor([width, height], dtype=wide)
        summed = deformable_sampling(
            value[:, start : start + height * width].flatten(2),
            sampling_locations[:, :, :, level].to(wide) * size - 0.5,
            attention_weights[:, :, :, level],
            (height, width),
            backend=backend,
        )
        out = summed.to(wide) if out is None else out + summed
    assert out is not None
    return out.to(summed.dtype)


class MSDeformAttnFunction:
    """The name under which the CUDA extension's function is called: `MSDeformAttnFunction.apply(...)`."""

    apply = staticmethod(ms_deform_attn)


MultiScaleDeformableAttnFunction = MSDeformAttnFunction
"""The same, as mmcv calls it."""


def ms_deform_attn_core_pytorch(
    value: Tensor, value_spatial_shapes: Shapes, sampling_locations: Tensor, attention_weights: Tensor
) -> Tensor:
    """Compute `ms_deform_attn` through PyTorch alone; levels follow one another without gaps."""
    grids = _grids(value_spatial_shapes)
    starts = [sum(h * w for h, w in grids[:level]) for level in range(len(grids))]
    return ms_deform_attn(value, grids, starts, sampling_locations, attention_weights, backend="torch")


multi_scale_deformable_attn_pytorch = ms_deform_attn_core_pytorch
"""The same, as mmcv calls it."""


class MSDeformAttn(nn.Module):
    """Multi-scale deformable attention as Deformable-DETR's module, with ViT-Adapter's and PIIP's `ratio`.

    Args:
        d_model: channels of queries and maps.
        n_levels, n_heads, n_points: maps, heads, and points sampled per head and map.
        ratio: width of the sampled values, as a share of `d_model`.
    """

    def __init__(
        self, d_model: int = 256, n_levels: int = 4, n_heads: int = 8, n_points: int = 4, ratio: float = 1.0
    ) -> None:
        super().__init__()
        values = int(d_model * ratio)
        if d_model % n_heads or values % n_heads or values < n_heads:
            raise InputError(f"d_model {d_model} and its share for values, {values}, must divide into {n_heads} heads")
        self.d_model, self.ratio = d_model, ratio
        self.n_levels, self.n_heads, self.n_points = n_levels, n_heads, n_points
        self.im2col_step = 64
        self.sampling_offsets = nn.Linear(d_model, n_heads * n_levels * n_points * 2)
        self.attention_weights = nn.Linear(d_model, n_heads * n_levels * n_points)
        self.value_proj = nn.Linear(d_model, values)
        self.output_proj = nn.Linear(values, d_model)
        self._reset_parameters()

    def _reset_parameters(self) -> None:
        """Start with heads that look in different directions, each point one step further out, and equal weights."""
        for linear in (self.sampling_offsets, self.attention_weights):
            nn.init.zeros_(linear.weight)
            nn.init.zeros_(linear.bias)
        angles = 2 * math.pi * torch.arange(self.n_heads) / self.n_heads
        ring = torch.stack([angles.cos(), angles.sin()], -1)
        ring = ring / ring.abs().amax(-1, keepdim=True)
        steps = torch.arange(1, self.n_points + 1)
        bias = ring[:, None, None] * steps[None, None, :, None].expand(-1, self.n_levels, -1, -1)
        with torch.no_grad():
            self.sampling_offsets.bias.copy_(bias.flatten())
        for linear in (self.value_proj, self.output_proj):
            nn.init.xavier_uniform_(linear.weight)
            nn.init.zeros_(linear.bias)

    def forward(
        self,
        query: Tensor,
        reference_points: Tensor,
        input_flatten: Tensor,
        input_spatial_shapes: Shapes,
        input_level_start_index: Starts,
        input_padding_mask: Tensor | None = None,
    ) -> Tensor:
        """Attend from queries to points around their reference points.

        Args:
            query: (B, Q, d_model).
            reference_points: (B, Q, levels, 2), (x, y) in 0..1, or (B, Q, levels, 4), boxes (x, y, w, h) whose sizes
                the offsets are shares of.
            input_flatten: (B, S, d_model), the maps, one after the other.
            input_spatial_shapes, input_level_start_index: as in `ms_deform_attn`.
            input_padding_mask: (B, S), true where there is padding.

        Returns:
            (B, Q, d_model).
        """
        value = self.value_proj(input_flatten)
        if input_padding_mask is not None:
            value = value.masked_fill(input_padding_mask[..., None], 0.0)
        by_point = (self.n_heads, self.n_levels, self.n_points)
        offsets = without_autocast(self.sampling_offsets, query).unflatten(-1, (*by_point, 2))
        offsets = offsets.to(torch.promote_types(offsets.dtype, torch.float32))
        weights = self.attention_weights(query).unflatten(-1, (by_point[0], -1)).softmax(-1).unflatten(-1, by_point[1:])
        centres = reference_points.to(offsets.dtype)[:, :, None, :, None]
        grids, starts = _levels(input_spatial_shapes, input_level_start_index)
        if reference_points.shape[-1] == 2:
            sizes = offsets.new_tensor([[width, height] for height, width in grids])
            locations = centres + offsets / sizes[:, None]
        elif reference_points.shape[-1] == 4:
            locations = centres[..., :2] + offsets / self.n_points * centres[..., 2:] * 0.5
        else:
            raise InputError(f"reference_points are (x, y) or (x, y, w, h), not {reference_points.shape[-1]} numbers")
        value = value.unflatten(-1, (self.n_heads, -1))
        attended = ms_deform_attn(value, grids, starts, locations, weights, self.im2col_step)
        return self.output_proj(attended)  # type: ignore[no-any-return]


class MultiScaleDeformableAttention(MSDeformAttn):
    """Multi-scale deformable attention as mmcv's module: with the residual connection and its dropout.

    Args:
        embed_dims, num_heads, num_levels, num_points: `MSDeformAttn`'s d_model, n_heads, n_levels, n_points.
        im2col_step, norm_cfg, init_cfg: accepted and ignored.
        dropout: of the output, before the residual connection.
        batch_first: whether queries and values are (B, Q, C) and not (Q, B, C).
        value_proj_ratio: `MSDeformAttn`'s ratio.
    """

    def __init__(
        self,
        embed_dims: int = 256,
        num_heads: int = 8,
        num_levels: int = 4,
        num_points: int = 4,
        im2col_step: int = 64,
        dropout: float = 0.1,
        batch_first: bool = False,
        norm_cfg: dict[str, Any] | None = None,
        init_cfg: dict[str, Any] | None = None,
        value_proj_ratio: float = 1.0,
    ) -> None:
        super().__init__(embed_dims, num_levels, num_heads, num_points, value_proj_ratio)
        self.im2col_step, self.batch_first = im2col_step, batch_first
        self.dropout = nn.Dropout(dropout)

    def forward(  # type: ignore[override]  # mmcv's order
        self,
        query: Tensor,
        key: Tensor | None = None,
        value: Tensor | None = None,
        identity: Tensor | None = None,
        query_pos: Tensor | None = None,
        key_padding_mask: Tensor | None = None,
        reference_points: Tensor | None = None,
        spatial_shapes: Shapes | None = None,
        level_start_index: Starts | None = None,
        **_: Any,
    ) -> Tensor:
        """Attend from queries to points of `value`, by default the queries themselves; add `identity`, likewise.

        `query_pos` is added to the queries that predict offsets and weights; `key` is not looked at, as in mmcv.
        """
        if reference_points is None or spatial_shapes is None or level_start_index is None:
            raise InputError(
                "MultiScaleDeformableAttention needs reference_points, spatial_shapes and level_start_index"
            )
        value = query if value is None else value
        identity = query if identity is None else identity
        query = query if query_pos is None else query + query_pos
        if not self.batch_first:
            query, value = query.transpose(0, 1), value.transpose(0, 1)
        found = super().forward(query, reference_points, value, spatial_shapes, level_start_index, key_padding_mask)
        return identity + self.dropout(found if self.batch_first else found.transpose(0, 1))  # type: ignore[no-any-return]


def _grids(spatial_shapes: Shapes) -> list[tuple[int, int]]:
    rows = spatial_shapes.tolist() if isinstance(spatial_shapes, Tensor) else spatial_shapes
    return [(int(height), int(width)) for height, width in rows]


def _levels(spatial_shapes: Shapes, level_start_index: Starts) -> tuple[list[tuple[int, int]], list[int]]:
    starts = level_start_index.tolist() if isinstance(level_start_index, Tensor) else level_start_index
    return _grids(spatial_shapes), [int(start) for start in starts]


def _check(value: Tensor, grids: list[tuple[int, int]], starts: list[int], locations: Tensor, weights: Tensor) -> None:
    if value.dim() != 4 or locations.dim() != 6 or locations.shape[-1] != 2:
        raise InputError(
            "ms_deform_attn takes value (B, S, heads, width) and sampling_locations (B, Q, heads, levels, points, 2),"
            f" not {tuple(value.shape)} and {tuple(locations.shape)}"
        )
    if weights.shape != locations.shape[:-1]:
        raise InputError(
            f"attention_weights {tuple(weights.shape)} and sampling_locations {tuple(locations.shape)} differ"
        )
    if locations.shape[2] != value.shape[2]:
        raise InputError(f"value has {value.shape[2]} heads, sampling_locations {locations.shape[2]}")
    if not len(grids) == len(starts) == locations.shape[3]:
        raise InputError(
            f"{len(grids)} spatial_shapes, {len(starts)} level_start_index and {locations.shape[3]} levels of"
            " sampling_locations"
        )
    for (height, width), start in zip(grids, starts, strict=True):
        if start < 0 or start + height * width > value.shape[1]:
            raise InputError(
                f"a level of {height} x {width} from {start} on ends beyond the {value.shape[1]} rows of value"
            )
