"""Shrinking keeps ratios, and whatever it returns can be built and run."""

from dataclasses import replace

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


def test_interactions_keep_their_number_kind_and_direction():
    for options in ("interactions=1", "interactions=7; direction=up", "attention=regular; project=no; direction=down"):
        design = Design.parse(f"vit_small@1120:w28 vit_large@448:w28; {options}")
        kept = Shrink(resolution=14, width=8, patch=2)(design).interaction
        assert replace(kept, heads=16) == design.interaction


def test_blocks_that_are_cut_bound_the_interactions():
    design = Design.parse("vit_small@1120:w28 vit_large@448:w28")
    small = Shrink(resolution=14, width=8, patch=2, depth=3)(design)
    assert [branch.spec.depth for branch in small.branches] == [4, 8]
    assert small.interaction.count == 4
    assert [branch.window for branch in small.branches] == [4, None]  # 28 / 7 is the whole 4 x 4 map of 448
    assert Shrink(14, 8, 2, 3).lost(design) == ("interactions=12 is trained as 4",)


@pytest.mark.parametrize(
    ("text", "small"),
    [
        ("dinov3_small_plus@448:w14", "dinov3_small_plus[depth=12,dim=96,heads=6,patch=8]@64:w4"),
        ("dinov3_base@224", "dinov3_tiny[depth=12,dim=192,heads=12,patch=8]@32"),
        ("dinov2_reg_small@392", "dinov2_reg_small[depth=12,dim=96,heads=6,patch=7]@56"),
        ("pe_core_base@224", "pe_core_base[depth=12,dim=192,heads=12,patch=8]@32"),
        ("siglip2_base@224", "vit[depth=12,dim=192,heads=12,patch=8]@32"),
    ],
)
def test_registers_rotary_positions_and_gates_are_kept(text, small):
    design = Design.parse(text)
    assert str(Shrink(resolution=7, width=4, patch=2)(design)) == small
    lost = ("'siglip2_base' is trained as a plain ViT",) if small.startswith("vit[") else ()
    assert Shrink(7, 4, 2).lost(design) == lost


def test_heads_of_rotary_positions_keep_pairs_for_both_axes():
    # 52 wide would take 2 heads of 26, in which no two axes have as many pairs of channels
    (branch,) = Shrink(7, 4, 2)(Design.parse("dinov3_tiny[depth=2,dim=208,heads=4]@224")).branches
    assert (branch.spec.dim, branch.spec.heads) == (52, 1)


@pytest.mark.parametrize(
    ("text", "lost"),
    [
        (TSB, ()),
        (f"{TSB}; interactions=5; direction=up", ()),
        ("vit_base@1024:w14g3", ("'vit_base@1024:w14g3' is trained as at 1008 pixels",)),
        ("vit_base@1120:w16", ("'vit_base@1120:w16' is trained as with windows of 14",)),
        (f"{TSB}; heads=12", ("heads=12 is trained as 8",)),
        ("vit[depth=12,dim=100,heads=4]@448", ("'vit[depth=12,dim=100,heads=4]' is trained as if 96 wide",)),
        ("clip_base@448", ("'clip_base' is trained as a plain ViT",)),
    ],
)
def test_what_a_shrunken_design_does_not_keep_is_said(text, lost):
    assert Shrink(14, 8, 2).lost(Design.parse(text)) == lost


def test_a_design_that_is_not_shrunken_keeps_everything():
    assert Shrink(1, 1, 1).lost(Design.parse("clip_base@448:w16 vit_tiny@1024; heads=12")) == ()


def test_sizes_that_do_not_divide_take_the_nearest():
    small = Shrink(resolution=7, width=4, patch=2)(Design.parse("vit_base@1024:w14g3"))
    assert str(small) == "vit[depth=12,dim=192,heads=12,patch=8]@144:w4g3"  # 1024 / 7 = 146.3, in patches of 8


def test_equal_resolutions_stay_equal_across_families():
    design = Design.parse("convnext_tiny@1024 vit_small@1024:w14 convnext_base@448")
    assert [b.resolution for b in Shrink(14, 8, 2, 3)(design).branches] == [72, 72, 32]


def test_interactions_stay_at_the_ends_of_convolutional_stages():
    design = Design.parse("convnext_tiny@1024 convnext_small@672; merge=conv-multilevel")
    small = Shrink(14, 8, 2)(design)
    assert [b.spec.depths for b in small.branches] == [(3, 3, 9, 3), (3, 3, 27, 3)]
    for full, branch in zip(design.branches, small.branches, strict=True):
        assert catalog.positions(branch.spec, 12) == catalog.positions(full.spec, 12)
    small = Shrink(14, 8, 2, 3)(design)
    assert [b.spec.depths for b in small.branches] == [(2, 1, 1, 1), (4, 3, 3, 3)]
    for branch in small.branches:
        ends = catalog.positions(branch.spec, small.interaction.count)
        assert [branch.spec.stages[end] for end in ends] == [0, 1, 2, 3]
        assert [branch.spec.stages[end + 1] for end in ends[:-1]] == [1, 2, 3]


def test_multilevel_merging_keeps_the_interactions_it_needs():
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
    interactions = draw(st.sampled_from([1, 2, 6, 12]))
    return Design.parse(f"{text}; interactions={interactions}; merge={merge}")


@pytest.mark.slow
@settings(max_examples=4)
@given(design=designs(), shrink=st.sampled_from([Shrink(14, 8, 2, 3), Shrink(7, 4, 2, 1), Shrink(7, 8, 2, 1)]))
def test_every_shrunken_design_builds_and_keeps_its_ratios(design, shrink):
    small = shrink(design)
    assert Design.parse(str(small)) == small
    for full, branch in zip(design.branches, small.branches, strict=True):
        exact = full.resolution % (branch.spec.patch * shrink.resolution) == 0
        assert branch.resolution * shrink.resolution == full.resolution or not exact
        assert exact or full.spec.patch == 14
        assert branch.spec.out_dim * shrink.width == full.spec.out_dim
    with torch.device("meta"):
        maps = models.build(small)(torch.zeros(1, 3, small.resolution, small.resolution))
    assert all(x.ndim == 4 for x in maps)
