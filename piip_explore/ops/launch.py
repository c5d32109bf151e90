"""Launch parameters of the Triton kernels: a small table, so a call compiles only what it runs."""

from __future__ import annotations

from dataclasses import dataclass

VECTOR_BYTES = 16
"""The widest load of a thread."""

PIECES = 8
"""The most pieces of a row: each is a tile of registers, and the loop over them is unrolled."""


@dataclass(frozen=True)
class Program:
    """What a kernel's programs look like: threads that share a row, each with one vector of it, and warps.

    `square` tiles hold queries that are neighbours along both axes: they share more of the key map, but leave threads
    idle if the map of queries does not divide into them. With `ahead` (the forward pass only) offsets are loaded before
    anything else. Neither is used so far: docs/kernel.md says why, and `benchmarks.kernel_launch` times both.
    """

    threads_per_row: int
    warps: int
    square: bool = False
    ahead: bool = False


@dataclass(frozen=True)
class Tile:
    """A tile is `queries` x `lanes`: queries of one head, and a piece of its channels, a power of two.

    The queries are consecutive where `high` is 1, else of a rectangle so many rows high.
    """

    queries: int
    lanes: int
    warps: int
    high: int = 1
    ahead: bool = False


FORWARD = Program(threads_per_row=2, warps=4)
"""All threads of a row compute its locations, so few share one: two take half the instructions of four."""

FORWARD_OF_SHORT_ROWS = Program(threads_per_row=1, warps=4)
"""One thread alone takes three fifths of that. Its loads touch 32 rows at once, and the level-1 cache looks up four per
cycle: 12 cycles for the 16 corners of a row of three vectors, where the instructions take 9 to 13."""

SHORT_ROW = 3
"""Vectors; more of them, or more than four points, take more than 128 registers per thread, or spill."""

SAMPLING_GRADIENT = Program(threads_per_row=2, warps=1)
"""As above; one warp, because the rows change layout before they are stored, with a barrier where warps exchange."""

VALUE_GRADIENT = Program(threads_per_row=2, warps=4)
"""Two vectors are a whole sector of the level-2 cache, which does the additions and bounds the kernel, and divide 24
channels without a masked piece: 60 warp instructions per row where four threads take 106."""


def forward_program(width: int, bytes_per_element: int, points: int) -> Program:
    """Return the program of a forward pass for heads of `width` channels."""
    short = width <= SHORT_ROW * vector_of(width, bytes_per_element) and points <= 4
    return FORWARD_OF_SHORT_ROWS if short else FORWARD


def launch(program: Program, width: int, bytes_per_element: int) -> Tile:
    """Return the launch parameters for heads of `width` channels, `bytes_per_element` bytes each in memory.

    Each thread has one row: the compiler recomputes only such a vector of queries in the layout of the tile; a longer
    one would pass through shared memory.
    """
    vector = vector_of(width, bytes_per_element)
    lanes = vector * program.threads_per_row
    while lanes * PIECES < width:
        lanes *= 2
    lanes = min(lanes, power_of_two(width))
    # Four-byte rows that 16 bytes do not divide: the compiler lays the tile out in vectors of 16 bytes all the same,
    # and between several warps the locations would then pass through shared memory.
    warps = 1 if bytes_per_element == 4 and vector < 4 else program.warps
    queries = max(32 * vector // lanes, 1) * warps
    high = 1 << (queries.bit_length() - 1) // 2 if program.square else 1
    return Tile(queries, lanes, warps, high, program.ahead)


def vector_of(width: int, bytes_per_element: int) -> int:
    """Return the channels of the widest vectors that a row divides into."""
    row = width * bytes_per_element
    return max(min(row & -row, VECTOR_BYTES) // bytes_per_element, 1)


def launch_whole_rows(width: int, bytes_per_element: int) -> Tile:
    """Return the launch parameters of one warp whose tile holds the head's channels at once.

    A thread has 32 bytes of the tile, `bytes_per_element` of them for each number in it.
    """
    lanes = power_of_two(width)
    return Tile(min(max(1024 // bytes_per_element // lanes, 1), 32), lanes, 1)


def launch_blocks(rows: int, width: int) -> Tile:
    """Return the launch parameters of programs that each sum `rows` whole rows: 32 numbers of the tile per thread."""
    lanes = power_of_two(width)
    return Tile(rows, lanes, min(max(rows * lanes // 1024, 1), 8))


def power_of_two(least: int) -> int:
    """Return the smallest power of two that is not below `least`."""
    return 1 << (least - 1).bit_length()
