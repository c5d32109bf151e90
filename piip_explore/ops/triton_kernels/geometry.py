"""Where a program's samples lie, and what they weigh: the parts that all kernels share."""

# Kernels are typed by their launch, not by annotations, and their tuples grow as they are unrolled.
# mypy: disable-error-code="no-untyped-def, no-untyped-call, untyped-decorator, assignment, misc"

from __future__ import annotations

import triton
import triton.language as tl

SIZES = ["queries", "key_height", "key_width", "query_height", "query_width"]
"""Sizes of maps change from design to design: specialising on them would compile the kernels anew for each."""

FAR = tl.constexpr(2.0**30)
"""Pixels: more than any map is wide, and still an exact float32 and a 32-bit integer."""


@triton.jit
def tile(queries, query_height, query_width, HEADS: tl.constexpr, QUERIES: tl.constexpr, HIGH: tl.constexpr):
    """Return this program's image (64-bit) and head, and of its queries number, row, column, and whether they exist.

    They are consecutive where `HIGH` is 1, else a rectangle so many rows high. Heads vary fastest: neighbours share
    output rows.
    """
    program = tl.program_id(0)
    head = program % HEADS
    place = tl.arange(0, QUERIES)
    if HIGH == 1:
        tiles = tl.cdiv(queries, QUERIES)
        number = program // HEADS % tiles
        query = number * QUERIES + place
        row = query // query_width
        column = query - row * query_width
        there = query < queries
    else:
        WIDE: tl.constexpr = QUERIES // HIGH
        tiles_wide = tl.cdiv(query_width, WIDE)
        tiles = tiles_wide * tl.cdiv(query_height, HIGH)
        number = program // HEADS % tiles
        row = number // tiles_wide * HIGH + place // WIDE
        column = number % tiles_wide * WIDE + place % WIDE
        query = row * query_width + column
        there = (row < query_height) & (column < query_width)
    return (program // HEADS // tiles).to(tl.int64), head, query, row, column, there


@triton.jit
def centre(index, key_size, query_size, COMPUTE: tl.constexpr):
    """Return a query centre's pixel of the key map along one axis, and its fraction beyond, split in integers."""
    period = 2 * query_size
    numerator = (2 * index + 1) * key_size + query_size  # one period more than asked, hence positive
    pixel = numerator // period
    rest = (numerator - pixel * period).to(COMPUTE)
    if COMPUTE is tl.float64:
        return pixel - 1, rest / period.to(COMPUTE)
    else:  # where the plain division is approximate
        return pixel - 1, tl.div_rn(rest, period.to(COMPUTE))


@triton.jit
def centres(row, column, key_height, key_width, query_height, query_width, GIVEN: tl.constexpr, COMPUTE: tl.constexpr):
    """Return `centre` along x and along y; the first pixel's where locations are given."""
    if GIVEN:
        nothing = tl.zeros_like(row)
        return nothing, nothing.to(COMPUTE), nothing, nothing.to(COMPUTE)
    else:
        pixel_x, fraction_x = centre(column, key_width, query_width, COMPUTE)
        pixel_y, fraction_y = centre(row, key_height, query_height, COMPUTE)
        return pixel_x, fraction_x, pixel_y, fraction_y


@triton.jit
def numbers(tensor, there, COUNT: tl.constexpr, COMPUTE: tl.constexpr):
    """Load the `COUNT` numbers of each query from `tensor` on: vectors of [QUERIES]."""
    found = ()
    for place in tl.static_range(COUNT):
        found += (tl.load(tensor + place, mask=there, other=0.0).to(COMPUTE),)
    return found


@triton.jit
def along_axis(offset, there, pixel, fraction, size):
    """Find the locations of offsets along one axis, from their queries' centres.

    Returns the pixel before each, the fraction beyond that, and whether that pixel and the next are in the map. An
    offset that is not a number, infinite or huge becomes a finite one far outside first, so all that follows is finite;
    the index of a pixel outside the map is of no use, but nothing is read there.
    """
    moved = fraction + offset
    moved = tl.where(tl.abs(moved) < FAR, moved, FAR)
    floor = tl.floor(moved)
    pixel += floor.to(tl.int32)
    sizes = size.to(tl.uint32)  # compared as unsigned, pixels before the map are beyond it
    return pixel, moved - floor, there & (pixel.to(tl.uint32) < sizes), there & ((pixel + 1).to(tl.uint32) < sizes)


@triton.jit
def locate(offset, there, middle, key_height, key_width):
    """Find the location of an offset, (x, y), from the query's `middle`, the `centres`.

    Returns the column and row of its upper left pixel, the fractions beyond that, and whether the left, right, upper
    and lower pixels are in the map: a corner is where both of its two are.
    """
    pixel_x, fraction_x, pixel_y, fraction_y = middle
    column, share_x, left, right = along_axis(offset[0], there, pixel_x, fraction_x, key_width)
    row, share_y, upper, lower = along_axis(offset[1], there, pixel_y, fraction_y, key_height)
    return column, row, share_x, share_y, left, right, upper, lower


@triton.jit
def softmax(logits, POINTS: tl.constexpr):
    """Return the softmax of `POINTS` vectors of [QUERIES] over the points."""
    largest = logits[0]
    for point in tl.static_range(1, POINTS):
        largest = tl.maximum(largest, logits[point])
    powers = ()
    for point in tl.static_range(POINTS):
        powers += (tl.exp(logits[point] - largest),)
    total = powers[0]
    for point in tl.static_range(1, POINTS):
        total += powers[point]
    scale = 1 / total
    attentions = ()
    for point in tl.static_range(POINTS):
        attentions += (powers[point] * scale,)
    return attentions


@triton.jit
def attention(logits, POINTS: tl.constexpr, GIVEN: tl.constexpr):
    """Return the attention of each point: the softmax of the logits, or what is given in their place."""
    if GIVEN:
        return logits
    else:
        return softmax(logits, POINTS)


@triton.jit
def places(tensor, row, channel, CHANNELS: tl.constexpr):
    """Point at the channels of one row of `tensor` per query: [QUERIES, LANES]."""
    return tensor + (row * CHANNELS)[:, None] + channel[None, :]
