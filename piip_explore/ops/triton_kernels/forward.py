"""The forward pass."""

# Kernels are typed by their launch, not by annotations, and their tuples grow as they are unrolled.
# mypy: disable-error-code="no-untyped-def, no-untyped-call, untyped-decorator, assignment, misc"

from __future__ import annotations

import triton
import triton.language as tl

from piip_explore.ops.triton_kernels.geometry import SIZES, attention, centres, locate, numbers, places, tile


@triton.jit(do_not_specialize=SIZES)
def forward_kernel(
    value,
    offsets,
    logits,
    out,
    queries,
    key_height,
    key_width,
    query_height,
    query_width,
    HEADS: tl.constexpr,
    POINTS: tl.constexpr,
    GIVEN: tl.constexpr,
    WIDTH: tl.constexpr,
    QUERIES: tl.constexpr,
    HIGH: tl.constexpr,
    LANES: tl.constexpr,
    COMPUTE: tl.constexpr,
    AHEAD: tl.constexpr,
):
    """Write out (B, Q, heads*width).

    With `AHEAD` offsets and logits are loaded before the queries' centres are computed: that hides the wait for them
    and takes more registers.
    """
    CHANNELS: tl.constexpr = HEADS * WIDTH
    PIECES: tl.constexpr = (WIDTH + LANES - 1) // LANES
    image, head, query, row, column, there = tile(queries, query_height, query_width, HEADS, QUERIES, HIGH)
    channel = tl.arange(0, LANES)
    value += image * key_height * key_width * CHANNELS + head * WIDTH
    logits = logits + image * queries * (HEADS * POINTS) + (query * HEADS + head) * POINTS
    offsets = offsets + image * queries * (HEADS * POINTS * 2) + (query * HEADS + head) * (POINTS * 2)
    out += image * queries * CHANNELS + head * WIDTH

    if AHEAD:
        moves = numbers(offsets, there, 2 * POINTS, COMPUTE)
        raw = numbers(logits, there, POINTS, COMPUTE)
    middle = centres(row, column, key_height, key_width, query_height, query_width, GIVEN, COMPUTE)
    if not AHEAD:
        raw = numbers(logits, there, POINTS, COMPUTE)
    attentions = attention(raw, POINTS, GIVEN)
    attended = ()
    for _ in tl.static_range(PIECES):
        attended += (tl.zeros([QUERIES, LANES], dtype=COMPUTE),)
    for point in tl.static_range(POINTS):
        mine = offsets + 2 * point
        move = (moves[2 * point], moves[2 * point + 1]) if AHEAD else numbers(mine, there, 2, COMPUTE)
        x, y, share_x, share_y, left, right, upper, lower = locate(move, there, middle, key_height, key_width)
        first_pixel = places(value, y * key_width + x, channel, CHANNELS)
        for corner in tl.static_range(4):
            pixel = first_pixel + (corner // 2) * key_width * CHANNELS + (corner % 2) * CHANNELS
            known = (right if corner % 2 else left) & (lower if corner // 2 else upper)
            weight = (share_y if corner // 2 else 1 - share_y) * (share_x if corner % 2 else 1 - share_x)
            weight *= attentions[point]
            sums = ()
            for piece in tl.static_range(PIECES):
                present = channel < WIDTH - piece * LANES
                here = tl.load(pixel + piece * LANES, mask=known[:, None] & present[None, :], other=0.0).to(COMPUTE)
                sums += (attended[piece] + weight[:, None] * here,)
            attended = sums
    to = places(out, query, channel, CHANNELS)
    for piece in tl.static_range(PIECES):
        present = channel < WIDTH - piece * LANES
        tl.store(to + piece * LANES, attended[piece].to(out.dtype.element_ty), mask=there[:, None] & present[None, :])
