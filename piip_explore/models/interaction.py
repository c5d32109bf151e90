"""Interactions: how features flow between branches (arXiv 2501.07783, Sec. III; docs/architecture.md, 4 to 7)."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from piip_explore.design import Interaction
from piip_explore.models.attention import Grid
from piip_explore.models.layers import NORM_EPS, DropPath, to_map, to_tokens
from piip_explore.ops import deformable_attention
from piip_explore.ops.precision import without_autocast


class DeformableAttention(nn.Module):
    """Deformable cross-attention with one level (Deformable-DETR, arXiv 2010.04159): queries read another map.

    Args:
        dim: width of the queries and of the output.
        dim_key: width of the map attended to.
        heads, points: heads, and points sampled per head.
        value_width: width of the sampled values, a multiple of `heads`.
    """

    def __init__(self, dim: int, dim_key: int, heads: int, points: int, value_width: int) -> None:
        super().__init__()
        self.heads, self.points = heads, points
        self.sampling_offsets = nn.Linear(dim, heads * points * 2)
        self.attention_weights = nn.Linear(dim, heads * points)
        self.value_proj = nn.Linear(dim_key, value_width)
        self.output_proj = nn.Linear(value_width, dim)
        self._initialise()

    def _initialise(self) -> None:
        for linear in (self.sampling_offsets, self.attention_weights):
            nn.init.zeros_(linear.weight)
            nn.init.zeros_(linear.bias)
        angles = 2 * math.pi * torch.arange(self.heads) / self.heads
        ring = torch.stack([angles.cos(), angles.sin()], -1)
        ring = ring / ring.abs().amax(-1, keepdim=True)
        steps = torch.arange(1, self.points + 1)
        with torch.no_grad():
            self.sampling_offsets.bias.copy_((ring[:, None] * steps[None, :, None]).flatten())
        for linear in (self.value_proj, self.output_proj):
            nn.init.xavier_uniform_(linear.weight)
            nn.init.zeros_(linear.bias)

    def forward(self, query: Tensor, key: Tensor, query_grid: Grid, key_grid: Grid) -> Tensor:
        """Attend from queries (B, Hq*Wq, dim) to a map (B, Hk*Wk, dim_key); return (B, Hq*Wq, dim)."""
        offsets = without_autocast(self.sampling_offsets, query).unflatten(-1, (self.heads, self.points, 2))
        logits = self.attention_weights(query).unflatten(-1, (self.heads, self.points))
        return self.output_proj(self.attend(self.value_proj(key), offsets, logits, key_grid, query_grid))

    def attend(self, value: Tensor, offsets: Tensor, logits: Tensor, key_grid: Grid, query_grid: Grid) -> Tensor:
        """Sample the values (`ops.deformable_attention`); tracers that know no custom operators replace this."""
        return deformable_attention(value, offsets, logits, key_grid, query_grid)


class RegularAttention(nn.Module):
    """Plain cross-attention: softmax(Q K^T / sqrt(dim / heads)) V, projections without bias, output with one."""

    def __init__(self, dim: int, dim_key: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.wq = nn.Linear(dim, dim, bias=False)
        self.wk = nn.Linear(dim_key, dim, bias=False)
        self.wv = nn.Linear(dim_key, dim, bias=False)
        self.proj = nn.Linear(dim, dim)

    def forward(self, query: Tensor, key: Tensor, query_grid: Grid, key_grid: Grid) -> Tensor:
        """Attend from queries (B, Nq, dim) to a map (B, Nk, dim_key); return (B, Nq, dim)."""
        q, k, v = self.wq(query), self.wk(key), self.wv(key)
        q, k, v = (t.unflatten(-1, (self.heads, -1)).transpose(1, 2) for t in (q, k, v))
        return self.proj(F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2))


class ConvFFN(nn.Module):
    """Linear, 3x3 depth-wise convolution on the token grid, GELU, linear."""

    def __init__(self, dim: int, hidden: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(dim, hidden)
        self.dwconv = nn.Conv2d(hidden, hidden, 3, padding=1, groups=hidden)
        self.fc2 = nn.Linear(hidden, dim)

    def forward(self, x: Tensor, grid: Grid) -> Tensor:
        """Transform tokens (B, H*W, dim) on `grid`."""
        x = to_tokens(self.dwconv(to_map(self.fc1(x), grid)))
        return self.fc2(F.gelu(x))


class DirectedInteraction(nn.Module):
    """One direction of an interaction: the features of one branch flow into those of another.

    Vectors that start at zero scale both of its terms, so a fresh interaction changes nothing.
    """

    def __init__(self, dim_from: int, dim: int, options: Interaction, drop_path: float = 0.0) -> None:
        super().__init__()
        project = options.project
        dim_key = dim if project else dim_from
        self.proj = nn.Linear(dim_from, dim) if project else nn.Identity()
        self.query_norm = nn.LayerNorm(dim, eps=NORM_EPS) if project else nn.Identity()
        self.feat_norm = nn.LayerNorm(dim, eps=NORM_EPS) if project else nn.Identity()
        self.attn: nn.Module
        if options.attention == "deformable":
            width = options.value_width(dim)
            self.attn = DeformableAttention(dim, dim_key, options.heads, options.points, width)
        else:
            self.attn = RegularAttention(dim, dim_key, options.heads)
        self.ca_gamma = nn.Parameter(torch.zeros(dim))
        self.ffn_norm = nn.LayerNorm(dim, eps=NORM_EPS) if project else nn.Identity()
        self.ffn = ConvFFN(dim, int(dim * options.ffn))
        self.cffn_gamma = nn.Parameter(torch.zeros(dim))
        self.drop_path = DropPath(drop_path)

    def start_from_projections(self) -> None:
        """Set the scales to one and the last projections to zero, which changes nothing at first either.

        Projections learn within tens of steps what the published scales of zero learn in epochs.
        """
        attention = self.attn.output_proj if isinstance(self.attn, DeformableAttention) else self.attn.proj
        for scale, linear in ((self.ca_gamma, attention), (self.cffn_gamma, self.ffn.fc2)):
            assert isinstance(linear, nn.Linear)
            nn.init.ones_(scale)
            nn.init.zeros_(linear.weight)
            nn.init.zeros_(linear.bias)

    def forward(self, x: Tensor, source: Tensor, grid: Grid, source_grid: Grid) -> Tensor:
        """Return the features `x` (B, H*W, dim) informed by `source` (B, Hs*Ws, dim_from)."""
        key = self.feat_norm(self.proj(source))
        x = x + self.ca_gamma * self.attn(self.query_norm(x), key, grid, source_grid)
        return x + self.cffn_gamma * self.drop_path(self.ffn(self.ffn_norm(x), grid))


class InteractionLayer(nn.Module):
    """One interaction of a network: all its directions between branches, pair after pair.

    Both directions of a pair read the features from before that pair's interaction; a later pair reads what an earlier
    pair wrote (docs/architecture.md, point 4).

    Args:
        widths: channels of every branch at this interaction.
        pairs: directed (from, to) branch indices in running order (`Design.directed_pairs`).
        options: the design's interaction.
        drop_path: stochastic-depth rate.
    """

    def __init__(
        self, widths: Sequence[int], pairs: Sequence[tuple[int, int]], options: Interaction, drop_path: float = 0.0
    ) -> None:
        super().__init__()
        self.directions = nn.ModuleDict(
            {f"{a}_{q}": DirectedInteraction(widths[a], widths[q], options, drop_path) for a, q in pairs}
        )
        self.pairs: list[list[tuple[int, int]]] = []
        for a, q in pairs:
            if self.pairs and {a, q} == set(self.pairs[-1][0]):
                self.pairs[-1].append((a, q))
            else:
                self.pairs.append([(a, q)])

    def forward(self, features: list[Tensor], grids: list[Grid]) -> list[Tensor]:
        """Exchange the branches' features (B, H*W, C) on their grids; return the new features."""
        features = list(features)
        for pair in self.pairs:
            informed = [self.directions[f"{a}_{q}"](features[q], features[a], grids[q], grids[a]) for a, q in pair]
            for (_, q), x in zip(pair, informed, strict=True):
                features[q] = x
        return features
