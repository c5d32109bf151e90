"""The published results, read as designs with metrics."""

from __future__ import annotations

import math

import pytest

from piip_explore import published
from piip_explore.design import Design
from piip_explore.errors import InputError

HEADER = "row,branches,interactions,attention,deform_heads,merge,gflops,structure\n"


def test_designs_are_canonical_with_their_metrics():
    frame = published.load()
    assert frame["row"].is_unique
    assert all(str(Design.parse(text)) == text for text in frame["design"])
    row = frame.set_index("row").loc["tsb-1568-1120-672"]
    assert row["design"] == "vit_tiny@1568:w14 vit_small@1120:w14 vit_base@672:w14; merge=linear"
    assert (row["branches"], row["gflops"], row["mparams"], row["box_ap"], row["mask_ap"]) == (3, 453, 149, 46.6, 41.4)
    assert math.isnan(row["miou"])
    assert row["structure"] == "known"
    assert row["pretrain"] == "DeiT III (S/B/L), DeiT (T)"


def test_a_single_branch_has_neither_interactions_nor_merge():
    row = published.load().set_index("row").loc["vit-b-1024"]
    assert (row["design"], row["branches"]) == ("vit_base@1024:w14g3", 1)


def test_rows_without_projection_say_so():
    row = published.load().set_index("row").loc["seg-h6b-512-192"]
    assert row["design"] == "vit_huge@512 intern_vit_6b@192; project=no; merge=linear"


def test_windows_as_large_as_the_map_are_global():
    row = published.load().set_index("row").loc["sbl-1120-672-448"]
    assert row["design"] == "vit_small@1120:w28 vit_base@672:w28 vit_large@448; merge=linear"


def test_llava_designs_merge_nothing():
    frame = published.llava()
    assert len(frame) == 6
    assert frame["design"][1] == "clip_base@512 clip_large@256; interactions=2; merge=none"
    assert Design.parse(frame["design"][0]).branches[0].grid == 24
    assert frame["average"][5] == 67.1


def test_merge_ablation_names_branches_from_the_highest_resolution():
    frame = published.merge_ablation().set_index("out_branches")
    base = "vit_tiny@1568:w14 vit_small@1120:w14 vit_base@672:w14; merge=linear"
    assert frame.loc["B", "design"] == f"{base}; out=3"
    assert frame.loc["B+T", "design"] == f"{base}; out=1,3"
    assert frame.loc["B+S+T", "design"] == base
    assert frame.loc["B+T", "box_ap"] == 46.3


def test_other_tables():
    peers = published.other_detectors()
    assert len(peers) == 24
    assert peers.loc[peers["method"] == "PIIP-H6B", "box_ap"].item() == 60.0
    parts = published.scratch_breakdown().set_index("module")
    assert parts.loc["branch 1", "mparams"] == 59.6
    # The printed parts add up to the printed whole, within their last digits.
    whole = published.load().set_index("row").loc["cls-piip-b-scratch"]
    assert parts["gflops"].sum() == pytest.approx(whole["gflops"], abs=0.15)
    assert parts["mparams"].sum() == pytest.approx(whole["mparams"], abs=0.5)


def test_the_ablations_have_the_interactions_that_they_say():
    frame = published.ablations().set_index("row")
    counts = [Design.parse(text).interaction for text in frame["design"]]
    assert [one.count if one else 0 for one in counts] == [0, 0, 0, 12, 12, 12, 12, 0, 1, 2, 4, 6, 12]
    assert "; interactions=0; merge=linear" in frame.loc["bbb-896-448-224-no-interaction", "design"]


def test_rows_whose_flops_do_not_come_out_say_so():
    frame = published.load().set_index("row")
    row = frame.loc["fast-sbl-1568-1120-672-no-project"]
    assert row["structure"].startswith(published.UNKNOWN)
    assert "project=no" in row["design"]
    assert frame.loc["fast-h6b-1024-512-no-project", "structure"] == "no interaction projection or norm"


TWO = "vit_tiny@448 vit_small@224"


@pytest.mark.parametrize(
    ("row", "design"),
    [
        (f"{TWO},0,,,linear,1,known", f"{TWO}; interactions=0; merge=linear"),
        (f"{TWO},0,deformable,16,linear,1,known", f"{TWO}; interactions=0; merge=linear"),
        (f"{TWO},6,regular,6,none,1,known", f"{TWO}; interactions=6; attention=regular; heads=6; merge=none"),
        (f"{TWO}; direction=up,6,deformable,16,conv,1,known", f"{TWO}; interactions=6; direction=up"),
        ("vit_tiny@448,,,,none,1,known", "vit_tiny@448"),
    ],
)
def test_a_row_is_read_as_it_says(tmp_path, row, design):
    (tmp_path / "mine.csv").write_text("\ufeff" + HEADER + "a," + row + "\n", encoding="utf-8")
    assert published.read(tmp_path / "mine.csv")["design"][0] == design


def test_the_rarer_options_have_columns_of_their_own(tmp_path):
    path = tmp_path / "mine.csv"
    path.write_text(
        HEADER.replace("\n", ",direction,points,ratio,ffn,project,out,year\n")
        + f"a,{TWO},6,deformable,16,conv,1,known,down,8,0.25,0.5,no,2,2025\n"
        + f"b,{TWO},6,deformable,16,conv,1,known,,,,,,,2025\n"
    )
    frame = published.read(path)
    assert frame.attrs["unread"] == ["year"]
    assert (
        frame["design"][0] == f"{TWO}; interactions=6; points=8; ratio=0.25; ffn=0.5; project=no; direction=down; out=2"
    )
    assert frame["design"][1] == f"{TWO}; interactions=6"


def test_reads_ones_own_results(tmp_path):
    path = tmp_path / "mine.csv"
    path.write_text("# mine\n" + HEADER + "a,vit_tiny@448 vit_small@224,6,deformable,16,linear,12.5,known\n")
    row = published.read(path).iloc[0]
    assert row["design"] == "vit_tiny@448 vit_small@224; interactions=6; merge=linear"
    assert row["gflops"] == 12.5
    assert math.isnan(row["box_ap"])


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (HEADER, r"mine.csv has no rows"),
        ("row,branches\na,vit_tiny@448\n", r"mine.csv lacks the column interactions, attention, deform_heads, merge"),
        (HEADER + "a,vit_tiny@448,0,,,,high,known\n", r"mine.csv, row 'a': gflops 'high' is not a number"),
        (HEADER + "a,vit_tiny@448,0,,,,1,known,2,3\n", r"mine.csv, row 1 has more cells than the header has columns"),
        (HEADER + "a\n", r"mine.csv, row 'a': no branch in "),
        (
            HEADER + 'a,"' + "x" * 200_000 + '",0,,,,1,known\n',
            r"cannot read '.*mine.csv': field larger",
        ),
        (HEADER + "a,vit_tiny@448,0,,,,inf,known\n", r"gflops 'inf' is not a number"),
        (HEADER + "a,vit_tiny@448,0,,,,-3,known\n", r"gflops -3: expected a number above 0"),
        (HEADER.replace("gflops", "miou") + "a,vit_tiny@448,0,,,,510,known\n", r"miou 510: expected percent"),
        (HEADER + f"a,{TWO},,,,linear,1,known\n", r"row 'a': interactions is empty"),
        (HEADER + f"a,{TWO},6,,16,linear,1,known\n", r"row 'a': attention is empty"),
        (HEADER + f"a,{TWO},6,regular,,linear,1,known\n", r"row 'a': deform_heads is empty"),
        (HEADER + f"a,{TWO},0,,,,1,known\n", r"row 'a': merge is empty"),
        (HEADER + f"a,{TWO},0,,,linear,1,\n", r"row 'a': structure is empty"),
        (HEADER + "a,vit_tiny@448,12,deformable,16,,1,known\n", r"row 'a': interactions is 12, but there is a single"),
        (HEADER + "a,vit_tiny@448,0,,,linear,1,known\n", r"row 'a': merge is 'linear', but there is a single branch"),
        (2 * (HEADER + "a,vit_tiny@448,0,,,,1,known\n")[len(HEADER) :], r"lacks the column row"),
        (HEADER + 2 * "a,vit_tiny@448,0,,,,1,known\n", r"several rows 'a'"),
        (HEADER.replace("gflops", "row"), r"has no rows"),
        (HEADER.replace("gflops", "row") + "a,vit_tiny@448,0,,,,1,known\n", r"several columns 'row'"),
        (
            HEADER.replace("gflops", "directions") + f"a,{TWO},6,deformable,16,conv,up,known\n",
            r"did you mean 'direction'",
        ),
        (
            HEADER + "a,vit_tine@448,0,,,,,known\n",
            r"row 'a': unknown model 'vit_tine': did you mean 'vit_tiny'",
        ),
    ],
)
def test_bad_results_say_where(tmp_path, content, sentence):
    (tmp_path / "mine.csv").write_text(content)
    with pytest.raises(InputError, match=sentence):
        published.read(tmp_path / "mine.csv")


def test_a_missing_file_says_so(tmp_path):
    with pytest.raises(InputError, match=r"cannot read '.*none.csv': No such file"):
        published.read(tmp_path / "none.csv")
