"""The gradient of the value by gathering: samples listed by cell, summed by pixel.

A map is one head of one image; the kernels work on a range of maps, numbered image by image from `first_map` on, so
that the memory for the samples stays bounded.
"""

# Kernels are typed by their launch, not by annotations, and their tuples grow as they are unrolled.
# mypy: disable-error-code="no-untyped-def, no-untyped-call, untyped-decorator, assignment, misc"

from __future__ import annotations

import triton
import triton.language as tl

from piip_explore.ops.triton_kernels.blocks import shares
from piip_explore.ops.triton_kernels.geometry import SIZES, attention, centres, locate, numbers, places


@triton.jit
def _tile(rows, first_map, HEADS: tl.constexpr, QUERIES: tl.constexpr):
    """Return the number of this program's map in the range, its image and head (64-bit), and the program's rows."""
    tiles = tl.cdiv(rows, QUERIES)
    number = tl.program_id(0) // tiles
    map = first_map.to(tl.int64) + number
    return number.to(tl.int64), map // HEADS, map % HEADS, tl.program_id(0) % tiles * QUERIES + tl.arange(0, QUERIES)


@triton.jit(do_not_specialize=[*SIZES, "first_map", "maps"])
def cell_kernel(
    offsets,
    logits,
    cells,
    samples,
    first_map,
    maps,
    queries,
    key_height,
    key_width,
    query_height,
    query_width,
    HEADS: tl.constexpr,
    POINTS: tl.constexpr,
    GIVEN: tl.constexpr,
    QUERIES: tl.constexpr,
    COMPUTE: tl.constexpr,
):
    """Write every sample's cell, (maps, Q, points), and its attention and fractions, (maps, Q, points, 3).

    A cell lies between four pixels, the outermost ones outside: (H+1) x (W+1) of them per map. Samples outside their
    map get a number beyond the last cell.
    """
    number, image, head, query = _tile(queries, first_map, HEADS, QUERIES)
    there = query < queries
    given = image * queries * (HEADS * POINTS) + (query * HEADS + head) * POINTS
    kept = number * queries * POINTS + query * POINTS
    per_map = (key_height + 1) * (key_width + 1)
    row = query // query_width
    column = query - row * query_width
    middle = centres(row, column, key_height, key_width, query_height, query_width, GIVEN, COMPUTE)
    attentions = attention(numbers(logits + given, there, POINTS, COMPUTE), POINTS, GIVEN)
    for point in tl.static_range(POINTS):
        move = numbers(offsets + 2 * (given + point), there, 2, COMPUTE)
        x, y, share_x, share_y, left, right, upper, lower = locate(move, there, middle, key_height, key_width)
        cell = number.to(tl.int32) * per_map + (y + 1) * (key_width + 1) + x + 1
        inside = (left | right) & (upper | lower)
        sample = kept + point
        tl.store(cells + sample, tl.where(inside, cell, maps * per_map), mask=there)
        tl.store(samples + 3 * sample, attentions[point], mask=there)
        tl.store(samples + 3 * sample + 1, share_x, mask=there)
        tl.store(samples + 3 * sample + 2, share_y, mask=there)


@triton.jit(do_not_specialize=["blocks", "first_map", "queries", "keys", "key_width"])
def gathered_value_gradient_kernel(
    gradient,
    samples,
    order,
    starts,
    sums,
    of_value,
    blocks,
    first_map,
    queries,
    keys,
    key_width,
    HEADS: tl.constexpr,
    POINTS: tl.constexpr,
    WIDTH: tl.constexpr,
    BLOCK: tl.constexpr,
    QUERIES: tl.constexpr,
    LANES: tl.constexpr,
    COMPUTE: tl.constexpr,
):
    """Write the gradient of the value without atomics: each pixel sums the samples of its four cells in their order.

    `order` lists the samples by cell, `starts` says where each cell's list begins, `keys` is the size of a map. A tile
    here is one of pixels. Whole blocks in a list are taken from `sums`: (`blocks`, 4, WIDTH), and after them those of
    `BLOCK` blocks each. So the longest list of n samples takes n / BLOCK^2 turns, and 4 BLOCK more at most.
    """
    CHANNELS: tl.constexpr = HEADS * WIDTH
    number, image, head, pixel = _tile(keys, first_map, HEADS, QUERIES)
    there = pixel < keys
    channel = tl.arange(0, LANES)
    present = channel < WIDTH
    gradient += image * queries * CHANNELS + head * WIDTH
    of_value += image * keys * CHANNELS + head * WIDTH
    cells_wide = key_width + 1
    per_map = (keys // key_width + 1) * cells_wide
    starts += number * per_map
    order_of_map = number * queries * POINTS
    corner_cell = pixel // key_width * cells_wide + pixel % key_width
    total = tl.zeros([QUERIES, LANES], dtype=COMPUTE)
    for corner in tl.static_range(4):
        cell = corner_cell + (corner // 2) * cells_wide + corner % 2
        start = tl.load(starts + cell, mask=there, other=0)
        end = tl.load(starts + cell + 1, mask=there, other=0)
        first = tl.cdiv(start, BLOCK)
        past = tl.maximum(end // BLOCK, first)
        block = first
        while tl.max(past - block, axis=0) > 0:
            known = block < past
            whole = (block % BLOCK == 0) & (past - block >= BLOCK)
            row = tl.where(whole, blocks + block // BLOCK, block).to(tl.int64) * 4 + corner
            here = sums + (row * WIDTH)[:, None] + channel[None, :]
            total += tl.load(here, mask=known[:, None] & present[None, :], other=0.0)
            block += tl.where(whole, BLOCK, 1)
        skipped = (past - first) * BLOCK
        count = end - start - skipped
        longest = tl.max(count, axis=0)
        turn = tl.zeros_like(longest)
        while turn < longest:
            known = turn < count
            place = start + turn
            sample = tl.load(order + tl.where(place < first * BLOCK, place, place + skipped), mask=known, other=0)
            weight = shares(samples, sample, known, corner)
            query = (sample - order_of_map) // POINTS
            upstream = tl.load(
                places(gradient, query, channel, CHANNELS), mask=known[:, None] & present[None, :], other=0.0
            )
            total += weight[:, None] * upstream.to(COMPUTE)
            turn += 1
    tl.store(
        places(of_value, pixel, channel, CHANNELS),
        total.to(of_value.dtype.element_ty),
        mask=there[:, None] & present[None, :],
    )
