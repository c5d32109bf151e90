"""Crowded cells, summed ahead: blocks of consecutive samples of one cell, a program for each.

A pixel that walked through the list of a cell sample by sample would take as long as the longest list. Blocks begin at
every multiple of `BLOCK` in the order by cell, so which samples make one is decided by the order alone.
"""

# Kernels are typed by their launch, not by annotations.
# mypy: disable-error-code="no-untyped-def, no-untyped-call, untyped-decorator"

from __future__ import annotations

import triton
import triton.language as tl

from piip_explore.ops.triton_kernels.geometry import places


@triton.jit
def shares(samples, sample, mask, corner: tl.constexpr):
    """Return what the pixel at the corner opposite to `corner` of the samples' cell weighs in them.

    That pixel's own cells are numbered alike: it is its upper left cell's (0) lower right corner, and so on.
    """
    weight = tl.load(samples + sample * 3, mask=mask, other=0.0)
    share_x = tl.load(samples + sample * 3 + 1, mask=mask, other=0.0)
    share_y = tl.load(samples + sample * 3 + 2, mask=mask, other=0.0)
    return weight * (1 - share_y if corner // 2 else share_y) * (1 - share_x if corner % 2 else share_x)


@triton.jit(do_not_specialize=["first_map", "queries", "outside"])
def block_kernel(
    gradient,
    cells,
    samples,
    order,
    starts,
    sums,
    first_map,
    queries,
    outside,
    HEADS: tl.constexpr,
    POINTS: tl.constexpr,
    WIDTH: tl.constexpr,
    BLOCK: tl.constexpr,
    LANES: tl.constexpr,
    COMPUTE: tl.constexpr,
):
    """Write the gradients that a block's samples give to the four pixels of their cell, (blocks, 4, WIDTH).

    A block of several cells is left as it is, and so is one beyond the last sample in a map; the cells from `outside`
    on lie in none.
    """
    CHANNELS: tl.constexpr = HEADS * WIDTH
    block = tl.program_id(0).to(tl.int64)
    first = block * BLOCK
    full = first + BLOCK <= tl.load(starts + outside)
    first_sample = tl.load(order + first, mask=full, other=0)
    last_sample = tl.load(order + first + BLOCK - 1, mask=full, other=0)
    if full & (tl.load(cells + first_sample) == tl.load(cells + last_sample)):
        sample = tl.load(order + first + tl.arange(0, BLOCK))
        number = first_sample // (queries * POINTS)
        map = first_map.to(tl.int64) + number
        channel = tl.arange(0, LANES)
        present = channel < WIDTH
        gradient += map // HEADS * queries * CHANNELS + map % HEADS * WIDTH
        query = (sample - number * queries * POINTS) // POINTS
        upstream = tl.load(places(gradient, query, channel, CHANNELS), mask=present[None, :], other=0.0).to(COMPUTE)
        everywhere = sample >= 0
        for corner in tl.static_range(4):
            weight = shares(samples, sample, everywhere, corner)
            total = tl.sum(weight[:, None] * upstream, axis=0)
            tl.store(sums + (block * 4 + corner) * WIDTH + channel, total, mask=present)
