"""Which of a supernet's tensors are a design's: names of one network as names of the other.

Both networks are of sorted designs, so branch `i` of one is branch `i` of the other.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping

import torch
from torch import Tensor

from piip_explore import catalog
from piip_explore.design import Design
from piip_explore.models.vit import resample_positions


def part(
    tensors: Mapping[str, Tensor], whole: Design, design: Design, wanted: Mapping[str, torch.Size]
) -> dict[str, Tensor]:
    """Return the tensors of a supernet that a design's network starts from, under the names that it has there.

    Args:
        tensors: the supernet's, by name.
        whole, design: what the supernet and the design's network were built from: shrunken and sorted.
        wanted: names and shapes of the design's network.

    Position embeddings are resampled, differentiably. What the supernet does not have in that shape is left out.
    """
    interactions = matches(whole, design)
    found = {}
    for name, shape in wanted.items():
        tensor = tensors.get(_name_in_whole(name, interactions, design.out))
        if tensor is None:
            continue
        if name.endswith("pos_embed"):
            side = math.isqrt(shape[1])
            tensor = resample_positions(tensor, (side, side))
        if tensor.shape == shape:
            found[name] = tensor
    return found


def matches(whole: Design, design: Design) -> list[int | None]:
    """Return, for every interaction of `design`, the number of the one in `whole` that it takes its weights from.

    It is the one at the nearest depth among those between maps of the same widths; None where there is none.
    """
    if whole.interaction is None or design.interaction is None:
        return [None] * (design.interaction.count if design.interaction else 0)
    theirs, mine = _places(whole, whole.interaction.count), _places(design, design.interaction.count)
    found: list[int | None] = []
    for widths, depth in mine:
        same = [number for number, (there, _) in enumerate(theirs) if there == widths]
        found.append(min(same, key=lambda number: abs(theirs[number][1] - depth), default=None))
    return found


def _places(design: Design, count: int) -> list[tuple[tuple[int, ...], float]]:
    """Return each interaction's widths per branch, and its depth as a mean share of the branches' blocks."""
    specs = [branch.spec for branch in design.branches]
    ends = list(zip(*(catalog.positions(spec, count) for spec in specs), strict=True))
    return [
        (
            tuple(spec.width(end) for spec, end in zip(specs, row, strict=True)),
            sum((end + 1) / spec.blocks for spec, end in zip(specs, row, strict=True)) / len(specs),
        )
        for row in ends
    ]


_BY_INTERACTION = re.compile(r"(pyramid\.interactions\.)(\d+)(\..+)")
_BY_OUTPUT = re.compile(r"(pyramid\.head\.(?:norms|heads|scales)\.)(\d+)(.*)")


def _name_in_whole(name: str, interactions: list[int | None], out: Iterable[int]) -> str:
    """Return the supernet's name for a tensor of the design; its interactions and outputs are numbered otherwise."""
    if match := _BY_INTERACTION.fullmatch(name):
        return f"{match[1]}{interactions[int(match[2])]}{match[3]}"
    if match := _BY_OUTPUT.fullmatch(name):
        return f"{match[1]}{tuple(out)[int(match[2])]}{match[3]}"
    return name
