"""Times, and texts of others, as a terminal shows them."""

import pytest

from piip_explore.terminal import aligned, duration, printable


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(5.9, "5 s"), (60, "1 min 00 s"), (200, "3 min 20 s"), (3599, "59 min 59 s"), (7500, "2 h 05 min")],
)
def test_a_time_reads_as_one_says_it(seconds, text):
    assert duration(seconds) == text


def test_cells_line_up_in_columns():
    rows = [["a", "bb", ""], ["ccc", "d", "e"]]
    assert aligned(rows) == ["  a  bb", "ccc   d  e"]
    assert aligned(rows, left=2) == ["  a  bb", "ccc  d   e"]


def test_control_characters_are_shown_and_not_obeyed():
    assert printable("a\x1b[2Jb\tc\nd\u202e") == "a\\x1b[2Jb\\tc\nd\\u202e"
