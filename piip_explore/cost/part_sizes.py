"""The counts of parts at any size, from a few traces of each. Torch is loaded only to trace a part.

Traces are kept on disk: one small file per part, valid for one version of the code. Any number of processes may write
at once; a part whose file is torn, foreign or damaged is traced again. Grids and tokens may be integers or, except for
the grid of a ViT or a ConvNeXt, NumPy integer arrays.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import ceil
from pathlib import Path

from piip_explore import cache, phases
from piip_explore.catalog import ConvNeXt, OwnBranch, ViT
from piip_explore.code_hash import code_hash
from piip_explore.cost.counts import Bilinear, Counts, Polynomial, from_json, to_json
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
from piip_explore.design import Interaction

HEAD_CLASSES = 1000

_CODE = (
    "catalog",
    "plugins.py",
    "design",
    "models",
    "ops",
    "cost/counts.py",
    "cost/parts.py",
    "cost/part_traces.py",
    "cost/saved.py",
    "cost/trace.py",
)
"""What the counts of a trace depend on."""


@dataclass(frozen=True)
class ViTCounts:
    """A ViT on one map: everything outside its blocks, one global and (with windows) one windowed block."""

    outside: Counts
    global_block: Counts
    windowed_block: Counts | None


@functools.cache
def vision_transformer(spec: ViT, grid: int, window: int | None, class_token: bool) -> ViTCounts:
    """Return the counts of a ViT on a map of `grid` x `grid` patches."""
    one_block = replace(spec, depth=1)
    outside, block = _by_side(one_block, class_token)
    windowed = None
    if window is not None:
        by_size = Bilinear(**counted(WindowedBlock(one_block, window, class_token)))
        windowed = by_size.at(tokens=grid**2, keys=ceil(grid / window) ** 2)
    return ViTCounts(outside.at(grid), block.at(grid), windowed)


@functools.cache
def _by_side(spec: ViT, class_token: bool) -> tuple[Polynomial, Polynomial]:
    """Return what is outside the blocks of a ViT, and a global block, by the side of the map."""
    counts = counted(GlobalViT(spec, class_token))
    sides = range(1, len(counts) // 2 + 1)
    outside, block = ([counts[f"{name} {side}"] for side in sides] for name in ("outside", "block"))
    return Polynomial.through(outside), Polynomial.through(block)


def convnext(spec: ConvNeXt, grid: int) -> Counts:
    """Return the counts of a ConvNeXt, or another package's branch, with `grid` x `grid` cells after its stem."""
    if isinstance(spec, OwnBranch):
        return counted(SizedOwn(spec, grid, spec.code))["whole"]
    counts = convnext_parts(spec, grid)
    blocks = (counts[f"stage {stage}"] * depth for stage, depth in enumerate(spec.depths))
    return sum(blocks, counts["outside"])


def own_peak(spec: OwnBranch, grid: int) -> int:
    """Return the largest working set of another package's branch with `grid` x `grid` cells after its stem."""
    return int(counted(SizedOwn(spec, grid, spec.code))["peak"].kept)


def convnext_parts(spec: ConvNeXt, grid: int) -> dict[str, Counts]:
    """Return the counts `outside` a ConvNeXt's blocks, and of one block of every stage: `stage 0`, ..."""
    return counted(SizedConvNeXt(replace(spec, depths=(1,) * len(spec.depths)), grid))


def interaction_unit(width_from: int, width: int, interaction: Interaction) -> Bilinear:
    """Return one direction of one interaction, by the tokens of the map it writes to and of the one it reads (keys)."""
    return Bilinear(**counted(InteractionUnit(width_from, width, unit_options(interaction))))


def unit_options(interaction: Interaction) -> Interaction:
    """Return an interaction with the options that one direction depends on: neither number nor direction."""
    return replace(interaction, count=1, direction="both")


def adapter(merge: str, width: int, target: int, is_target: bool) -> Bilinear:
    """Return what one branch's map passes to join a merged map, by its tokens."""
    return Bilinear(**counted(Adapter(merge, width, target, is_target)))


def pyramid(widths: Sequence[int]) -> Bilinear:
    """Return the simple pyramid's up-samplings of merged maps that all have the same size; `widths` by level."""
    four_times, twice = (Bilinear(**counted(UpSampling(level, widths[level]))) for level in (0, 1))
    return four_times + twice


def head(width: int) -> Counts:
    """Return one branch's LayerNorm and linear classifier of `HEAD_CLASSES`."""
    return counted(Head(width, HEAD_CLASSES))["head"]


@functools.cache
def counted(part: Part) -> dict[str, Counts]:
    """Return the named counts of a part (`part_traces.traced`), from disk where this version of the code has them."""
    key = repr(part)
    path = folder() / f"{type(part).__name__}-{hashlib.sha256(key.encode()).hexdigest()[:24]}.counts"
    content = cache.read(path, key)
    if content is not None:
        return from_json(json.loads(content))
    phases.tell("counting FLOPs of parts that were never counted here (once, then cached)")
    from piip_explore.cost.part_traces import traced  # loads torch

    counts = traced(part)
    with contextlib.suppress(OSError):  # a folder that cannot be written costs time, not the answer
        cache.write(path, key, json.dumps(to_json(counts)).encode())
    return counts


def folder() -> Path:
    """Return the folder of the parts that this version of the code has traced."""
    return cache.folder() / "parts" / code_hash(*_CODE, libraries=("torch", "fvcore"))
