"""Deformable attention in Triton: the forward pass and its gradients.

All kernels share one shape: a program computes a tile of `QUERIES` queries of one head of one image, times `LANES`
channels (the next power of two above `WIDTH`, masked). Numbers that belong to a query (locations, weights) are vectors
of [QUERIES], and points are unrolled: a [queries, points] tile would pass through shared memory, with a barrier, at
every use. Everything is computed in `COMPUTE` (float32, or float64 for float64 values), whatever the dtypes in memory.

Offsets to an image are 64-bit, those within one 32-bit. A corner outside the map is masked, never read: the comparisons
are made in floating point before the conversion to an index, so infinities and NaN fail them too.
"""

# Kernels are typed by their launch, not by annotations.
# mypy: disable-error-code="no-untyped-def, no-untyped-call, untyped-decorator"

from __future__ import annotations

import triton
import triton.language as tl

# Sizes of maps change from design to design: specialising on them would compile the kernels anew for each.
_SIZES = ["queries", "key_height", "key_width", "query_height", "query_width"]


@triton.jit
def _tile(queries, HEADS: tl.constexpr, QUERIES: tl.constexpr):
    """Return this program's image (64-bit), head and queries. Heads vary fastest: neighbours share output rows."""
    program = tl.program_id(0)
    head = program % HEADS
    tiles = tl.cdiv(queries, QUERIES)
    tile = program // HEADS % tiles
    image = (program // HEADS // tiles).to(tl.int64)
    return image, head, tile * QUERIES + tl.arange(0, QUERIES)


@triton.jit
def _centre(index, key_size, query_size, COMPUTE: tl.constexpr):
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
def _centres(query, key_height, key_width, query_height, query_width, COMPUTE: tl.constexpr):
    """Return `_centre` along x and along y."""
    row = query // query_width
    pixel_x, fraction_x = _centre(query - row * query_width, key_width, query_width, COMPUTE)
    pixel_y, fraction_y = _centre(row, key_height, query_height, COMPUTE)
    return pixel_x.to(COMPUTE), fraction_x, pixel_y.to(COMPUTE), fraction_y


@triton.jit
def _locate(place, there, centres, key_height, key_width, COMPUTE: tl.constexpr):
    """Find the location whose offset lies at `place`.

    Returns the column and row of its upper left pixel, the fractions beyond that, and whether the left, right, upper
    and lower pixels are in the map: a corner is where both of its two are.
    """
    pixel_x, fraction_x, pixel_y, fraction_y = centres
    moved_x = fraction_x + tl.load(place, mask=there, other=0.0).to(COMPUTE)
    moved_y = fraction_y + tl.load(place + 1, mask=there, other=0.0).to(COMPUTE)
    floor_x = tl.floor(moved_x)
    floor_y = tl.floor(moved_y)
    x = floor_x + pixel_x
    y = floor_y + pixel_y
    last_x = (key_width - 1).to(COMPUTE)
    last_y = (key_height - 1).to(COMPUTE)
    left = there & (x >= 0) & (x <= last_x)
    right = there & (x >= -1) & (x < last_x)
    upper = (y >= 0) & (y <= last_y)
    lower = (y >= -1) & (y < last_y)
    inside = (left | right) & (upper | lower)
    column = tl.where(inside, x, 0.0).to(tl.int32)
    row = tl.where(inside, y, 0.0).to(tl.int32)
    share_x = tl.where(inside, moved_x - floor_x, 0.0)
    share_y = tl.where(inside, moved_y - floor_y, 0.0)
    return column, row, share_x, share_y, left, right, upper, lower


@triton.jit
def _softmax(logits, there, POINTS: tl.constexpr, COMPUTE: tl.constexpr):
    """Return the largest logit at `logits`, and one over the sum of the exponentials below it."""
    largest = tl.load(logits, mask=there, other=0.0).to(COMPUTE)
    for point in tl.static_range(1, POINTS):
        largest = tl.maximum(largest, tl.load(logits + point, mask=there, other=0.0).to(COMPUTE))
    total = tl.zeros_like(largest)
    for point in tl.static_range(POINTS):
        total += tl.exp(tl.load(logits + point, mask=there, other=0.0).to(COMPUTE) - largest)
    return largest, 1 / total


@triton.jit
def _attention(logit, there, softmax, COMPUTE: tl.constexpr):
    """Return the weight of the point whose logit lies at `logit`."""
    largest, scale = softmax
    return tl.exp(tl.load(logit, mask=there, other=0.0).to(COMPUTE) - largest) * scale


@triton.jit
def _places(tensor, row, channel, CHANNELS: tl.constexpr):
    """Point at the channels of one row of `tensor` per query: [QUERIES, LANES]."""
    return tensor + (row * CHANNELS)[:, None] + channel[None, :]


@triton.jit(do_not_specialize=_SIZES)
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
    WIDTH: tl.constexpr,
    QUERIES: tl.constexpr,
    LANES: tl.constexpr,
    COMPUTE: tl.constexpr,
):
    """Write out (B, Q, heads*width)."""
    CHANNELS: tl.constexpr = HEADS * WIDTH
    image, head, query = _tile(queries, HEADS, QUERIES)
    there = query < queries
    channel = tl.arange(0, LANES)
    present = channel < WIDTH
    value += image * key_height * key_width * CHANNELS + head * WIDTH
    logits = logits + image * queries * (HEADS * POINTS) + (query * HEADS + head) * POINTS
    offsets = offsets + image * queries * (HEADS * POINTS * 2) + (query * HEADS + head) * (POINTS * 2)
    out += image * queries * CHANNELS + head * WIDTH

    centres = _centres(query, key_height, key_width, query_height, query_width, COMPUTE)
    softmax = _softmax(logits, there, POINTS, COMPUTE)
    attended = tl.zeros([QUERIES, LANES], dtype=COMPUTE)
    for point in tl.static_range(POINTS):
        attention = _attention(logits + point, there, softmax, COMPUTE)
        x, y, share_x, share_y, left, right, upper, lower = _locate(
            offsets + 2 * point, there, centres, key_height, key_width, COMPUTE
        )
        first_pixel = _places(value, y * key_width + x, channel, CHANNELS)
        for corner in tl.static_range(4):
            places = first_pixel + (corner // 2) * key_width * CHANNELS + (corner % 2) * CHANNELS
            known = (right if corner % 2 else left) & (lower if corner // 2 else upper)
            weight = attention * (share_y if corner // 2 else 1 - share_y) * (share_x if corner % 2 else 1 - share_x)
            here = tl.load(places, mask=known[:, None] & present[None, :], other=0.0).to(COMPUTE)
            attended += weight[:, None] * here
    places = _places(out, query, channel, CHANNELS)
    tl.store(places, attended.to(out.dtype.element_ty), mask=there[:, None] & present[None, :])


@triton.jit(do_not_specialize=_SIZES)
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
    WIDTH: tl.constexpr,
    QUERIES: tl.constexpr,
    LANES: tl.constexpr,
    COMPUTE: tl.constexpr,
    COLUMNS: tl.constexpr,
):
    """Write the gradients of offsets and logits; one dot product per corner yields them all.

    `COLUMNS` is the next power of two above `POINTS`. The rows of a query are assembled in tiles and stored at once.
    """
    CHANNELS: tl.constexpr = HEADS * WIDTH
    image, head, query = _tile(queries, HEADS, QUERIES)
    there = query < queries
    channel = tl.arange(0, LANES)
    present = channel < WIDTH
    value += image * key_height * key_width * CHANNELS + head * WIDTH
    gradient += image * queries * CHANNELS + head * WIDTH
    first = image * queries * (HEADS * POINTS)  # of this image's samples
    to_samples = (query * HEADS + head) * POINTS
    logits = logits + first + to_samples
    offsets = offsets + 2 * first + 2 * to_samples

    upstream = tl.load(
        _places(gradient, query, channel, CHANNELS), mask=there[:, None] & present[None, :], other=0.0
    ).to(COMPUTE)
    centres = _centres(query, key_height, key_width, query_height, query_width, COMPUTE)
    softmax = _softmax(logits, there, POINTS, COMPUTE)
    mean = tl.zeros([QUERIES], dtype=COMPUTE)
    column = tl.arange(0, COLUMNS)[None, :]
    pair = tl.arange(0, 2 * COLUMNS)[None, :]
    attentions = tl.zeros([QUERIES, COLUMNS], dtype=COMPUTE)
    products = tl.zeros([QUERIES, COLUMNS], dtype=COMPUTE)
    moves = tl.zeros([QUERIES, 2 * COLUMNS], dtype=COMPUTE)
    for point in tl.static_range(POINTS):
        attention = _attention(logits + point, there, softmax, COMPUTE)
        x, y, share_x, share_y, left, right, upper, lower = _locate(
            offsets + 2 * point, there, centres, key_height, key_width, COMPUTE
        )
        along_x = tl.zeros([QUERIES], dtype=COMPUTE)
        along_y = tl.zeros([QUERIES], dtype=COMPUTE)
        product = tl.zeros([QUERIES], dtype=COMPUTE)
        first_pixel = _places(value, y * key_width + x, channel, CHANNELS)
        for corner in tl.static_range(4):
            places = first_pixel + (corner // 2) * key_width * CHANNELS + (corner % 2) * CHANNELS
            known = (right if corner % 2 else left) & (lower if corner // 2 else upper)
            here = tl.load(places, mask=known[:, None] & present[None, :], other=0.0).to(COMPUTE)
            dot = tl.sum(here * upstream, axis=1)
            weight_x = share_x if corner % 2 else 1 - share_x
            weight_y = share_y if corner // 2 else 1 - share_y
            along_x += dot * (weight_y if corner % 2 else -weight_y)
            along_y += dot * (weight_x if corner // 2 else -weight_x)
            product += dot * weight_x * weight_y
        mean += attention * product
        attentions = tl.where(column == point, attention[:, None], attentions)
        products = tl.where(column == point, product[:, None], products)
        moves = tl.where(pair == 2 * point, (attention * along_x)[:, None], moves)
        moves = tl.where(pair == 2 * point + 1, (attention * along_y)[:, None], moves)
    slopes = attentions * (products - mean[:, None])
    tl.store(
        of_logits + first + to_samples[:, None] + column,
        slopes.to(of_logits.dtype.element_ty),
        mask=there[:, None] & (column < POINTS),
    )
    tl.store(
        of_offsets + 2 * first + 2 * to_samples[:, None] + pair,
        moves.to(of_offsets.dtype.element_ty),
        mask=there[:, None] & (pair < 2 * POINTS),
    )


@triton.jit(do_not_specialize=_SIZES)
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
    WIDTH: tl.constexpr,
    QUERIES: tl.constexpr,
    LANES: tl.constexpr,
    COMPUTE: tl.constexpr,
):
    """Add the gradient of the value into `of_value`, zero-filled and of dtype `COMPUTE`.

    The additions are relaxed: Triton's default, acquire and release, would put a memory barrier after each of them.
    """
    CHANNELS: tl.constexpr = HEADS * WIDTH
    image, head, query = _tile(queries, HEADS, QUERIES)
    there = query < queries
    channel = tl.arange(0, LANES)
    present = channel < WIDTH
    gradient += image * queries * CHANNELS + head * WIDTH
    of_value += image * key_height * key_width * CHANNELS + head * WIDTH
    logits = logits + image * queries * (HEADS * POINTS) + (query * HEADS + head) * POINTS
    offsets = offsets + image * queries * (HEADS * POINTS * 2) + (query * HEADS + head) * (POINTS * 2)

    upstream = tl.load(
        _places(gradient, query, channel, CHANNELS), mask=there[:, None] & present[None, :], other=0.0
    ).to(COMPUTE)
    centres = _centres(query, key_height, key_width, query_height, query_width, COMPUTE)
    softmax = _softmax(logits, there, POINTS, COMPUTE)
    for point in tl.static_range(POINTS):
        attention = _attention(logits + point, there, softmax, COMPUTE)
        x, y, share_x, share_y, left, right, upper, lower = _locate(
            offsets + 2 * point, there, centres, key_height, key_width, COMPUTE
        )
        first_pixel = _places(of_value, y * key_width + x, channel, CHANNELS)
        for corner in tl.static_range(4):
            places = first_pixel + (corner // 2) * key_width * CHANNELS + (corner % 2) * CHANNELS
            known = (right if corner % 2 else left) & (lower if corner // 2 else upper)
            weight = attention * (share_y if corner // 2 else 1 - share_y) * (share_x if corner % 2 else 1 - share_x)
            tl.atomic_add(places, weight[:, None] * upstream, mask=known[:, None] & present[None, :], sem="relaxed")


@triton.jit(do_not_specialize=_SIZES)
def cell_kernel(
    offsets,
    logits,
    cells,
    samples,
    queries,
    key_height,
    key_width,
    query_height,
    query_width,
    HEADS: tl.constexpr,
    POINTS: tl.constexpr,
    QUERIES: tl.constexpr,
    COMPUTE: tl.constexpr,
):
    """Write every sample's cell of the map, int64, and its attention and fractions, (B, Q, heads, points, 3).

    A cell lies between four pixels, the outermost ones outside: (H+1) x (W+1) of them per image and head. Samples
    outside the map get a number beyond the last cell.
    """
    image, head, query = _tile(queries, HEADS, QUERIES)
    there = query < queries
    first = image * queries * (HEADS * POINTS) + (query * HEADS + head) * POINTS
    images = tl.num_programs(0) // HEADS // tl.cdiv(queries, QUERIES)
    per_map = (key_height + 1) * (key_width + 1)
    nowhere = images.to(tl.int64) * HEADS * per_map
    centres = _centres(query, key_height, key_width, query_height, query_width, COMPUTE)
    softmax = _softmax(logits + first, there, POINTS, COMPUTE)
    for point in tl.static_range(POINTS):
        sample = first + point
        attention = _attention(logits + sample, there, softmax, COMPUTE)
        x, y, share_x, share_y, left, right, upper, lower = _locate(
            offsets + 2 * sample, there, centres, key_height, key_width, COMPUTE
        )
        cell = (image * HEADS + head) * per_map + (y + 1) * (key_width + 1) + x + 1
        inside = (left | right) & (upper | lower)
        tl.store(cells + sample, tl.where(inside, cell, nowhere), mask=there)
        tl.store(samples + 3 * sample, attention, mask=there)
        tl.store(samples + 3 * sample + 1, share_x, mask=there)
        tl.store(samples + 3 * sample + 2, share_y, mask=there)


@triton.jit(do_not_specialize=["keys", "key_width"])
def ordered_value_gradient_kernel(
    gradient,
    samples,
    order,
    starts,
    of_value,
    keys,
    key_width,
    HEADS: tl.constexpr,
    POINTS: tl.constexpr,
    WIDTH: tl.constexpr,
    QUERIES: tl.constexpr,
    LANES: tl.constexpr,
    COMPUTE: tl.constexpr,
):
    """Write the gradient of the value without atomics: each pixel sums the samples of its four cells in their order.

    `order` lists the samples by cell, `starts` says where each cell's list begins, `keys` is the size of the map. A
    tile here is one of pixels.
    """
    CHANNELS: tl.constexpr = HEADS * WIDTH
    image, head, pixel = _tile(keys, HEADS, QUERIES)
    there = pixel < keys
    channel = tl.arange(0, LANES)
    present = channel < WIDTH
    cells_wide = key_width + 1
    per_map = (keys // key_width + 1) * cells_wide
    corner_cell = (image * HEADS + head) * per_map + pixel // key_width * cells_wide + pixel % key_width
    total = tl.zeros([QUERIES, LANES], dtype=COMPUTE)
    for corner in tl.static_range(4):
        cell = corner_cell + (corner // 2) * cells_wide + corner % 2
        start = tl.load(starts + cell, mask=there, other=0)
        count = tl.load(starts + cell + 1, mask=there, other=0) - start
        longest = tl.max(count, axis=0)
        number = tl.zeros_like(longest)
        while number < longest:
            known = there & (number < count)
            sample = tl.load(order + start + number, mask=known, other=0)
            weight = tl.load(samples + sample * 3, mask=known, other=0.0)
            share_x = tl.load(samples + sample * 3 + 1, mask=known, other=0.0)
            share_y = tl.load(samples + sample * 3 + 2, mask=known, other=0.0)
            # The pixel is its upper left cell's lower right corner, and so on.
            weight = weight * (1 - share_y if corner // 2 else share_y) * (1 - share_x if corner % 2 else share_x)
            query = sample // (HEADS * POINTS)
            places = _places(gradient + head * WIDTH, query, channel, CHANNELS)
            upstream = tl.load(places, mask=known[:, None] & present[None, :], other=0.0).to(COMPUTE)
            total += weight[:, None] * upstream
            number += 1
    places = _places(of_value + image * keys * CHANNELS + head * WIDTH, pixel, channel, CHANNELS)
    tl.store(places, total.to(of_value.dtype.element_ty), mask=there[:, None] & present[None, :])
