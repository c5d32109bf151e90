"""The launch table, by hand for the widths of published models and within bounds for all others."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from piip_explore.ops.launch import (
    FORWARD,
    FORWARD_OF_SHORT_ROWS,
    PIECES,
    VALUE_GRADIENT,
    Program,
    Tile,
    forward_program,
    launch,
    launch_whole_rows,
)


@pytest.mark.parametrize(
    ("width", "bytes_per_element", "tile"),
    [
        (6, 2, Tile(64, 4, 4)),  # a vector of 4 bytes: 2 threads x 2 channels, 16 rows per warp
        (12, 2, Tile(64, 8, 4)),
        (24, 2, Tile(64, 16, 4)),
        (48, 4, Tile(64, 8, 4)),
        (100, 2, Tile(32, 16, 4)),  # 8 channels would make 13 pieces
        (1, 2, Tile(128, 1, 4)),
    ],
)
def test_forward_by_hand(width, bytes_per_element, tile):
    assert launch(FORWARD, width, bytes_per_element) == tile


@pytest.mark.parametrize(
    ("width", "bytes_per_element", "points", "alone"),
    [
        (6, 2, 4, True),  # 12 bytes: three vectors of four
        (12, 2, 1, True),
        (24, 2, 4, True),  # 48 bytes: three of sixteen
        (24, 2, 8, False),
        (32, 2, 4, False),
        (100, 2, 4, False),
        (24, 4, 4, False),
        (12, 4, 4, True),
    ],
)
def test_short_rows_have_a_thread_of_their_own(width, bytes_per_element, points, alone):
    program = forward_program(width, bytes_per_element, points)
    assert program == (FORWARD_OF_SHORT_ROWS if alone else FORWARD)


def test_square_tiles():
    assert launch(Program(2, 4, square=True), 24, 2) == Tile(64, 16, 4, high=8)
    assert launch(Program(1, 4, square=True, ahead=True), 24, 2) == Tile(128, 8, 4, high=8, ahead=True)


def test_additions_take_whole_sectors():
    assert launch(VALUE_GRADIENT, 24, 4) == Tile(64, 8, 4)
    assert launch(VALUE_GRADIENT, 12, 4) == Tile(64, 8, 4)


@given(
    program=st.builds(Program, st.sampled_from([1, 2, 4, 8]), st.sampled_from([1, 2, 4, 8]), st.booleans()),
    width=st.integers(1, 1024),
    bytes_per_element=st.sampled_from([2, 4, 8]),
)
def test_any_width(program, width, bytes_per_element):
    """Powers of two; no more pieces than the loop unrolls, nor rows than threads."""
    tile = launch(program, width, bytes_per_element)
    assert tile.queries & (tile.queries - 1) == tile.lanes & (tile.lanes - 1) == 0
    assert -(-width // tile.lanes) <= PIECES
    assert 1 <= tile.queries <= 32 * program.warps
    assert tile.lanes < 2 * width
    assert tile.queries % tile.high == 0
    assert tile.high**2 <= tile.queries


@given(width=st.integers(1, 4096), bytes_per_element=st.sampled_from([4, 8]))
def test_whole_rows(width, bytes_per_element):
    tile = launch_whole_rows(width, bytes_per_element)
    assert width <= tile.lanes < 2 * width
    assert 1 <= tile.queries <= 32
