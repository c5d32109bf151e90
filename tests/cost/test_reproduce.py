"""Every published figure that can be reproduced is, and every other row says why not."""

import math

import pytest

from piip_explore.cost import reproduce


def test_all_known_designs_are_reproduced():
    rows = reproduce.designs()
    expected = [row for row in rows if not row.reason]
    assert len(expected) >= 35
    assert [row.row for row in expected if not row.agrees] == []
    assert all(abs(row.difference) <= 0.005 for row in expected)
    assert all(math.isnan(row.printed_gflops) for row in rows if row.reason == "no FLOPs printed")


def test_the_direct_pyramid_is_printed_as_if_merged_at_the_width_of_its_widest_branch():
    """By hand: adapters from 192 and 384 channels to 768, and a head of 768, instead of those to ViT-T's 192."""
    (row,) = (row for row in reproduce.designs() if row.row == "tsb-direct-448-672-896")
    norm = {width: 2 * width for width in (192, 384, 768)}

    def merged_at(width: int) -> int:
        others = [other for other in norm if other != width]
        adapters = sum(norm[other] + other * width + width + norm[width] for other in others) + norm[width] + 3
        return adapters + norm[width] + 1000 * width + 1000  # LayerNorm, then a linear head with its bias

    at_widest = row.mparams * 1e6 - merged_at(192) + merged_at(768)
    assert row.printed_gflops == round(row.gflops)
    assert row.printed_mparams == round(at_widest / 1e6) != round(row.mparams)
    assert "widest" in row.reason


def test_lh6b_cannot_be_what_its_rows_say():
    """The reason given for them: the linear layers of blocks and interactions alone cost more than is printed."""
    from piip_explore import Design
    from piip_explore.cost import count

    rows = [row for row in reproduce.designs() if row.row.startswith("lh6b")]
    assert len(rows) == 6
    for row in rows:
        smallest_windows = row.design.replace(" ", ":w1 ", 2).replace(";", ":w1;")
        assert count(Design.parse(smallest_windows)).macs / 1e9 > row.printed_gflops


def test_the_from_scratch_modules_are_reproduced():
    rows = reproduce.scratch_modules()
    assert [row.row.partition(": ")[2] for row in rows] == [
        "branch 1",
        "branch 2",
        "branch 3",
        "interactions",
        "branch merging",
    ]
    assert all(row.agrees for row in rows)


def test_llava_encoders_are_reproduced():
    rows = reproduce.llava()
    assert [row.printed_gflops for row in rows] == [191, 193, 191, 422, 598, 1037]
    assert all(row.agrees for row in rows)


@pytest.mark.parametrize(
    ("printed", "counted", "agrees"),
    [(100.0, 100.5, True), (100.0, 100.51, False), (17.4, 17.449, True), (3.0, 3.5, True), (3.0, 3.51, False)],
)
def test_agreement_is_half_a_percent_or_the_last_digit(printed, counted, agrees):
    row = reproduce._compare("row", "", printed, round(counted * 1e9), math.nan, 0, "")
    assert row.agrees is agrees
