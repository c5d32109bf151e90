"""Enumerated costs are the costs of the designs, one by one."""

from dataclasses import astuple

import numpy as np
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from piip_explore.cost import count, traffic
from piip_explore.cost.table import enumerate_space
from piip_explore.errors import InputError
from piip_explore.space import BranchChoices, Constraints, SearchSpace, SettingChoices
from tests.cost.designs import CONVNEXTS, VITS


def choices(values, most=2):
    return st.lists(st.sampled_from(values), min_size=1, max_size=most, unique=True).map(tuple)


SLOTS = st.builds(
    BranchChoices,
    choices(VITS + CONVNEXTS, 3),
    st.just((64, 112, 208)),
    choices(["none", "w4", "w5g3"]),
)
SETTINGS = st.builds(
    SettingChoices,
    interactions=choices([0, 2, 4]),
    attention=choices(["deformable", "regular"]),
    heads=choices([4, 16, 3]),
    points=st.just((3,)),
    project=choices([True, False]),
    direction=choices(["both", "up", "down", "all"]),
    merge=choices(["conv", "linear", "conv-multilevel", "separate-heads", "none"], 3),
    out=choices([None, (1,), (1, 2), (3,)]),
)


@st.composite
def spaces(draw):
    settings_, rules = draw(SETTINGS), Constraints(decreasing_resolution=draw(st.booleans()))
    if draw(st.booleans()):
        slots = tuple(draw(st.lists(SLOTS, min_size=1, max_size=4)))
        return SearchSpace("slots", slots, (len(slots),), settings_, rules)
    counts = draw(st.sampled_from([(1,), (1, 2), (2, 3), (1, 2, 3, 4)]))
    return SearchSpace("pool", (draw(SLOTS),) * counts[-1], counts, settings_, rules)


@settings(deadline=None, max_examples=25, suppress_health_check=list(HealthCheck))
@given(spaces(), st.sampled_from(["published", "built"]), st.randoms(use_true_random=False))
def test_every_row_is_the_cost_of_its_design(space, accounting, random):
    assume(0 < space.size < 200_000)
    table = enumerate_space(space, accounting)
    assert len(table) == space.size
    for row in {0, len(table) - 1, *(random.randrange(len(table)) for _ in range(20))}:
        design = table.design(row)
        cost = count(design, accounting)
        assert design == space.design(row)
        assert (table.macs[row], table.params[row]) == (cost.macs, cost.params)
        assert (table.activations[row], table.moved[row], table.kept[row], table.peak[row]) == astuple(traffic(design))


POOL = BranchChoices(("vit_tiny", "vit_small", "vit_base"), (112, 224, 336), ("none", "w5"))


def space(**limits):
    return SearchSpace("pool", (POOL,) * 2, (1, 2), SettingChoices(merge=("conv", "linear")), Constraints(**limits))


def test_limits_hold_under_the_accounting_of_the_space():
    everything = enumerate_space(space(), "built")
    low, high = np.quantile(everything.macs / 1e9, [0.25, 0.5])
    limited = space(min_gflops=low, max_gflops=high, accounting="built")
    table = enumerate_space(limited)
    assert table.accounting == "built"
    within = (everything.macs / 1e9 >= low) & (everything.macs / 1e9 <= high)
    assert sorted(table.macs) == sorted(everything.macs[within])
    published = enumerate_space(limited, "published")
    assert [published.design(i) for i in range(len(table))] == [table.design(i) for i in range(len(table))]
    assert [count(published.design(i)).macs for i in range(len(table))] == list(published.macs)
    assert max(enumerate_space(limited, "published", max_gflops=low).macs) <= low * 1e9


def test_limits_on_parameters_are_inclusive():
    sizes = enumerate_space(space()).params
    bound = int(np.sort(sizes)[len(sizes) // 2])
    assert max(enumerate_space(space(max_mparams=bound / 1e6)).params) == bound
    assert min(enumerate_space(space(min_mparams=bound / 1e6)).params) == bound


def test_a_table_without_designs_says_which_limits():
    with pytest.raises(InputError, match=r"no design of the space 'pool' is within its limits: raise max_gflops"):
        enumerate_space(space(max_gflops=0.001))
    with pytest.raises(InputError, match=r"and 0\.001 GFLOPs \(built\)"):
        enumerate_space(space(), "built", max_gflops=0.001)
    with pytest.raises(InputError, match="accounting 'paper'"):
        enumerate_space(space(), "paper")


def test_more_options_than_a_byte_holds():
    """Codes of 127 options fill an int8, whose next number is negative."""
    slot = BranchChoices(("vit_tiny",), tuple(range(32, 32 + 16 * 127, 16)))
    table = enumerate_space(SearchSpace("many", (slot,), (1,)))
    assert table.columns.branches.dtype == np.int8
    assert len(table) == 127
    assert len(set(table.macs)) == 127


@pytest.mark.parametrize("branches", [1, 2])
def test_costs_that_64_bits_do_not_hold_are_not_summed(branches):
    # One branch costs too much by itself; two in windows cost little, but each attends to all of the other.
    model, window = ("vit[depth=9,dim=96000,heads=1]", "none") if branches == 1 else ("vit_huge", "w14")
    slot = BranchChoices((model,), (65536,), (window,))
    settings_ = SettingChoices(interactions=(32,), attention=("regular",))
    space = SearchSpace("vast", (slot,) * branches, (branches,), settings_)
    with pytest.raises(InputError, match="more than can be summed exactly: lower its resolutions"):
        enumerate_space(space)
