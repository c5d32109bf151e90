"""The kinds of parts that a network's time is made of, and the work of one part. No torch.

A kind describes a part except for the sizes of its maps: the `sides`, in cells. Its time is measured at a few sizes
(`latency.plan`) and follows at any other from the exact counts of `cost`, padded windows and odd maps included.
"""

from __future__ import annotations

from dataclasses import dataclass

from piip_explore.catalog import ConvNeXt, Model, OwnBranch, ViT
from piip_explore.cost import part_sizes
from piip_explore.cost.counts import Counts
from piip_explore.cost.parts import Adapter
from piip_explore.design import Interaction


@dataclass(frozen=True)
class Stem:
    """Everything of a branch outside its blocks: embedding, or stem and down-sampling. Sides: the branch's grid."""

    spec: Model
    class_token: bool


@dataclass(frozen=True)
class ViTBlock:
    """One block of a ViT, in windows or global. Sides: the branch's grid."""

    spec: ViT
    window: int | None
    class_token: bool


@dataclass(frozen=True)
class StageBlock:
    """One block of a stage of a ConvNeXt. Sides: the branch's grid, after the stem."""

    spec: ConvNeXt
    stage: int


@dataclass(frozen=True)
class Own:
    """A whole branch of another package. Sides: the branch's grid."""

    spec: OwnBranch


@dataclass(frozen=True)
class Unit:
    """One direction of one interaction. Sides: of the map that is informed, and of the one that it reads."""

    width_from: int
    width: int
    options: Interaction


@dataclass(frozen=True)
class Gather:
    """Resizing one adapted map of `width` channels to the merged size and adding it. Sides: the merged map."""

    width: int


@dataclass(frozen=True)
class FeaturePyramid:
    """The simple feature pyramid over merged maps; `widths` of its first two levels. Sides: the merged map."""

    widths: tuple[int, int]


# An Adapter's sides are the branch's map.
Kind = Stem | ViTBlock | StageBlock | Own | Unit | Adapter | Gather | FeaturePyramid
Sides = tuple[int, ...]


def name(kind: Kind) -> str:
    """Return a kind's name in a device profile."""
    return _IN_PROFILES.get(type(kind), type(kind).__name__) + repr(kind).removeprefix(type(kind).__name__)


_IN_PROFILES: dict[type[Kind], str] = {ViTBlock: "Block", FeaturePyramid: "Pyramid"}
"""Names that differ from the class's: profiles outlive it."""


def work(kind: Kind, sides: Sides) -> float:
    """Return how much work a part is, in units that compare only within its kind.

    Multiply-adds and elements moved, an element as `_MOVE` multiply-adds: times per unit of it change little with the
    size, so that they can be interpolated.
    """
    found = counts(kind, sides)
    return float(found.macs + _MOVE * found.moved)


_MOVE = 8
"""Multiply-adds that take as long as moving an element; devices differ, and only sizes not measured depend on it."""


def counts(kind: Kind, sides: Sides) -> Counts:
    """Return the exact counts of a part, as built; of a `Gather` the elements it moves."""
    side = sides[0]
    match kind:
        case Stem(spec=ViT() as vit, class_token=class_token):
            return part_sizes.vision_transformer(vit, side, None, class_token).outside
        case Stem(spec=ConvNeXt() as convnext):
            return part_sizes.convnext_parts(convnext, side)["outside"]
        case Own(spec=own):
            return part_sizes.convnext(own, side)
        case ViTBlock(spec=vit, window=window, class_token=class_token):
            found = part_sizes.vision_transformer(vit, side, window, class_token)
            return found.windowed_block or found.global_block
        case StageBlock(spec=convnext, stage=stage):
            return part_sizes.convnext_parts(convnext, side)[f"stage {stage}"]
        case Unit():
            unit = part_sizes.interaction_unit(kind.width_from, kind.width, kind.options)
            return unit.at(side**2, sides[1] ** 2)
        case Adapter():
            return part_sizes.adapter(kind.merge, kind.width, kind.target, kind.is_target).at(side**2)
        case Gather():
            return Counts(moved=3 * kind.width * side**2)
        case FeaturePyramid():
            return part_sizes.pyramid(kind.widths).at(side**2)
    raise NotImplementedError(f"no work of a {type(kind).__name__}")
