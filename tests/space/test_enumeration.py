"""Every design of the cartesian product that is valid is in the columns, once: against plain enumeration."""

from __future__ import annotations

import tracemalloc
from itertools import permutations, product
from math import comb

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from piip_explore.design import Design, Interaction, Merge
from piip_explore.design.setting import OPTIONS, values_of
from piip_explore.errors import InputError
from piip_explore.space import BranchChoices, Constraints, SearchSpace, SettingChoices, SpaceColumns, axes_of
from piip_explore.space.choices import branch_of

MODELS = ["vit_tiny", "vit_base", "vit_large", "convnext_tiny", "vit[depth=3,dim=96,heads=2]"]


def subsets(values, most=2, least=1):
    return st.lists(st.sampled_from(values), min_size=least, max_size=most, unique=True).map(tuple)


SLOTS = st.builds(
    BranchChoices,
    subsets(MODELS),
    subsets([64, 224, 448], 3, least=2).map(lambda v: tuple(sorted(v))),
    subsets(["none", "w4", "w14", "w4g3"]),
)
SETTINGS = st.builds(
    SettingChoices,
    interactions=subsets([3, 0, 4, 13], 3),
    attention=subsets(["deformable", "regular"]),
    heads=subsets([4, 16, 3], 3),
    points=subsets([1, 4]),
    ratio=subsets([0.5, 1.0], 1),
    project=subsets([True, False], 1),
    direction=subsets(["both", "up", "down", "all"]),
    merge=subsets(["conv", "conv-multilevel", "separate-heads", "none"]),
    out=subsets([None, (1,), (1, 2), (3,)]),
    weighting=subsets(["published", "scalar", "channel"]),
)
CONSTRAINTS = st.builds(
    Constraints,
    parameter_inverted=st.booleans(),
    decreasing_resolution=st.booleans(),
    max_resolution_ratio=st.sampled_from([None, 1.0, 2.0, 3.5]),
)


@st.composite
def spaces(draw):
    chosen, rules = draw(SETTINGS), draw(CONSTRAINTS)
    if draw(st.booleans()):
        slots = tuple(draw(st.lists(SLOTS, min_size=draw(st.integers(1, 3)), max_size=3)))
        return SearchSpace("slots", slots, (len(slots),), chosen, rules)
    counts = tuple(sorted(draw(subsets([3, 2, 1], 3))))
    return SearchSpace("pool", (draw(SLOTS),) * counts[-1], counts, chosen, rules)


def meets(branches, rules: Constraints) -> bool:
    """The constraints, said once more: on branches in the order of their slots."""
    resolutions = [branch.resolution for branch in branches]
    if rules.decreasing_resolution and sorted(set(resolutions), reverse=True) != resolutions:
        return False
    if rules.max_resolution_ratio and max(resolutions) > rules.max_resolution_ratio * min(resolutions):
        return False
    if rules.parameter_inverted:
        for one, other in permutations(branches, 2):
            if (one.resolution > other.resolution) != (one.spec.weights < other.spec.weights):
                return False
            if one.resolution == other.resolution or one.spec.weights == other.spec.weights:
                return False
    return True


def by_hand(space: SearchSpace) -> set[Design]:
    found = set()
    for count in space.counts:
        slots = space.slots[:count]
        for choices in product(*(product(s.models, s.resolutions, s.windows) for s in slots)):
            branches = tuple(branch_of(*choice) for choice in choices)
            pool = len(set(space.slots)) == 1
            orders = permutations(branches) if pool else [branches]
            if not any(meets(order, space.constraints) for order in orders):
                continue
            if count == 1:
                found.add(Design(branches))
                continue
            ordered = Design(branches).sorted().branches
            for combination in space.settings.combinations():
                kind, out, weighting = (combination.pop(name) for name in ("merge", "out", "weighting"))
                interactions = combination.pop("interactions")
                try:
                    interaction = Interaction(interactions, **combination) if interactions else None
                    found.add(Design(ordered, interaction, Merge(kind, out, weighting)))
                except InputError:
                    pass
    return found


@settings(max_examples=300, deadline=None)
@given(spaces())
def test_columns_hold_every_valid_design_once(space):
    columns = space.columns()
    designs = space.designs(range(space.size))
    assert len(columns.setting) == len(columns.branches) == space.size == len(designs)
    assert len(set(designs)) == len({design.id for design in designs}) == len(designs)
    assert set(designs) == by_hand(space)


@settings(max_examples=100, deadline=None)
@given(spaces(), st.data())
def test_rows_columns_and_designs_agree(space, data):
    if space.size == 0:
        return
    columns = space.columns()
    row = data.draw(st.integers(0, space.size - 1))
    design = space.design(row)
    codes = [int(code) for code in columns.branches[row] if code >= 0]
    assert tuple(columns.branch_options[code] for code in codes) == design.branches
    assert columns.settings[columns.setting[row]] == (design.interaction, design.merge)
    assert columns.design(row) == columns.rows(slice(row, None)).design(0) == design
    assert columns.rows(np.arange(space.size) == row).design(0) == SpaceColumns.of([design]).design(0) == design
    assert design == design.sorted()
    assert space.index_of(design) == row
    assert design in space


@settings(max_examples=100, deadline=None)
@given(spaces())
def test_axes_tell_all_designs_apart(space):
    axes, codes = axes_of(space.columns(), np.arange(space.size))
    assert len(np.unique(codes, axis=0)) == space.size
    for place, axis in enumerate(axes):
        assert len(axis.choices) > 1
        assert set(codes[:, place].tolist()) == set(range(len(axis.choices))), "a choice of no design"
        if axis.ordered:
            assert list(axis.choices) == sorted(axis.choices)


@settings(max_examples=50, deadline=None)
@given(spaces())
def test_an_axis_is_spelled_as_in_the_text_of_a_design(space):
    axes, codes = axes_of(space.columns(), np.arange(space.size))
    for row in range(0, space.size, 1 + space.size // 20):
        design = space.design(row)
        values = {axis.name: axis.choices[code] for axis, code in zip(axes, codes[row], strict=True)}
        for number in range(1, 1 + max(space.counts)):
            for part, absent in (("model", "none"), ("resolution", 0), ("window_text", "none")):
                name = f"branch{number}.{part.removesuffix('_text')}"
                there = number <= len(design.branches)
                expected = getattr(design.branches[number - 1], part) if there else absent
                assert values.get(name, expected) == expected
        spelled = values_of((design.interaction, design.merge))
        for name in OPTIONS.keys() & values.keys():
            assert OPTIONS[name].parse(values[name]) == spelled[name]


@settings(max_examples=50, deadline=None)
@given(spaces())
def test_a_space_is_a_collection_of_its_designs(space):
    assert len(space) == space.size
    assert list(space) == space.designs(range(space.size))


@settings(max_examples=100, deadline=None)
@given(spaces(), spaces())
def test_membership_is_being_listed(space, other):
    listed = set(space.designs(range(space.size)))
    for design in other.designs(range(min(other.size, 40))):
        assert (design in space) == (design in listed)
        if design not in listed:
            with pytest.raises(InputError, match="is not in the space"):
                space.index_of(design)


def test_ten_million_designs_are_counted_and_listed_as_small_columns():
    resolutions = tuple(range(224, 1825, 32))
    slot = BranchChoices(("vit_tiny", "vit_small", "vit_base", "vit_large"), resolutions, ("none", "w14"))
    space = SearchSpace("big", (slot,) * 3, (1, 2, 3), constraints=Constraints(decreasing_resolution=True))
    # 8 branches at each of 50 resolutions and 4 at 224 pixels, whose map is one window: choose up to 3 resolutions.
    expected = 50 * 8 + 4 + comb(50, 2) * 64 + 50 * 8 * 4 + comb(50, 3) * 512 + comb(50, 2) * 64 * 4
    assert expected > 10_000_000
    assert space.size == expected
    tracemalloc.start()
    columns = space.columns()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert len(columns.setting) == expected
    assert columns.branches.nbytes + columns.setting.nbytes == expected * (3 * 2 + 1)
    assert peak < 1e9
    row = expected * 2 // 3
    assert space.index_of(space.design(row)) == row


def test_a_space_too_large_to_list_can_still_be_counted():
    slot = BranchChoices(("vit_tiny", "vit_small"), tuple(range(224, 1793, 16)), ("none", "w14", "w28"))
    space = SearchSpace("huge", (slot,) * 4, (4,), SettingChoices(interactions=(3, 6)))
    options = len(slot.branches)
    assert space.size == 2 * comb(options + 3, 4)  # multisets of four
    with pytest.raises(InputError, match=r"space 'huge' has [\d,]+ designs, more than can be listed"):
        space.columns()
    assert Design.parse("vit_small@1792:w28 vit_tiny@1792:w14 vit_small@224 vit_tiny@224; interactions=6") in space
