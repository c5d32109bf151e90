"""Self-attention of ViT branches: global or in windows, with every option that a branch family needs."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from piip_explore.catalog import ViT
from piip_explore.models import rotary

Grid = tuple[int, int]


class SelfAttention(nn.Module):
    """Multi-head self-attention over the tokens of one map, optionally in windows.

    Windows are padded at the right and bottom with zeros *before* the projection to queries, keys and values, so
    padding takes part with the projection's bias (the released detection checkpoints were trained this way). A window
    at least as large as the map is global attention without padding. Prefix tokens (a class token, registers) belong to
    no window: they attend to every token, and every token attends to them. Rotary positions are those in the whole map,
    in windows too, so a window only limits what a patch sees. Padding gets the positions where a larger map would
    continue; prefix tokens are not turned.

    Args:
        spec: the branch's model.
        window: side of the windows in patches, None for global attention.
        grid: side of the map that a relative position bias is laid out for.
        class_token: whether the first token is a class token; the model's registers follow it.
    """

    def __init__(self, spec: ViT, window: int | None, grid: int, class_token: bool) -> None:
        super().__init__()
        self.heads, self.window, self.prefix, self.rotary = spec.heads, window, spec.prefix(class_token), spec.rotary
        self.qkv = nn.Linear(spec.dim, 3 * spec.dim, bias=spec.qkv_bias)
        self.q_norm = nn.RMSNorm(spec.dim, eps=spec.norm_eps) if spec.qk_norm else nn.Identity()
        self.k_norm = nn.RMSNorm(spec.dim, eps=spec.norm_eps) if spec.qk_norm else nn.Identity()
        self.proj = nn.Linear(spec.dim, spec.dim)
        self.bias = None
        if spec.position == "relative":
            self.bias = RelativeBias(min(window or grid, grid), spec.heads, class_token)

    def forward(self, x: Tensor, grid: Grid) -> Tensor:
        """Attend within `x` (B, prefix + H*W, C) whose patches are on `grid` (H, W)."""
        if self.window is None or self.window >= max(grid):
            mask = None if self.bias is None else self.bias(grid)
            q, k, v = self._project(x)
            if self.rotary is not None:
                angles = self._angles(x, grid, grid)
                q, k = (torch.cat([t[:, : self.prefix], self._turn(t[:, self.prefix :], angles)], 1) for t in (q, k))
            return self.proj(self._attend(q, k, v, mask))
        return self._windowed(x, grid, self.window)

    def _project(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        q, k, v = self.qkv(x).chunk(3, dim=-1)
        return self.q_norm(q), self.k_norm(k), v

    def _angles(self, x: Tensor, grid: Grid, cells: Grid) -> Tensor:
        """Return the angles (1, rows * columns, C / heads / 2) of the cells of a map of `grid`."""
        assert self.rotary is not None
        return rotary.angles(self.rotary, x.shape[-1] // self.heads, grid, cells, x.device)[None]

    def _turn(self, x: Tensor, angles: Tensor) -> Tensor:
        """Turn queries or keys (B * windows, tokens, C) by the angles (windows, tokens, C / heads / 2)."""
        assert self.rotary is not None
        of_heads = x.unflatten(0, (-1, angles.shape[0])).unflatten(-1, (self.heads, -1))
        return rotary.turn(of_heads, angles, self.rotary.halves).flatten(-2).flatten(0, 1)

    def _attend(self, q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None = None) -> Tensor:
        q, k, v = (t.unflatten(-1, (self.heads, -1)).transpose(1, 2) for t in (q, k, v))
        if mask is not None:
            mask = mask.to(q.dtype)
        return F.scaled_dot_product_attention(q, k, v, attn_mask=mask).transpose(1, 2).flatten(2)

    def _windowed(self, x: Tensor, grid: Grid, window: int) -> Tensor:
        head, patches = x[:, : self.prefix], x[:, self.prefix :]
        q, k, v = self._project(_to_windows(patches, grid, window))
        if self.rotary is not None:
            cells = _padded(grid, window)
            angles = _to_windows(self._angles(x, grid, cells), cells, window)
            q, k = self._turn(q, angles), self._turn(k, angles)
        mask = None if self.bias is None else self.bias((window, window))
        if not self.prefix:
            return self.proj(_from_windows(self._attend(q, k, v, mask), grid, window))
        head_q, head_k, head_v = self._project(head)
        per_window = q.shape[0] // x.shape[0]
        spread_k, spread_v = (t.repeat_interleave(per_window, dim=0) for t in (head_k, head_v))
        inside = self._attend(
            q, torch.cat([spread_k, k], 1), torch.cat([spread_v, v], 1), None if mask is None else mask[:, 1:]
        )
        all_k, all_v = (
            torch.cat([first, _from_windows(t, grid, window)], 1) for first, t in ((head_k, k), (head_v, v))
        )
        whole = self._attend(head_q, all_k, all_v)
        return self.proj(torch.cat([whole, _from_windows(inside, grid, window)], 1))


class RelativeBias(nn.Module):
    """A learnable bias per head and relative position (BEiT, arXiv 2106.08254), resampled for other map sizes.

    The table has (2 side - 1)^2 rows and, with a class token, three more: class to patch, patch to class, class to
    itself.
    """

    def __init__(self, side: int, heads: int, class_token: bool) -> None:
        super().__init__()
        self.side, self.class_token = side, class_token
        self.relative_position_bias_table = nn.Parameter(torch.zeros((2 * side - 1) ** 2 + 3 * class_token, heads))

    def forward(self, grid: Grid) -> Tensor:
        """Return the bias (heads, [1 +] H*W, [1 +] H*W) of a map of `grid` (H, W)."""
        height, width = grid
        span = 2 * self.side - 1
        table = self.relative_position_bias_table[: span**2]
        if grid != (self.side, self.side):
            size = (2 * height - 1, 2 * width - 1)
            table = table.T.unflatten(1, (span, span))[None]
            table = F.interpolate(table, size=size, mode="bicubic", align_corners=False)[0].flatten(1).T
        rows = torch.arange(height, device=table.device)
        columns = torch.arange(width, device=table.device)
        dy = (rows[:, None] - rows[None, :] + height - 1)[:, None, :, None]
        dx = (columns[:, None] - columns[None, :] + width - 1)[None, :, None, :]
        index = (dy * (2 * width - 1) + dx).reshape(height * width, height * width)
        bias = table[index].permute(2, 0, 1)
        if not self.class_token:
            return bias
        to_patch, to_class, itself = self.relative_position_bias_table[-3:]
        heads, tokens = bias.shape[:2]
        first = torch.cat([itself[:, None, None], to_patch[:, None, None].expand(heads, 1, tokens)], 2)
        rest = torch.cat([to_class[:, None, None].expand(heads, tokens, 1), bias], 2)
        return torch.cat([first, rest], 1)


def _padded(grid: Grid, window: int) -> Grid:
    """Return the sides of a map that is padded to whole windows."""
    return math.ceil(grid[0] / window) * window, math.ceil(grid[1] / window) * window


def _to_windows(x: Tensor, grid: Grid, window: int) -> Tensor:
    """Cut patches (B, H*W, C) into zero-padded windows (B * windows, window^2, C)."""
    height, width = _padded(grid, window)
    x = x.unflatten(1, grid)
    x = F.pad(x, (0, 0, 0, width - grid[1], 0, height - grid[0]))
    x = x.unflatten(2, (-1, window)).unflatten(1, (-1, window)).transpose(2, 3)
    return x.reshape(-1, window * window, x.shape[-1])


def _from_windows(x: Tensor, grid: Grid, window: int) -> Tensor:
    """Put windows back together and crop the padding: the inverse of `_to_windows`."""
    height, width = _padded(grid, window)
    x = x.reshape(-1, height // window, width // window, window, window, x.shape[-1]).transpose(2, 3)
    x = x.flatten(3, 4).flatten(1, 2)
    return x[:, : grid[0], : grid[1]].flatten(1, 2)
