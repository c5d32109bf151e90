"""Tracing the parts: each is built as a small module on the meta device and counted. Needs torch.

`cost.part_sizes` calls `traced` and keeps what it returns on disk.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import singledispatch

import torch
from torch import Tensor, nn

from piip_explore import catalog
from piip_explore.cost.counts import Bilinear, Counts
from piip_explore.cost.parts import (
    Adapter,
    GlobalViT,
    Head,
    InteractionUnit,
    Part,
    SizedConvNeXt,
    SizedOwn,
    UpSampling,
    WindowedBlock,
)
from piip_explore.cost.trace import trace, working_set
from piip_explore.models.apply import Apply
from piip_explore.models.convnext import ConvNeXtBranch
from piip_explore.models.interaction import DirectedInteraction
from piip_explore.models.map_branch import MapBranch, OwnBranchModule
from piip_explore.models.merging import ADAPTERS, SeparateHeads, SimplePyramid
from piip_explore.models.vit import VisionTransformer

Named = dict[str, Counts]

SIDES = range(1, 6)
"""Sides of the maps, in patches, that a ViT is counted on: attention is a polynomial of degree four in the side."""


@singledispatch
def traced(part: Part) -> Named:
    """Count a part; the names of the counts are those that `cost.part_sizes` reads for its type."""
    raise NotImplementedError(f"no rule for tracing a {type(part).__name__}")


@traced.register
def _(part: GlobalViT) -> Named:
    """Count it on maps of all `SIDES`: `outside 1`, ... its block, and `block 1`, ..."""
    counts = {side: vision_transformer(part.spec, side, None, part.class_token) for side in SIDES}
    return {f"{name} {side}": counts[side][name] for side in SIDES for name in ("outside", "block")}


@traced.register
def _(part: WindowedBlock) -> Named:
    """Count it as a function of the patches of its map (tokens) and of its windows (keys), which is linear in both."""

    def block(side: int) -> Counts:
        return vision_transformer(part.spec, side, part.window, part.class_token)["block"]

    two, three = part.window + 1, 2 * part.window + 1  # sides of maps with two by two windows, and with three by three
    of_two, of_three = block(two), block(three)
    per_patch = Counts()
    if part.window > 1:  # otherwise every patch is a window
        per_patch = (block(two + 1) - of_two) // ((two + 1) ** 2 - two**2)
    per_window = (of_three - of_two - per_patch * (three**2 - two**2)) // (3**2 - 2**2)
    return Bilinear(of_two - per_patch * two**2 - per_window * 2**2, per_patch, per_window).named()


@traced.register
def _(part: SizedConvNeXt) -> Named:
    """Count `outside` its blocks, and a block of `stage 0`, ..."""
    with torch.device("meta"):
        branch = ConvNeXtBranch(part.spec)
    blocks = {f"stage {stage}": f"stages.{stage}.blocks.0" for stage in range(len(part.spec.depths))}
    return _branch(branch, part.spec, part.grid, blocks)


@traced.register
def _(part: SizedOwn) -> Named:
    """Count the `whole`, after a check that its maps are what its specification says; `peak` keeps its working set."""
    with torch.device("meta"):
        branch = OwnBranchModule(part.spec)
        even = (8 << len(part.spec.depths) - 1) * part.spec.patch
        branch.check(part.spec, torch.empty(1, 3, even, even))
    side = part.grid * part.spec.patch
    run = Apply(lambda images: branch.run(*branch.embed(images), 0, part.spec.blocks)[0], branch)
    peak = working_set(run, torch.empty(1, 3, side, side, device="meta"))
    return {"whole": _branch(branch, part.spec, part.grid, {})["outside"], "peak": Counts(kept=peak)}


@traced.register
def _(part: InteractionUnit) -> Named:
    """Count it as a bilinear function of the tokens of the map that it writes to and of the one that it reads."""
    with torch.device("meta"):
        module = DirectedInteraction(part.width_from, part.width, part.options)

    def unit(tokens: int, keys: int) -> Counts:
        run = Apply(lambda x, source: module(x, source, (1, tokens), (1, keys)), module)
        x = torch.empty(1, tokens, part.width, device="meta")
        return trace(run, x, torch.empty(1, keys, part.width_from, device="meta"))[""]

    at = {(tokens, keys): unit(tokens, keys) for tokens in (1, 2) for keys in (1, 2)}
    both = at[2, 2] - at[1, 2] - at[2, 1] + at[1, 1]
    per_token, per_key = at[2, 1] - at[1, 1] - both, at[1, 2] - at[1, 1] - both
    return Bilinear(at[1, 1] - per_token - per_key - both, per_token, per_key, both).named()


@traced.register
def _(part: Adapter) -> Named:
    """Count it by the tokens of the branch's map."""
    return _of_map(lambda: ADAPTERS[part.merge](part.width, part.target, part.is_target), part.width)


@traced.register
def _(part: UpSampling) -> Named:
    """Count it by the tokens of the merged map."""
    return _of_map(lambda: getattr(SimplePyramid([part.width] * 4), f"fpn{part.level + 1}"), part.width)


@traced.register
def _(part: Head) -> Named:
    """Count the `head`."""
    with torch.device("meta"):
        module = SeparateHeads([part.width], part.classes)
    tokens = torch.empty(1, part.width, 1, 1, device="meta")
    return {"head": trace(Apply(lambda x: module([x]), module), tokens)[""]}


def vision_transformer(spec: catalog.ViT, side: int, window: int | None, class_token: bool) -> Named:
    """Count a ViT of one block on a map of `side` x `side` patches: `outside` the block, and the `block`."""
    with torch.device("meta"):
        branch = VisionTransformer(spec, side, [window], class_token)
    return _branch(branch, spec, side, {"block": "blocks.0"})


def _branch(branch: VisionTransformer | MapBranch, spec: catalog.Model, grid: int, blocks: dict[str, str]) -> Named:
    def run(images: Tensor) -> Tensor:
        return branch.run(*branch.embed(images), 0, spec.blocks)[0]

    side = grid * spec.patch
    counts = trace(Apply(run, branch), torch.empty(1, 3, side, side, device="meta"))
    named = {name: counts[f"module.{path}"] for name, path in blocks.items()}
    return {"outside": sum((block * -1 for block in named.values()), counts[""]), **named}


def _of_map(make: Callable[[], nn.Module], width: int) -> Named:
    with torch.device("meta"):
        module = make()
    # Not on one token: GroupNorm refuses a single value per group.
    two, three = (trace(module, torch.empty(1, width, 1, tokens, device="meta"))[""] for tokens in (2, 3))
    per_token = three - two
    return Bilinear(two - per_token * 2, per_token).named()
