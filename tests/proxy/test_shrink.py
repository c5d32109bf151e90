"""Shrinking keeps ratios, and whatever it returns can be built and run."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from piip_explore import Design, catalog, models
from piip_explore.errors import InputError
from piip_explore.proxy.shrink import Shrink

TSB = "vit_tiny@1568:w14 vit_small@1120:w14 vit_base@672:w14"


def test_published_multiples_of_112_shrink_exactly():
    small = Shrink(resolution=7, width=4, patch=2)(Design.parse(TSB))
    assert str(small) == (
        "vit[depth=12,dim=48,heads=3,patch=8]@224:w4 vit[depth=12,dim=96,heads=6,patch=8]@160:w4 "
        "vit[depth=12,dim=192,heads=12,patch=8]@96:w4; heads=4"
    )


def test_depth_and_exchanges_shrink_together():
    small = Shrink(resolution=14, width=8, patch=2, depth=3)(Design.parse("vit_small@1120:w28 vit_large@448:w28"))
    assert [branch.spec.depth for branch in small.branches] == [4, 8]
    assert small.interaction.count == 4
    assert [branch.window for branch in small.branches] == [4, None]  # 28 / 7 is the whole 4 x 4 map of 448


def test_sizes_that_do_not_divide_take_the_nearest():
    small = Shrink(resolution=7, width=4, patch=2)(Design.parse("vit_base@1024:w14g3"))
    assert str(small) == "vit[depth=12,dim=192,heads=12,patch=8]@144:w4g3"  # 1024 / 7 = 146.3, in patches of 8


def test_equal_resolutions_stay_equal_across_families():
    design = Design.parse("convnext_tiny@1024 vit_small@1024:w14 convnext_base@448")
    assert [b.resolution for b in Shrink(14, 8, 2, 3)(design).branches] == [72, 72, 32]


def test_exchanges_stay_at_the_ends_of_convolutional_stages():
    design = Design.parse("convnext_tiny@1024 convnext_small@672; merge=conv-multilevel")
    small = Shrink(14, 8, 2, 3)(design)
    assert [b.spec.depths for b in small.branches] == [(2, 1, 1, 1), (4, 3, 3, 3)]
    for branch in small.branches:
        ends = catalog.positions(branch.spec, small.interaction.count)
        assert [branch.spec.stages[end] for end in ends] == [0, 1, 2, 3]
        assert [branch.spec.stages[end + 1] for end in ends[:-1]] == [1, 2, 3]
    assert Shrink(7, 4, 2, 1)(design).branches[0].spec.depths == (3, 3, 9, 3)


def test_multilevel_merging_keeps_the_exchanges_it_needs():
    design = Design.parse("convnext_tiny@1024 vit_base@448:w14; interactions=6; merge=conv-multilevel")
    assert Shrink(14, 8, 2, 3)(design).interaction.count == 4


def test_factor_one_changes_sizes_of_nothing():
    design = Design.parse(TSB)
    same = Shrink(1, 1, 1, 1)(design)
    assert [b.resolution for b in same.branches] == [1568, 1120, 672]
    assert [b.spec.dim for b in same.branches] == [192, 384, 768]
    assert same.interaction == design.interaction


def test_impossible_factors_are_refused():
    with pytest.raises(InputError, match="width=0"):
        Shrink(width=0)
    with pytest.raises(InputError, match="patch=3"):
        Shrink(patch=3)


@st.composite
def designs(draw):
    count = draw(st.integers(1, 4))
    names = draw(st.lists(st.sampled_from(sorted(catalog.MODELS)), min_size=count, max_size=count))
    sizes = [draw(st.integers(2, 16)) * 112 for _ in names]
    text = " ".join(f"{name}@{size}" for name, size in zip(names, sizes, strict=True))
    if count == 1:
        return Design.parse(text)
    merge = draw(st.sampled_from(["linear", "conv", "none"]))
    exchanges = draw(st.sampled_from([1, 2, 6, 12]))
    return Design.parse(f"{text}; interactions={exchanges}; merge={merge}")


@settings(max_examples=8, deadline=None)
@given(design=designs(), shrink=st.sampled_from([Shrink(14, 8, 2, 3), Shrink(7, 4, 2, 1), Shrink(7, 8, 2, 1)]))
def test_every_shrunken_design_builds_and_keeps_its_ratios(design, shrink):
    small = shrink(design)
    assert Design.parse(str(small)) == small
    for full, branch in zip(design.branches, small.branches, strict=True):
        assert branch.resolution * shrink.resolution == full.resolution or full.resolution % 112
        assert branch.spec.out_dim * shrink.width == full.spec.out_dim
    with torch.device("meta"):
        maps = models.build(small)(torch.zeros(1, 3, small.resolution, small.resolution))
    assert all(x.ndim == 4 for x in maps)
