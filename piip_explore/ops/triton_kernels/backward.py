"""The gradients: of offsets and logits by gathering, of the value by atomic additions."""

# Kernels are typed by their launch, not by annotations, and their tuples grow as they are unrolled.
# mypy: disable-error-code="no-untyped-def, no-untyped-call, untyped-decorator, assignment, misc"

from __future__ import annotations

import triton
import triton.language as tl

from piip_explore.ops.triton_kernels.geometry import SIZES, attention, centres, locate, numbers, places, tile


@triton.jit
def _pieces(tensor, query, there, channel, CHANNELS: tl.constexpr, WIDTH: tl.constexpr, COMPUTE: tl.constexpr):
    """Load one head's channels of the queries: a [QUERIES, LANES] tile per piece."""
    LANES: tl.constexpr = channel.shape[0]
    first = places(tensor, query, channel, CHANNELS)
    pieces = ()
    for piece in tl.static_range((WIDTH + LANES - 1) // LANES):
        present = channel < WIDTH - piece * LANES
        here = tl.load(first + piece * LANES, mask=there[:, None] & present[None, :], other=0.0)
        pieces += (here.to(COMPUTE),)
    return pieces


@triton.jit
def _rows(columns, COLUMNS: tl.constexpr):
    """Put vectors of [QUERIES], a power of two of them, side by side in registers: [QUERIES, COLUMNS]."""
    joined = columns
    for level in tl.static_range(COLUMNS.bit_length() - 1):
        fewer = ()
        for column in tl.static_range(COLUMNS >> (level + 1)):
            fewer += (tl.join(joined[column], joined[column + (COLUMNS >> (level + 1))]),)
        joined = fewer
    return joined[0].reshape(columns[0].shape[0], COLUMNS)


@triton.jit(do_not_specialize=SIZES)
def sampling_gradient_kernel(
    gradient,
    value,
    offsets,
    logits,
    of_offsets,
    of_logits,
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
    COLUMNS: tl.constexpr,
):
    """Write the gradients of offsets and logits; one dot product per corner yields them all.

    `COLUMNS` is the smallest power of two not below `POINTS`. A query's gradients are assembled in registers and stored
    at once.
    """
    CHANNELS: tl.constexpr = HEADS * WIDTH
    PIECES: tl.constexpr = (WIDTH + LANES - 1) // LANES
    image, head, query, row, column, there = tile(queries, query_height, query_width, HEADS, QUERIES, HIGH)
    channel = tl.arange(0, LANES)
    value += image * key_height * key_width * CHANNELS + head * WIDTH
    gradient += image * queries * CHANNELS + head * WIDTH
    first = image * queries * (HEADS * POINTS)  # of this image's samples
    to_samples = (query * HEADS + head) * POINTS
    offsets = offsets + 2 * first + 2 * to_samples

    upstream = _pieces(gradient, query, there, channel, CHANNELS, WIDTH, COMPUTE)
    middle = centres(row, column, key_height, key_width, query_height, query_width, GIVEN, COMPUTE)
    attentions = attention(numbers(logits + first + to_samples, there, POINTS, COMPUTE), POINTS, GIVEN)
    mean = tl.zeros([QUERIES], dtype=COMPUTE)
    nothing = tl.zeros([QUERIES], dtype=COMPUTE)
    products = ()
    moves = ()
    for point in tl.static_range(POINTS):
        move = numbers(offsets + 2 * point, there, 2, COMPUTE)
        x, y, share_x, share_y, left, right, upper, lower = locate(move, there, middle, key_height, key_width)
        along_x = nothing
        along_y = nothing
        product = nothing
        first_pixel = places(value, y * key_width + x, channel, CHANNELS)
        for corner in tl.static_range(4):
            pixel = first_pixel + (corner // 2) * key_width * CHANNELS + (corner % 2) * CHANNELS
            known = (right if corner % 2 else left) & (lower if corner // 2 else upper)
            dots = tl.zeros([QUERIES, LANES], dtype=COMPUTE)
            for piece in tl.static_range(PIECES):
                present = channel < WIDTH - piece * LANES
                here = tl.load(pixel + piece * LANES, mask=known[:, None] & present[None, :], other=0.0)
                dots += here.to(COMPUTE) * upstream[piece]
            dot = tl.sum(dots, axis=1)
            weight_x = share_x if corner % 2 else 1 - share_x
            weight_y = share_y if corner // 2 else 1 - share_y
            along_x += dot * (weight_y if corner % 2 else -weight_y)
            along_y += dot * (weight_x if corner // 2 else -weight_x)
            product += dot * weight_x * weight_y
        mean += attentions[point] * product
        products += (product,)
        moves += (attentions[point] * along_x, attentions[point] * along_y)
    slopes = ()
    for point in tl.static_range(POINTS):
        slopes += (products[point] if GIVEN else attentions[point] * (products[point] - mean),)
    for _ in tl.static_range(COLUMNS - POINTS):
        slopes += (nothing,)
        moves += (nothing, nothing)
    column = tl.arange(0, COLUMNS)[None, :]
    pair = tl.arange(0, 2 * COLUMNS)[None, :]
    tl.store(
        of_logits + first + to_samples[:, None] + column,
        _rows(slopes, COLUMNS).to(of_logits.dtype.element_ty),
        mask=there[:, None] & (column < POINTS),
    )
    tl.store(
        of_offsets + 2 * first + 2 * to_samples[:, None] + pair,
        _rows(moves, 2 * COLUMNS).to(of_offsets.dtype.element_ty),
        mask=there[:, None] & (pair < 2 * POINTS),
    )


@triton.jit(do_not_specialize=SIZES)
def value_gradient_kernel(
    gradient,
    offsets,
    logits,
    of_value,
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
):
    """Add the gradient of the value into `of_value`, zero-filled and of dtype `COMPUTE`.

    The additions are relaxed: Triton's default, acquire and release, would put a memory barrier after each of them.
    """
    CHANNELS: tl.constexpr = HEADS * WIDTH
    PIECES: tl.constexpr = (WIDTH + LANES - 1) // LANES
    image, head, query, row, column, there = tile(queries, query_height, query_width, HEADS, QUERIES, HIGH)
    channel = tl.arange(0, LANES)
    gradient += image * queries * CHANNELS + head * WIDTH
    of_value += image * key_height * key_width * CHANNELS + head * WIDTH
    logits = logits + image * queries * (HEADS * POINTS) + (query * HEADS + head) * POINTS
    offsets = offsets + image * queries * (HEADS * POINTS * 2) + (query * HEADS + head) * (POINTS * 2)

    upstream = _pieces(gradient, query, there, channel, CHANNELS, WIDTH, COMPUTE)
    middle = centres(row, column, key_height, key_width, query_height, query_width, GIVEN, COMPUTE)
    attentions = attention(numbers(logits, there, POINTS, COMPUTE), POINTS, GIVEN)
    for point in tl.static_range(POINTS):
        move = numbers(offsets + 2 * point, there, 2, COMPUTE)
        x, y, share_x, share_y, left, right, upper, lower = locate(move, there, middle, key_height, key_width)
        first_pixel = places(of_value, y * key_width + x, channel, CHANNELS)
        for corner in tl.static_range(4):
            pixel = first_pixel + (corner // 2) * key_width * CHANNELS + (corner % 2) * CHANNELS
            known = (right if corner % 2 else left) & (lower if corner // 2 else upper)
            weight = (share_y if corner // 2 else 1 - share_y) * (share_x if corner % 2 else 1 - share_x)
            weight *= attentions[point]
            for piece in tl.static_range(PIECES):
                present = channel < WIDTH - piece * LANES
                mask = known[:, None] & present[None, :]
                tl.atomic_add(pixel + piece * LANES, weight[:, None] * upstream[piece], mask=mask, sem="relaxed")
