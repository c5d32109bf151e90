"""Which design of a family a step of the supernet's training takes."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from piip_explore.catalog import ConvNeXt
from piip_explore.design import Branch, Design, Direction, Interaction
from piip_explore.proxy.presets import SupernetRecipe
from piip_explore.proxy.shrink import Shrink
from piip_explore.proxy.supernet.family import tiled
from piip_explore.proxy.supernet.parts import matches

_WINDOWS = ((14, None), (28, None), (14, 3))
_LARGEST_SHARE, _SMALLEST_SHARE = 0.4, 0.12
"""Steps with all interactions, and steps with none (sandwich rule, arXiv 1903.05134); the others are between."""
_ONE_WAY_SHARE, _PARTLY_MERGED_SHARE = 0.15, 0.3
_TRIES = 100


def draw(whole: Design, recipe: SupernetRecipe, shrink: Shrink, seed: int, step: int) -> Design:
    """Return a shrunken design of the family of `whole`, the same for the same seed and step."""
    rng = np.random.default_rng((seed, step))
    large = shrink(whole)
    for _ in range(_TRIES):
        small = shrink(_assemble(whole, _branches(whole, recipe, rng), rng))
        if _is_part(small, large):
            return small
    return large


def _is_part(small: Design, whole: Design) -> bool:
    """Whether the branches are in the family's order (at equal resolutions the wider is last), all else in it too."""
    in_order = [branch.model for branch in small.sorted().branches] == [branch.model for branch in whole.branches]
    return in_order and None not in matches(whole, small)


def _branches(whole: Design, recipe: SupernetRecipe, rng: np.random.Generator) -> tuple[Branch, ...]:
    """Return the models at sizes of their own, none smaller than the next; the images are at least half the largest."""
    sides = np.array(sorted(recipe.resolutions))
    high = rng.choice(sides[len(sides) // 2 :] if len(whole.branches) > 1 else sides)
    low = -np.sort(-rng.choice(sides[sides <= high], len(whole.branches) - 1))
    window, every = _WINDOWS[rng.integers(len(_WINDOWS))]
    return tuple(
        Branch(branch.model, max(int(side), 8 * branch.spec.patch))
        if isinstance(branch.spec, ConvNeXt)
        else Branch(branch.model, tiled(branch.model, int(side)), window, every)
        for branch, side in zip(whole.branches, (high, *low), strict=True)
    )


def _assemble(whole: Design, branches: tuple[Branch, ...], rng: np.random.Generator) -> Design:
    count = len(branches)
    if count == 1:
        return Design(branches)
    out = None
    if rng.random() < _PARTLY_MERGED_SHARE:
        chosen = rng.choice(count, rng.integers(1, count), replace=False) + 1
        out = tuple(sorted(map(int, chosen)))
    return Design(branches, _interaction(whole, rng), replace(whole.merge, out=out))


def _interaction(whole: Design, rng: np.random.Generator) -> Interaction | None:
    full = whole.interaction
    if full is None:
        return None
    least = 4 if whole.merge.kind == "conv-multilevel" else 0
    share = rng.random()
    number = full.count
    if share < _SMALLEST_SHARE:
        number = least
    elif share > _SMALLEST_SHARE + _LARGEST_SHARE:
        # Divisors of the whole's number: the blocks that they follow are followed there too.
        number = int(rng.choice([n for n in range(max(1, least), full.count + 1) if full.count % n == 0]))
    if number == 0:
        return None
    direction: Direction = full.direction
    if rng.random() < _ONE_WAY_SHARE:
        direction = "up" if rng.random() < 0.5 else "down"
    return replace(full, count=number, direction=direction)
