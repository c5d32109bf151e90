"""The parts of `latency.kinds`, and whole designs, as modules with inputs. Needs torch."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor, nn

from piip_explore.catalog import ConvNeXt, ViT
from piip_explore.cost.parts import Adapter
from piip_explore.design import Design
from piip_explore.latency.kinds import FeaturePyramid, Gather, Kind, Own, StageBlock, Stem, Unit, ViTBlock
from piip_explore.latency.plan import Point
from piip_explore.models import build
from piip_explore.models.apply import Apply
from piip_explore.models.convnext import ConvNeXtBlock, ConvNeXtBranch
from piip_explore.models.interaction import DirectedInteraction
from piip_explore.models.layers import resize, to_map
from piip_explore.models.map_branch import OwnBranchModule
from piip_explore.models.merging import ADAPTERS, SimplePyramid
from piip_explore.models.vit import Block, VisionTransformer

Network = tuple[nn.Module, tuple[Tensor, ...]]
"""A module and what it takes."""


def network(what: Point | Design, batch: int, device: torch.device, dtype: torch.dtype) -> Network:
    """Return a part or a whole design with fresh weights, in evaluation mode, and random inputs for `batch` images."""
    with device:
        module, inputs = _design(what, batch) if isinstance(what, Design) else _part(what.kind, what.sides, batch)
    return module.eval().to(dtype), tuple(x.to(dtype) for x in inputs)


def _design(design: Design, batch: int) -> Network:
    return build(design), (torch.randn(batch, 3, design.resolution, design.resolution),)


def _part(kind: Kind, sides: tuple[int, ...], batch: int) -> Network:
    side = sides[0]
    match kind:
        case Stem(spec=spec, class_token=class_token):
            return _stem(spec, class_token, side, batch)
        case Own(spec=spec):
            own = OwnBranchModule(spec)
            images = torch.randn(batch, 3, side * spec.patch, side * spec.patch)
            return Apply(lambda x: own.run(*own.embed(x), 0, spec.blocks)[0], own), (images,)
        case ViTBlock(spec=spec, window=window, class_token=class_token):
            block = Block(spec, window, side, class_token)
            tokens = torch.randn(batch, side**2 + spec.prefix(class_token), spec.dim)
            return Apply(lambda x: block(x, (side, side)), block), (tokens,)
        case StageBlock(spec=spec, stage=stage):
            width, side = spec.dims[stage], side >> stage
            return ConvNeXtBlock(width), (_map(batch, width, side),)
        case Unit(width_from=width_from, width=width, options=options):
            unit = DirectedInteraction(width_from, width, options)
            grid, source_grid = (side, side), (sides[1], sides[1])
            x, source = torch.randn(batch, side**2, width), torch.randn(batch, sides[1] ** 2, width_from)
            return Apply(lambda x, source: unit(x, source, grid, source_grid), unit), (x, source)
        case Adapter(merge=merge, width=width, target=target, is_target=is_target):
            return ADAPTERS[merge](width, target, is_target), (_map(batch, width, side),)
        case Gather(width=width):
            scale = nn.Parameter(torch.ones(()))
            gather = Apply(lambda x: torch.stack([scale * resize(x, (side, side))]).sum(0), nn.ParameterList([scale]))
            return gather, (torch.randn(batch, width, max(1, side // 2), max(1, side // 2)),)
        case FeaturePyramid(widths=(first, second)):
            pyramid = SimplePyramid([first, second, second, second])
            maps = [_map(batch, width, max(2, side)) for width in (first, second, second, second)]
            return Apply(lambda *maps: pyramid(maps), pyramid), tuple(maps)
    raise NotImplementedError(f"no network of a {type(kind).__name__}")


def _stem(spec: ViT | ConvNeXt, class_token: bool, grid: int, batch: int) -> Network:
    images = torch.randn(batch, 3, grid * spec.patch, grid * spec.patch)
    if isinstance(spec, ViT):
        vit = VisionTransformer(spec, grid, None, class_token)
        return Apply(lambda x: vit.embed(x)[0], vit), (images,)
    convnext = ConvNeXtBranch(replace(spec, depths=(0,) * len(spec.depths)))
    return Apply(lambda x: convnext.run(*convnext.embed(x), 0, len(spec.depths) - 1)[0], convnext), (images,)


def _map(batch: int, width: int, side: int) -> Tensor:
    """Return a map as interactions and blocks leave it: channels last in memory."""
    return to_map(torch.randn(batch, side**2, width), (side, side))
