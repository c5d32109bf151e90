"""Launch parameters of the Triton kernels: a small table, so that one call compiles nothing it does not run."""

from __future__ import annotations

from dataclasses import dataclass

VECTOR_BYTES = 16
"""The widest load of a thread."""

PIECES = 8
"""The most pieces of a row: each is a tile of registers, and the loop over them is unrolled."""


@dataclass(frozen=True)
class Program:
    """What a kernel's programs look like: threads that share a row, each with one vector of it, and warps."""

    threads_per_row: int
    warps: int


@dataclass(frozen=True)
class Launch:
    """A tile is `queries` x `lanes`: queries of one head, and a piece of its channels, a power of two."""

    queries: int
    lanes: int
    warps: int


FORWARD = Program(threads_per_row=2, warps=4)
"""All threads of a row compute its locations, so few share one: two take half the instructions of four. One alone takes
fewer still, but its loads touch 32 rows at once, and the level-1 cache looks up four lines per cycle."""

SAMPLING_GRADIENT = Program(threads_per_row=2, warps=1)
"""As above; one warp, because the rows change layout before they are stored, with a barrier where warps exchange."""

VALUE_GRADIENT = Program(threads_per_row=4, warps=1)
"""Four vectors are two whole sectors of the level-2 cache, which does the additions and bounds the kernel."""


def launch(program: Program, width: int, bytes_per_element: int) -> Launch:
    """Return the launch parameters for heads of `width` channels, `bytes_per_element` bytes each in memory.

    Each thread has one row: only such a vector of queries does the compiler recompute in the layout of the tile, where
    a longer one would pass through shared memory.
    """
    row = width * bytes_per_element
    vector = max(min(row & -row, VECTOR_BYTES) // bytes_per_element, 1)
    lanes = vector * program.threads_per_row
    while lanes * PIECES < width:
        lanes *= 2
    lanes = min(lanes, power_of_two(width))
    # Four-byte rows that 16 bytes do not divide: the compiler lays the tile out in vectors of 16 bytes all the same,
    # and between several warps the locations would then pass through shared memory.
    warps = 1 if bytes_per_element == 4 and vector < 4 else program.warps
    return Launch(max(32 * vector // lanes, 1) * warps, lanes, warps)


def launch_whole_rows(width: int, bytes_per_element: int) -> Launch:
    """Return the launch parameters of one warp whose tile holds the head's channels at once.

    A thread has 32 bytes of the tile, `bytes_per_element` of them for each number in it.
    """
    lanes = power_of_two(width)
    return Launch(min(max(1024 // bytes_per_element // lanes, 1), 32), lanes, 1)


def power_of_two(least: int) -> int:
    """Return the smallest power of two that is not below `least`."""
    return 1 << (least - 1).bit_length()
