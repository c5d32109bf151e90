"""Tracing the parts: every function builds one small module on the meta device and counts it. Needs torch.

Call them through `cost.parts`, which keeps their results on disk. Each returns named counts.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from piip_explore import catalog
from piip_explore.cost.counts import Bilinear, Counts
from piip_explore.cost.trace import trace
from piip_explore.design import Interaction
from piip_explore.models.convnext import ConvNeXtBranch
from piip_explore.models.interaction import Direction
from piip_explore.models.merging import ADAPTERS, SeparateHeads, SimplePyramid
from piip_explore.models.vit import VisionTransformer

Named = dict[str, Counts]


SIDES = range(1, 6)
"""Sides of the maps, in patches, that a ViT is counted on: attention is a polynomial of degree four in the side."""


def vision_transformer(spec: catalog.ViT, class_token: bool) -> Named:
    """Count a ViT of one global block on maps of all `SIDES`: `outside 1`, ... its block, and `block 1`, ..."""
    counts = {side: _vision_transformer(spec, side, None, class_token) for side in SIDES}
    return {f"{name} {side}": counts[side][name] for side in SIDES for name in ("outside", "block")}


def windowed_block(spec: catalog.ViT, window: int, class_token: bool) -> Named:
    """Count a block of a ViT with windows: linear in the patches of its map (tokens) and in its windows (keys)."""
    two, three = window + 1, 2 * window + 1  # sides of maps with two by two windows, and with three by three
    of_two, of_three = (_vision_transformer(spec, side, window, class_token)["block"] for side in (two, three))
    per_patch = Counts()
    if window > 1:  # otherwise every patch is a window
        wider = _vision_transformer(spec, two + 1, window, class_token)["block"]
        per_patch = (wider - of_two) // ((two + 1) ** 2 - two**2)
    per_window = (of_three - of_two - per_patch * (three**2 - two**2)) // (3**2 - 2**2)
    return Bilinear(of_two - per_patch * two**2 - per_window * 2**2, per_patch, per_window).named()


def convnext(spec: catalog.ConvNeXt, grid: int) -> Named:
    """Count a ConvNeXt with `grid` x `grid` cells behind its stem: `outside` its blocks, a block of `stage 0`, ..."""
    short = replace(spec, depths=(1,) * len(spec.depths))
    with torch.device("meta"):
        branch = ConvNeXtBranch(short)
    return _branch(branch, short, grid, {f"stage {s}": f"stages.{s}.blocks.0" for s in range(len(spec.depths))})


def direction(width_from: int, width: int, options: Interaction) -> Named:
    """Count one direction of an exchange: bilinear in the tokens of the map it informs and of the one it reads."""
    with torch.device("meta"):
        module = Direction(width_from, width, options)
    at = {(tokens, keys): _direction(module, width, width_from, tokens, keys) for tokens in (1, 2) for keys in (1, 2)}
    both = at[2, 2] - at[1, 2] - at[2, 1] + at[1, 1]
    per_token, per_key = at[2, 1] - at[1, 1] - both, at[1, 2] - at[1, 1] - both
    return Bilinear(at[1, 1] - per_token - per_key - both, per_token, per_key, both).named()


def adapter(merge: str, width: int, target: int, is_target: bool) -> Named:
    """Count what one branch's map passes to join a merged map of `target` channels, and its scalar in the sum."""
    return _of_map(lambda: ADAPTERS[merge](width, target, is_target), width, params=1)


def up_sampling(level: int, width: int) -> Named:
    """Count the simple pyramid's level 0 (four times the size) or 1 (twice), by tokens of the merged map."""
    return _of_map(lambda: getattr(SimplePyramid([width] * 4), f"fpn{level + 1}"), width)


def head(width: int, classes: int) -> Named:
    """Count one branch's LayerNorm and linear classifier."""
    with torch.device("meta"):
        module = SeparateHeads([width], classes)
    return {"head": trace(_Apply(lambda x: module([x]), module), torch.empty(1, width, 1, 1, device="meta"))[""]}


class _Apply(nn.Module):
    """A forward pass of choice over `module`."""

    def __init__(self, forward: Callable[..., Any], module: nn.Module) -> None:
        super().__init__()
        self.function, self.module = forward, module

    def forward(self, *inputs: Tensor) -> Any:
        return self.function(*inputs)


def _vision_transformer(spec: catalog.ViT, side: int, window: int | None, class_token: bool) -> Named:
    with torch.device("meta"):
        branch = VisionTransformer(spec, side, [window], class_token)
    return _branch(branch, spec, side, {"block": "blocks.0"})


def _branch(
    branch: VisionTransformer | ConvNeXtBranch, spec: catalog.Model, grid: int, blocks: dict[str, str]
) -> Named:
    def run(images: Tensor) -> Tensor:
        return branch.run(*branch.embed(images), 0, spec.blocks)[0]

    side = grid * spec.patch
    counts = trace(_Apply(run, branch), torch.empty(1, 3, side, side, device="meta"))
    named = {name: counts[f"module.{path}"] for name, path in blocks.items()}
    return {"outside": sum((block * -1 for block in named.values()), counts[""]), **named}


def _direction(module: Direction, width: int, width_from: int, tokens: int, keys: int) -> Counts:
    def run(x: Tensor, source: Tensor) -> Tensor:
        out: Tensor = module(x, source, (1, tokens), (1, keys))
        return out

    maps = torch.empty(1, tokens, width, device="meta"), torch.empty(1, keys, width_from, device="meta")
    return trace(_Apply(run, module), *maps)[""]


def _of_map(make: Callable[[], nn.Module], width: int, params: int = 0) -> Named:
    with torch.device("meta"):
        module = make()
    # Not on one token: GroupNorm refuses a single value per group.
    two, three = (trace(module, torch.empty(1, width, 1, tokens, device="meta"))[""] for tokens in (2, 3))
    per_token = three - two
    return Bilinear(two - per_token * 2 + Counts(params=params), per_token).named()
