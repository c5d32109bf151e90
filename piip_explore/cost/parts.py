"""The parts of networks that are traced, each one once: plain values that describe a part completely.

A cost is additive over branches and over directed pairs of branches. A ViT is traced with one block of every distinct
kind on a few tiny maps; so are one direction of an interaction, and what a branch's map passes on its way to the merge.
Their counts are exact polynomials of the sizes of their maps (`cost.part_sizes`). A ConvNeXt, whose stages round odd
sizes down, and models of other packages are traced at every size.
"""

from __future__ import annotations

from dataclasses import dataclass

from piip_explore.catalog import ConvNeXt, OwnBranch, ViT
from piip_explore.design import Interaction


@dataclass(frozen=True)
class GlobalViT:
    """A ViT of one global block, on maps of all sides up to the degree of its polynomial."""

    spec: ViT
    class_token: bool


@dataclass(frozen=True)
class WindowedBlock:
    """One block with windows of `window` x `window` patches."""

    spec: ViT
    window: int
    class_token: bool


@dataclass(frozen=True)
class SizedConvNeXt:
    """A ConvNeXt of one block per stage with `grid` x `grid` cells after its stem."""

    spec: ConvNeXt
    grid: int


@dataclass(frozen=True)
class SizedOwn:
    """Another package's branch with `grid` x `grid` cells after its stem; `code` is the hash of its code."""

    spec: OwnBranch
    grid: int
    code: str


@dataclass(frozen=True)
class InteractionUnit:
    """One direction of one interaction, into a map of `width` channels from one of `width_from`."""

    width_from: int
    width: int
    options: Interaction


@dataclass(frozen=True)
class Adapter:
    """What one branch's map of `width` channels passes to join a merged map of `target` channels.

    `is_target`: the branch is itself the one of the lowest resolution.
    """

    merge: str
    width: int
    target: int
    is_target: bool


@dataclass(frozen=True)
class UpSampling:
    """The simple pyramid's level 0 (four times the size) or 1 (twice) over a merged map of `width` channels."""

    level: int
    width: int


@dataclass(frozen=True)
class Head:
    """One branch's LayerNorm and linear classifier."""

    width: int
    classes: int


Part = GlobalViT | WindowedBlock | SizedConvNeXt | SizedOwn | InteractionUnit | Adapter | UpSampling | Head
