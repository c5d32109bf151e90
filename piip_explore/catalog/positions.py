"""Which blocks interactions follow."""

from __future__ import annotations

from piip_explore.catalog.kinds import Model, ViT

# Blocks (from 0) after which the published designs run their interactions, where they do not follow the rule of
# `positions` (PIIP's configs). Keyed by structure, so that a narrower model of the same depth keeps them, and by the
# number of interactions.
_PUBLISHED_POSITIONS: dict[tuple[int | tuple[int, ...], int], tuple[int, ...]] = {
    (32, 12): (1, 3, 5, 7, 10, 13, 16, 19, 22, 25, 28, 31),
    ((3, 3, 9, 3), 12): (2, 6, 8, 9, 10, 11, 12, 13, 14, 15, 16, 20),
    ((3, 3, 27, 3), 12): (2, 6, 10, 13, 16, 19, 22, 25, 28, 31, 34, 38),
    ((3, 3, 27, 3), 2): (19, 38),
    ((3, 3, 27, 3), 24): (
        *(1, 2, 4, 6, 9, 10, 12, 13, 15, 16, 18, 19),
        *(21, 22, 24, 25, 27, 28, 30, 31, 33, 34, 36, 38),
    ),
}


def positions(spec: Model, count: int) -> tuple[int, ...]:
    """Return the blocks (from 0) after which `count` interactions run; the last one runs after the last block.

    Group k of the blocks ends with block floor(blocks (k + 1) / count) - 1, except where published configs differ.
    """
    structure = spec.depth if isinstance(spec, ViT) else spec.depths
    published = _PUBLISHED_POSITIONS.get((structure, count))
    return published or tuple(spec.blocks * (k + 1) // count - 1 for k in range(count))
