"""Designs: text form, identity, order, and a sentence for every mistake."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import FrozenInstanceError, replace

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from piip_explore.design import Branch, Design, Interaction, Merge, parse_window
from piip_explore.design.setting import OPTIONS, plain, setting_of, show, values_of
from piip_explore.errors import InputError

DIGITS = "9" * 5000  # more than `int` reads
TSB = "vit_tiny@1120:w14 vit_small@896:w14 vit_base@448:w14; merge=linear"

PAPER_LETTERS = {
    "vit_tiny": "T",
    "vit_small": "S",
    "vit_base": "B",
    "vit_large": "L",
    "vit_huge": "H",
    "intern_vit_6b": "6B",
}
MODELS = ["vit_tiny", "vit_base", "clip_large", "vit[depth=12,dim=160,heads=2]", "vit[depth=4,dim=64,heads=2,patch=8]"]
CONVNEXTS = ["convnext_tiny", "convnext[depths=1-1-3-1,dims=32-64-64-96,patch=2]"]
BRANCHES = st.builds(
    lambda model, size, window, every: Branch(model, size * 16, window, every if window else None),
    st.sampled_from(MODELS),
    st.integers(1, 100),
    st.none() | st.integers(1, 60),
    st.none() | st.integers(1, 30),
) | st.builds(lambda model, size: Branch(model, size * 4), st.sampled_from(CONVNEXTS), st.integers(8, 400))
INTERACTIONS = st.builds(
    Interaction,
    count=st.integers(1, 13),
    attention=st.sampled_from(["deformable", "regular"]),
    heads=st.sampled_from([1, 2, 4, 16]),
    points=st.integers(1, 8),
    ratio=st.sampled_from([0.25, 0.5, 1.0, 2.0]),
    ffn=st.floats(0.1, 16),
    project=st.booleans(),
    direction=st.sampled_from(["both", "up", "down", "all"]),
)


@st.composite
def designs(draw) -> Design:
    branches = tuple(draw(st.lists(BRANCHES, min_size=1, max_size=5)))
    if len(branches) == 1:
        return Design(branches)
    numbers = st.sets(st.integers(1, len(branches)), min_size=1).map(lambda chosen: tuple(sorted(chosen)))
    kind = draw(st.sampled_from(["conv", "linear", "conv-multilevel", "separate-heads", "none"]))
    try:
        merge = Merge(kind, draw(st.none() | numbers), draw(st.sampled_from(["published", "scalar", "channel"])))
        return Design(branches, draw(st.none() | INTERACTIONS), merge)
    except InputError:
        assume(False)
        raise


@given(designs())
def test_parse_and_print_are_inverse(design):
    again = Design.parse(str(design))
    assert again == design
    assert str(again) == str(design)
    assert again.id == design.id


@given(designs(), st.randoms())
def test_the_order_of_branches_does_not_change_the_id(design, random):
    # Equal branches are told apart by their place alone, so only different ones are swapped.
    assume(len(set(design.branches)) == len(design.branches))
    order = list(range(len(design.branches)))
    random.shuffle(order)
    out = design.merge.out and tuple(sorted(order.index(number - 1) + 1 for number in design.merge.out))
    other = Design(tuple(design.branches[i] for i in order), design.interaction, replace(design.merge, out=out))
    assert other.id == design.id
    assert other.sorted() == design.sorted()
    assert other.sorted().sorted() == other.sorted()


@given(designs())
def test_order_runs_from_the_highest_resolution_to_the_lowest(design):
    branches = design.sorted().branches
    keys = [(-branch.resolution, branch.spec.out_dim) for branch in branches]
    assert keys == sorted(keys)
    assert design.resolution == max(branch.resolution for branch in design.branches)
    assert design.sorted().order == tuple(range(len(branches)))


def test_the_id_is_that_of_the_text_for_ever():
    # Studies on disk refer to designs by id: this figure must never change.
    assert Design.parse(TSB).id == "862b9dfff64e"
    assert len(Design.parse(TSB).id) == 12
    assert Design.parse(TSB.replace("linear", "conv")).id != Design.parse(TSB).id


def test_one_architecture_has_one_id():
    free = TSB.replace("vit_base", "vit[depth=12,dim=768,heads=12]")
    assert Design.parse(free) == Design.parse(TSB)
    assert Design.parse(free).id == Design.parse(TSB).id


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        (TSB, TSB),
        ("vit_base@448", "vit_base@448"),
        ("vit_base@448;", "vit_base@448"),
        ("vit_base@448; interactions=0; merge=none", "vit_base@448"),
        ("vit_base@448; out=1", "vit_base@448"),
        ("vit_base@448; out=all", "vit_base@448"),
        (" vit_tiny@448   vit_base@224 ;interactions = 6; merge=conv ", "vit_tiny@448 vit_base@224; interactions=6"),
        ("vit_tiny@448 vit_base@224; interactions=12; merge=conv; heads=16", "vit_tiny@448 vit_base@224"),
        ("vit_tiny@448 vit_base@224; interactions=0", "vit_tiny@448 vit_base@224; interactions=0"),
        ("vit_tiny@448 vit_base@224; out=2,1", "vit_tiny@448 vit_base@224"),
        ("vit_tiny@448 vit_base@224; out=2", "vit_tiny@448 vit_base@224; out=2"),
        ("vit_tiny@448 vit_base@224; project=no", "vit_tiny@448 vit_base@224; project=no"),
        ("vit_tiny@448 vit_base@224; ratio=1.0; ffn=0.125", "vit_tiny@448 vit_base@224; ratio=1; ffn=0.125"),
        ("vit_tiny@448 vit_base@224; ffn=0.3333333333", "vit_tiny@448 vit_base@224; ffn=0.3333333333"),
        # two branches have one pair
        ("vit_tiny@448 vit_base@224; direction=all", "vit_tiny@448 vit_base@224"),
        # regular attention has neither points nor a value ratio
        (
            "vit_tiny@448 vit_base@224; attention=regular; points=8; ratio=0.25",
            "vit_tiny@448 vit_base@224; attention=regular",
        ),
        # maps are published with a scalar each, heads without; and where nothing is merged nothing is weighted
        ("vit_tiny@448 vit_base@224; weighting=scalar", "vit_tiny@448 vit_base@224"),
        ("vit_tiny@448 vit_base@224; merge=none; weighting=channel", "vit_tiny@448 vit_base@224; merge=none"),
        (
            "vit_tiny@448 vit_base@224; weighting=channel; merge=linear",
            "vit_tiny@448 vit_base@224; merge=linear; weighting=channel",
        ),
        (
            "vit_tiny@448 vit_base@224; merge=separate-heads; weighting=scalar",
            "vit_tiny@448 vit_base@224; merge=separate-heads; weighting=scalar",
        ),
        # windows as large as the map, or with every block global, are global attention
        ("vit_base@448:w28", "vit_base@448"),
        ("vit_base@448:w27", "vit_base@448:w27"),
        ("vit_base@448:w14g1", "vit_base@448"),
        ("vit_base@448:w14g13", "vit_base@448:w14"),
        ("vit[heads=2,dim=160,depth=12]@512:w16", "vit[depth=12,dim=160,heads=2]@512:w16"),
        # a free model of a catalogued structure is that model
        ("vit[depth=12,dim=768,heads=12]@512", "vit_base@512"),
    ],
)
def test_canonical_text(text, canonical):
    assert str(Design.parse(text)) == canonical


def test_windows_of_single_blocks():
    branch = Branch("vit_base", 1024, 14, 3)
    assert [branch.block_window(block) for block in range(6)] == [14, 14, None, 14, 14, None]
    assert Branch("vit_base", 1024).block_window(0) is None
    assert branch.grid == 64


@pytest.mark.parametrize(
    ("direction", "pairs"),
    [
        # branches 2 (highest), 0, 1 (lowest): the high pair first, in each pair down before up
        ("both", ((2, 0), (0, 2), (0, 1), (1, 0))),
        ("up", ((0, 2), (1, 0))),
        ("down", ((2, 0), (0, 1))),
        ("all", ((2, 0), (0, 2), (2, 1), (1, 2), (0, 1), (1, 0))),
    ],
)
def test_directed_pairs(direction, pairs):
    design = Design.parse(f"vit_small@336 vit_base@224 vit_tiny@448; direction={direction}")
    assert design.order == (2, 0, 1)
    assert design.directed_pairs == pairs


def test_equal_resolutions_put_the_wider_branch_last():
    assert Design.parse("vit_base@224 vit_tiny@224").order == (1, 0)
    assert Design.parse("vit_base@224 vit_tiny@224; interactions=0").directed_pairs == ()


def test_one_sided_interactions_ask_nothing_of_the_branch_they_only_read():
    # 72 / 2 = 36 channels are not divisible by 16 heads; only the branch that is written to needs that.
    narrow = "vit[depth=12,dim=72,heads=3]"
    with pytest.raises(InputError, match="heads=16 does not divide the attention width 36"):
        Design.parse(f"{narrow}@448 vit_base@224; direction=up")
    assert Design.parse(f"{narrow}@448 vit_base@224; direction=down").directed_pairs == ((0, 1),)


def test_designs_are_values():
    design = Design.parse(TSB)
    assert hash(design) == hash(Design.parse(TSB))
    with pytest.raises(FrozenInstanceError):
        design.merge = Merge("conv")  # type: ignore[misc]


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "no branch in '': expected something like 'vit_base@448:w14'"),
        ("; merge=linear", "no branch in '; merge=linear'"),
        ("vit_base", "branch 'vit_base': expected model@resolution, such as 'vit_base@448'"),
        ("vit_base@", "branch 'vit_base@': expected model@resolution"),
        ("vit_base@4.5", "branch 'vit_base@4.5': expected model@resolution"),
        ("vit_base@448:14", "window ':14' of branch 'vit_base@448:14': expected ':wN' or ':wNgK'"),
        ("vit_base@448:w", "window ':w' of branch "),
        ("vit_base@448:w14g", "window ':w14g' of branch "),
        ("vit_base@448:w14gx", "window ':w14gx' of branch "),
        ("vit_base@448:w0", "window ':w0' of branch 'vit_base@448:w0': expected ':wN' or ':wNgK'"),
        ("vit_base@448:w14g0", "window ':w14g0' of branch "),
        ("vit_bas@448", "unknown model 'vit_bas': did you mean 'vit_base'?"),
        ("vit_base@450", "resolution 450 of 'vit_base': expected a multiple of its patch, 16"),
        ("vit_base@65552", "resolution 65552 of 'vit_base': expected at most 65536"),
        (f"vit_base@{DIGITS}", "branch 'vit_base@99999"),
        (f"vit_base@448:w{DIGITS}", "window ':w99999"),
        ("vit_base@²", "branch 'vit_base@²': expected model@resolution"),
        ("vit_base@0", "resolution 0 of 'vit_base': expected a multiple of its patch, 16"),
        ("convnext_tiny@450", "resolution 450 of 'convnext_tiny': expected a multiple of its patch, 4"),
        ("convnext_tiny@28", "'convnext_tiny@28': 'convnext_tiny' needs at least 32 pixels"),
        ("convnext_tiny@448:w14", "'convnext_tiny' has no attention windows: drop ':w14'"),
        (
            "vit_base@448; merge=linear",
            "'vit_base@448' alone is a plain single-branch model: drop everything after ';'",
        ),
        ("vit_base@448; heads=8", "'vit_base@448' alone is a plain single-branch model: drop everything after ';'"),
        ("vit_tiny@448 vit_base@224; head=8", "option 'head=8': did you mean 'heads'?"),
        (
            "vit_tiny@448 vit_base@224; in_channels=4",
            "option 'in_channels': images have channels, designs do not: call ",
        ),
        ("vit_tiny@448 vit_base@224; x=8", "option 'x=8': expected one of interactions, attention, "),
        ("vit_tiny@448 vit_base@224; merge", "option 'merge': expected key=value"),
        ("vit_tiny@448 vit_base@224;;", "option '': expected key=value"),
        ("vit_tiny@448 vit_base@224;; merge=conv", "option '': expected key=value"),
        ("vit_tiny@448 vit_base@224; merge=liner", "merge 'liner': did you mean 'linear'?"),
        ("vit_tiny@448 vit_base@224; merge=sum", "merge 'sum': expected one of conv, linear, conv-multilevel, "),
        ("vit_tiny@448 vit_base@224; merge=conv; merge=conv", "option 'merge' is given twice"),
        ("vit_tiny@448 vit_base@224; weighting=chanel", "weighting 'chanel': did you mean 'channel'?"),
        ("vit_tiny@448 vit_base@224; attention=flash", "attention 'flash': expected one of deformable, regular"),
        ("vit_tiny@448 vit_base@224; direction=left", "direction 'left': expected one of both, up, down, all"),
        ("vit_tiny@448 vit_base@224; project=maybe", "option 'project=maybe': expected yes or no, not 'maybe'"),
        ("vit_tiny@448 vit_base@224; interactions=two", "option 'interactions=two': expected a whole number"),
        ("vit_tiny@448 vit_base@224; interactions=-1", "interactions -1: expected a whole number from 1 to 9999"),
        ("vit_tiny@448 vit_base@224; heads=0", "heads 0: expected a whole number from 1 to 9999"),
        ("vit_tiny@448 vit_base@224; points=10000", "points 10000: expected a whole number from 1 to 9999"),
        ("vit_tiny@448 vit_base@224; points=1_0", "option 'points=1_0': expected a whole number"),
        (f"vit_tiny@448 vit_base@224; heads={DIGITS}", "option 'heads=99999"),
        (f"vit_tiny@448 vit_base@224; out={DIGITS}", "option 'out=99999"),
        ("vit_tiny@448 vit_base@224; points=1.5", "option 'points=1.5': expected a whole number"),
        ("vit_tiny@448 vit_base@224; ratio=0", "ratio 0: expected a number above 0 and up to 16"),
        ("vit_tiny@448 vit_base@224; ffn=nan", "option 'ffn=nan': expected a number, not 'nan'"),
        ("vit_tiny@448 vit_base@224; out=0", "out=0: expected different branch numbers from 1 to 2 in rising order"),
        ("vit_tiny@448 vit_base@224; out=1,1", "out=1,1: expected different branch numbers from 1 to 2"),
        ("vit_tiny@448 vit_base@224; out=3", "out=3: expected different branch numbers from 1 to 2"),
        ("vit_tiny@448 vit_base@224; out=first", "option 'out=first': expected 'all' or branch numbers such as 1,3, "),
        (
            "vit_tiny@448 vit_base@224; interactions=0; heads=4",
            "interactions=0 leaves no interaction: drop its other options",
        ),
        ("vit_tiny@448 vit_base@224; interactions=13", "interactions=13: 'vit_tiny@448' has only 12 blocks to follow"),
        (
            "vit_tiny@448 vit_base@224; heads=5",
            "heads=5 does not divide the attention width 96 of 'vit_tiny@448' (192 channels): choose a divisor of 96",
        ),
        (
            "vit_tiny@448 vit_base@224; heads=5; attention=regular",
            "heads=5 does not divide the attention width 192 of 'vit_tiny@448' (192 channels): choose a divisor of 192",
        ),
        ("vit_tiny@448 vit_base@224; ratio=0.001", "ratio=0.001 leaves no attention channel in 'vit_tiny@448'"),
        ("vit_tiny@448 vit_base@224; ffn=0.001", "ffn=0.001 leaves no hidden channel in 'vit_tiny@448'"),
        (
            "vit_tiny@448 vit_base@224; interactions=3; merge=conv-multilevel",
            "merge=conv-multilevel merges after interactions too: it needs interactions=4 or more",
        ),
        (
            "vit_tiny@448 vit_base@224; interactions=0; merge=conv-multilevel",
            "merge=conv-multilevel merges after interactions too: it needs interactions=4 or more",
        ),
        (
            "vit_tiny@448 convnext_base@224; merge=separate-heads",
            "merge=separate-heads reads tokens of ViT branches: it takes no ConvNeXt branch",
        ),
    ],
)
def test_every_mistake_has_its_sentence(text, sentence):
    with pytest.raises(InputError) as caught:
        Design.parse(text)
    assert str(caught.value).startswith(sentence), str(caught.value)
    assert "\n" not in str(caught.value)


def test_mistakes_that_no_text_makes():
    with pytest.raises(InputError, match="a design needs at least one branch"):
        Design(())
    with pytest.raises(InputError, match=r"every K-th block global .* needs a window"):
        Branch("vit_base", 448, None, 3)
    with pytest.raises(InputError, match="alone is a plain single-branch model: it takes no interactions and no merge"):
        Design((Branch("vit_base", 448),), Interaction())
    with pytest.raises(InputError, match="window 0 of 'vit_base': expected a positive whole number"):
        Branch("vit_base", 448, 0)
    with pytest.raises(InputError, match="global_every 0 of 'vit_base': expected a positive whole number"):
        Branch("vit_base", 448, 14, 0)
    with pytest.raises(InputError, match="out=: expected different branch numbers"):
        Design((Branch("vit_base", 448), Branch("vit_tiny", 448)), None, Merge("conv", ()))


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        ("ViT-S@448", "vit_small@448"),
        ("ViT-B/16@448", "vit_base@448"),
        ("ConvNeXt-T@448,ViT_Large@224", "convnext_tiny@448 vit_large@224"),
        ("vit_small_patch16_224.augreg_in21k@448, InternViT-6B@224", "vit_small@448 intern_vit_6b@224"),
        ("vit[depth=12,dim=160,heads=2]@448:w14,vit_base@224;", "vit[depth=12,dim=160,heads=2]@448:w14 vit_base@224"),
    ],
)
def test_names_and_commas_as_people_type_them(text, canonical):
    assert str(Design.parse(text)) == canonical


@pytest.mark.parametrize("name", ["PIIP-T", "PIIP-SB", "PIIP-TSB", "piip-tsbl", "PIIP-H6B", "PIIP-TTSSBBLLHH"])
def test_a_name_of_the_papers_is_answered_with_a_design(name):
    with pytest.raises(InputError, match="names models without their resolutions: did you mean ") as caught:
        Design.parse(f"{name}; merge=linear")
    proposed = Design.parse(str(caught.value).split("'")[3])
    assert "".join(PAPER_LETTERS[branch.model] for branch in proposed.branches) == name.upper().removeprefix("PIIP-")
    assert list(proposed.branches) == sorted(proposed.branches, key=lambda branch: -branch.resolution)


def test_branches_and_options_have_one_codec():
    assert Branch.parse("vit_base@448:w14g3") == Branch("vit_base", 448, 14, 3)
    assert [parse_window(form) for form in ("none", "w14", "w14g3")] == [(None, None), (14, None), (14, 3)]
    assert Branch.parse("vit_base@448:w14g3").window_text == "w14g3"
    for name, form, value in [
        ("interactions", 0, 0),
        ("interactions", "6", 6),
        ("ratio", 1, 1.0),
        ("ffn", "0.125", 0.125),
        ("project", False, False),
        ("project", "no", False),
        ("out", "all", None),
        ("out", [3, 1], (1, 3)),
        ("out", 2, (2,)),
    ]:
        assert OPTIONS[name].parse(form) == value
        assert OPTIONS[name].parse(show(value)) == OPTIONS[name].parse(plain(value)) == value


@given(designs())
def test_the_setting_of_a_design_is_that_of_its_options(design):
    setting = (design.interaction, design.merge)
    if len(design.branches) > 1:
        assert setting_of(values_of(setting), len(design.branches)) == setting


def test_a_design_loads_no_heavy_package():
    heavy = "{'torch', 'optuna', 'streamlit', 'fvcore'}"
    code = f"import sys, piip_explore; piip_explore.Design.parse('{TSB}'); sys.exit(bool({heavy} & sys.modules.keys()))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
