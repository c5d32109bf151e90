"""What the proxy cannot rank on a front, and the line that says so."""

import pytest

from piip_explore import Design
from piip_explore.search import unranked

SMALL, LARGE = "vit_tiny@672 vit_base@224", "vit_tiny@896 vit_base@448"


@pytest.mark.parametrize(
    ("first", "second", "asked"),
    [
        (f"{SMALL}; interactions=3", f"{SMALL}; interactions=12", "interactions"),
        (f"{SMALL}; interactions=3", "vit_base@224 vit_tiny@672; interactions=6; direction=up", "interactions"),
        (f"{SMALL}; interactions=0", f"{SMALL}; interactions=3", "interactions"),
        (f"{SMALL}; interactions=3", f"{LARGE}; interactions=12", None),  # of other resolutions, too
        (f"{SMALL}; interactions=3", f"{SMALL}; interactions=12; out=1", None),
        (f"{SMALL}; interactions=3", f"{SMALL}; interactions=3", None),
        ("vit_base@448", f"{SMALL}; interactions=3", "one branch or several"),
        ("vit_base@448", "vit_base@896", None),
    ],
)
def test_what_two_designs_differ_in(first, second, asked):
    one, other = Design.parse(first), Design.parse(second)
    assert unranked.question(one, other) == unranked.question(other, one) == asked


def test_neighbours_of_which_nothing_is_expected_are_named():
    front = [
        Design.parse(text) for text in ("vit_base@224", f"{SMALL}; interactions=3", f"{SMALL}; interactions=6", LARGE)
    ]
    line = unranked.advice([4, 7, 2, 9], front, [False] * 4)
    assert line.endswith(
        "nothing published is like them: trials 4 and 7 (one branch or several), 7 and 2 (interactions)"
    )
    assert "(interactions)" not in unranked.advice([4, 7, 2, 9], front, [False, True, True, False])
    assert unranked.advice([4, 7, 2, 9], front, [True] * 4) == unranked.advice([], [], []) == ""
