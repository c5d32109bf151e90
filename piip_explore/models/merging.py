"""How the branches' maps become the network's output (arXiv 2501.07783, Sec. III; docs/architecture.md, point 8).

In every merge the target width is that of the lowest-resolution branch; maps are resized bilinearly to the current map
of the highest-resolution branch and summed with one learnable scalar each. `weighting=channel` learns one per channel
instead. All start at one, so an untrained network is the same with either.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from piip_explore.design import Weighting
from piip_explore.models.layers import NORM_EPS, group_norm, resize


class ChannelLinear(nn.Linear):
    """A linear layer over the channels of a map (B, C, H, W)."""

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, in, H, W) to (B, out, H, W)."""
        return super().forward(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


def linear_adapter(dim: int, target: int, is_target: bool) -> nn.Module:
    """GroupNorm; for all branches but the target's own, a linear layer to its width and a second GroupNorm."""
    if is_target:
        return nn.Sequential(group_norm(dim))
    return nn.Sequential(group_norm(dim), ChannelLinear(dim, target), group_norm(target))


def conv_adapter(dim: int, target: int, is_target: bool) -> nn.Module:
    """Twice a 3x3 convolution without bias, GroupNorm and ReLU, as the detection code trains it."""

    def layer(width: int) -> list[nn.Module]:
        return [nn.Conv2d(width, target, 3, padding=1, bias=False), group_norm(target), nn.ReLU()]

    return nn.Sequential(*layer(dim), *layer(target))


def multilevel_adapter(dim: int, target: int, is_target: bool) -> nn.Module:
    """GroupNorm and ReLU; for all branches but the target's own, one 3x3 convolution without bias before."""
    if is_target:
        return nn.Sequential(group_norm(dim), nn.ReLU())
    return nn.Sequential(nn.Conv2d(dim, target, 3, padding=1, bias=False), group_norm(target), nn.ReLU())


ADAPTERS: dict[str, Callable[[int, int, bool], nn.Module]] = {
    "linear": linear_adapter,
    "conv": conv_adapter,
    "conv-multilevel": multilevel_adapter,
}
"""What adapts every branch's map before the sum, by kind of merge."""


class WeightedSum(nn.Module):
    """Adapt the maps of the branches that feed the merge, resize them to one size, sum them with learnable weights.

    Args:
        kind: the design's merge: `linear`, `conv` or `conv-multilevel`.
        widths: channels of every branch's map.
        out: indices of the branches that feed the merge.
        target: index of the lowest-resolution branch, which gives the output its width.
        reference: index of the highest-resolution branch, which gives the output its size.
        weighting: the design's; `channel` for a weight per channel of the output, otherwise one scalar.
    """

    def __init__(
        self,
        kind: str,
        widths: Sequence[int],
        out: Sequence[int],
        target: int,
        reference: int,
        weighting: Weighting = "published",
    ) -> None:
        super().__init__()
        self.reference, self.dim = reference, widths[target]
        self.adapters = nn.ModuleDict({str(i): ADAPTERS[kind](widths[i], self.dim, i == target) for i in out})
        shape = (self.dim,) if weighting == "channel" else ()
        self.scales = nn.ParameterDict({str(i): nn.Parameter(torch.ones(shape)) for i in out})

    def forward(self, maps: Sequence[Tensor]) -> Tensor:
        """Merge all branches' maps (B, C, H, W); return (B, dim, H, W) at the reference map's size."""
        size = (maps[self.reference].shape[2], maps[self.reference].shape[3])
        merged = [self._weight(i) * resize(adapter(maps[int(i)]), size) for i, adapter in self.adapters.items()]
        return torch.stack(merged).sum(0) if len(merged) > 1 else merged[0]

    def _weight(self, branch: str) -> Tensor:
        scale = self.scales[branch]
        return scale if scale.ndim == 0 else scale[:, None, None]


class SimplePyramid(nn.Module):
    """ViTDet's simple feature pyramid (arXiv 2203.16527): maps of four, two, one and half times the input's size.

    Args:
        dims: widths of the maps that levels 0 to 3 are made from, which may be one map.
    """

    def __init__(self, dims: Sequence[int]) -> None:
        super().__init__()
        up4, up2 = dims[0], dims[1]
        self.fpn1 = nn.Sequential(
            nn.ConvTranspose2d(up4, up4, 2, 2), group_norm(up4), nn.GELU(), nn.ConvTranspose2d(up4, up4, 2, 2)
        )
        self.fpn2 = nn.Sequential(nn.ConvTranspose2d(up2, up2, 2, 2))

    def forward(self, maps: Sequence[Tensor]) -> list[Tensor]:
        """Map four maps (B, C, H, W), or one for all levels, to four levels."""
        first, second, third, fourth = maps if len(maps) == 4 else [maps[0]] * 4
        return [self.fpn1(first), self.fpn2(second), third, F.max_pool2d(fourth, 2, 2)]


class DinoPyramid(nn.Module):
    """The maps of two, one and half times the size that a DINO detector reads, made as `SimplePyramid` makes them."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.fpn2 = nn.Sequential(nn.ConvTranspose2d(dim, dim, 2, 2))

    def forward(self, maps: Sequence[Tensor]) -> list[Tensor]:
        """Map the one merged map (B, C, H, W) to three levels."""
        (x,) = maps
        return [self.fpn2(x), x, F.max_pool2d(x, 2, 2)]


class MapMerge(nn.Module):
    """Merge after chosen interactions and after the last block, then shape the merged maps into the output.

    Args:
        sums: one weighted sum per merged map, in order, the final map's last.
        levels: numbers of the interactions (from 0) after which the maps before the final one are merged.
        pyramid: up- and down-sampling of the merged maps, or None to return them as they are.
    """

    def __init__(
        self, sums: Sequence[WeightedSum], levels: Sequence[int] = (), pyramid: nn.Module | None = None
    ) -> None:
        super().__init__()
        self.levels = tuple(levels)
        self.sums = nn.ModuleList(sums)
        self.pyramid = pyramid

    def forward(self, stages: Sequence[Sequence[Tensor]]) -> list[Tensor]:
        """Merge the branches' maps of every level and of the end; return the output's maps."""
        merged = [merge(maps) for merge, maps in zip(self.sums, stages, strict=True)]
        return merged if self.pyramid is None else self.pyramid(merged)


class NoMerge(nn.Module):
    """Return the final maps of the chosen branches as they are."""

    levels: tuple[int, ...] = ()

    def __init__(self, out: Sequence[int]) -> None:
        super().__init__()
        self.out = tuple(out)

    def forward(self, stages: Sequence[Sequence[Tensor]]) -> list[Tensor]:
        """Return the final map (B, C, H, W) of every chosen branch."""
        return [stages[-1][i] for i in self.out]


class PooledHead(nn.Module):
    """Classifier on one merged map: LayerNorm on every token, mean over tokens, linear."""

    def __init__(self, dim: int, num_classes: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(dim, eps=NORM_EPS)
        self.fc: nn.Module = nn.Linear(dim, num_classes)

    def forward(self, maps: Sequence[Tensor]) -> Tensor:
        """Return logits (B, num_classes) for the single map (B, dim, H, W)."""
        return self.fc(self.pool(maps))

    def pool(self, maps: Sequence[Tensor]) -> Tensor:
        """Return the features (B, dim) that are classified."""
        (x,) = maps
        return self.norm(x.flatten(2).transpose(1, 2)).mean(1)


class SeparateHeads(nn.Module):
    """One LayerNorm and linear head per branch on the first *patch* token; the logits are averaged.

    The first patch and not the class token: after the last interaction the class token is not put back, and the
    released classifiers are trained that way (docs/architecture.md, point 8). A `weighting` other than `published`
    learns the weight of each head's logits in the mean: a scalar, or with `channel` one per class.
    """

    def __init__(self, dims: Sequence[int], num_classes: int, weighting: Weighting = "published") -> None:
        super().__init__()
        self.norms = nn.ModuleList(nn.LayerNorm(dim, eps=NORM_EPS) for dim in dims)
        self.heads = nn.ModuleList(nn.Linear(dim, num_classes) for dim in dims)
        self.scales: nn.ParameterList | None = None
        if weighting != "published":
            shape = (num_classes,) if weighting == "channel" else ()
            self.scales = nn.ParameterList(nn.Parameter(torch.ones(shape)) for _ in dims)

    def forward(self, maps: Sequence[Tensor]) -> Tensor:
        """Return logits (B, num_classes) from the branches' final maps (B, C, H, W)."""
        logits = [head(norm(x.flatten(2)[:, :, 0])) for norm, head, x in zip(self.norms, self.heads, maps, strict=True)]
        if self.scales is not None:
            logits = [scale * one for scale, one in zip(self.scales, logits, strict=True)]
        return torch.stack(logits).mean(0)
