"""The statistics of a validation by hand, and on the published tables."""

import json
from dataclasses import replace

import numpy as np
import pytest
from click.testing import CliRunner

from piip_explore import Design, cost, preset_names, proxy
from piip_explore.errors import InputError
from piip_explore.proxy import presets
from piip_explore.proxy.validity import statistics, validate
from piip_explore.proxy.validity.comparison import Comparison
from piip_explore.proxy.validity.pairs import Pairs, hard, pairs, question
from piip_explore.proxy.validity.rows import as_trained, published_rows, rows_of


def _pairs(*ordered, question="resolution"):
    better, worse = zip(*ordered, strict=True)
    return Pairs(np.array(better), np.array(worse), np.array([question] * len(ordered)))


def test_accuracy_counts_ties_and_gaps_as_halves():
    prediction = np.array([1.0, 2.0, 2.0, np.nan])
    four = _pairs((1, 0), (0, 1), (1, 2), (3, 0))
    assert list(statistics.pair_scores(prediction, four)) == [1, 0, 0.5, 0.5]
    assert statistics.percent(statistics.pair_scores(prediction, four)) == 50
    assert list(statistics.pair_scores(prediction, four, noise=1.0)) == [0.5] * 4


def test_macro_weighs_questions_equally():
    both = Pairs(np.array([0, 0, 1]), np.array([1, 2, 0]), np.array(["resolution", "resolution", "merging"]))
    right = statistics.pair_scores(np.array([3.0, 2.0, 1.0]), both)
    assert statistics.by_question(right, both) == {"resolution": 100.0, "merging": 0.0, "macro": 50.0}


def test_hard_pairs_are_close_or_disagree():
    flops = np.array([100.0, 114.0, 200.0, 50.0])
    assert list(hard(_pairs((1, 0), (2, 0), (0, 2), (0, 3)), flops)) == [True, False, True, False]


def test_the_standard_error_is_of_what_seeds_do_not_share():
    """Three rows, two seeds: the second adds 10 to all, and 2, 0 and -2 to one each."""
    first = np.array([1.0, 5.0, 9.0])
    values = np.column_stack([first, first + 10 + np.array([2, 0, -2])])
    # Differences deviate from their mean by 2, 0 and -2: residuals of 1, 1, 0, 0, 1, 1 over (3 - 1)(2 - 1) degrees.
    assert statistics.standard_error(values) == pytest.approx(np.sqrt(4 / 2 / 2))
    assert statistics.standard_error(np.vstack([values, [np.nan, 1]])) == statistics.standard_error(values)
    assert np.isnan(statistics.standard_error(values[:, :1]))
    assert statistics.tie_width(1.0) == pytest.approx(2 * np.sqrt(2))
    assert statistics.tie_width(np.nan) == 0


def test_tau_by_hand():
    a, b = np.array([1.0, 2, 3, 4]), np.array([1.0, 2, 4, 3])
    assert statistics.tau(a, b) == pytest.approx(4 / 6)  # five pairs agree, one does not
    assert np.isnan(statistics.tau(a, np.ones(4)))
    assert statistics.tau(a, np.array([1, 2, np.nan, 3])) == pytest.approx(1)
    low, high = statistics.tau_interval(a, b)
    assert -1 <= low <= 4 / 6 <= high <= 1
    assert all(np.isnan(statistics.tau_interval(a, np.ones(4))))


def test_the_interval_is_that_of_tau_over_resampled_rows(monkeypatch):
    monkeypatch.setattr(statistics, "_RESAMPLES", 40)
    a, b = np.array([1.0, 2, 2, 5, np.nan, 4]), np.array([2.0, 1, 3, 3, 4, 9])
    drawn = np.random.default_rng(0).integers(6, size=(40, 6))
    taus = [statistics.tau(a[rows], b[rows]) for rows in drawn]
    assert statistics.tau_interval(a, b) == pytest.approx(tuple(np.nanquantile(taus, [0.025, 0.975])))


def test_partial_tau_by_hand():
    a, b, given = np.array([1.0, 2, 3, 4]), np.array([1.0, 2, 4, 3]), np.array([2.0, 1, 3, 4])
    ab, ag, bg = 4 / 6, 4 / 6, 2 / 6
    expected = (ab - ag * bg) / np.sqrt((1 - ag**2) * (1 - bg**2))
    assert statistics.partial_tau(a, b, given) == pytest.approx(expected)


def test_seed_to_seed_tau():
    assert statistics.seed_to_seed_tau(np.array([[1, 1], [2, 2], [3, 3.0]])) == pytest.approx(1)
    assert np.isnan(statistics.seed_to_seed_tau(np.array([[1.0], [2.0]])))


@pytest.mark.parametrize(
    ("a", "b", "expected"),
    [
        ("vit_tiny@1120 vit_base@448", "vit_tiny@1344 vit_base@448", "resolution"),
        ("vit_tiny@1120:w14 vit_base@448", "vit_tiny@1120 vit_base@448", "resolution"),
        ("vit_tiny@1120 vit_base@448", "vit_small@1120 vit_base@448", "branch models"),
        ("vit_tiny@1120 vit_base@448", "vit_base@1120", "branch models"),
        ("convnext_tiny@1120 vit_base@448", "vit_tiny@1120 vit_base@448", "CNN or ViT"),
        ("convnext_tiny@1024 vit_base@448", "vit_tiny@1024 convnext_base@448", "CNN or ViT"),
        ("vit_tiny@1120 vit_base@448; interactions=6", "vit_tiny@1120 vit_base@448", "interactions"),
        ("vit_tiny@1120 vit_base@448; out=1", "vit_tiny@1120 vit_base@448", "merging"),
        ("vit_base@448 vit_tiny@1120; merge=linear", "vit_tiny@1120 vit_base@448", "merging"),
    ],
)
def test_pairs_ask_what_they_differ_in(a, b, expected):
    assert question(Design.parse(a), Design.parse(b)) == expected
    assert question(Design.parse(b), Design.parse(a)) == expected


def test_flops_rank_the_published_tables_as_known():
    tables = {"table-1": 87, "table-2": 79, "merge-ablation": 50, "pyramid-ablation": 74, "interaction-ablation": 100}
    rows = published_rows(list(tables))
    found = {}
    for table in tables:
        mine = published_rows([table])
        found[table] = round(statistics.percent(statistics.pair_scores(mine.gflops, pairs(mine))))
        assert sum(name == table for name in rows.table) == len(mine)
    assert found == tables
    assert len(pairs(published_rows(["pyramid-ablation"]))) == 19
    two = published_rows(["table-2"])
    assert round(statistics.tau(two.gflops, two.value), 2) == 0.56
    assert not any("intern_vit_6b" in str(design) for design in rows.design)


def test_the_number_of_interactions_is_asked_of_as_many_networks():
    rows = published_rows(["interaction-ablation"])
    assert [design.interaction and design.interaction.count for design in rows.design] == [None, 1, 2, 4, 6, 12]
    assert set(pairs(rows).question) == {"interactions"}


def test_detection_is_trained_with_the_merge_that_was_trained():
    design = Design.parse("vit_tiny@1120 vit_base@448; merge=linear; out=1")
    assert str(as_trained(design, dense=True)) == "vit_tiny@1120 vit_base@448; out=1"
    assert as_trained(design, dense=False) == design


CSV = """row,source,task,branches,interactions,attention,deform_heads,merge,pretrain,gflops,mparams,box_ap,structure
a,mine,coco-detection,vit_tiny@448 vit_small@224,6,deformable,16,linear,none,,,40.0,known
b,mine,coco-detection,vit_tiny@896 vit_small@448,6,deformable,16,linear,none,99,,42.0,known
c,mine,coco-detection,vit_tiny@896 vit_small@224,6,deformable,16,linear,none,,,41.0,known
d,mine,coco-detection,vit_tiny@448,0,,,,none,,,30.0,unknown
e,mine,coco-detection,vit_tiny@448,0,,,,none,,,,known
f,mine,coco-detection,vit_huge@448 intern_vit_6b@224,6,deformable,16,linear,none,,,50.0,known
"""


@pytest.fixture
def own_rows(tmp_path):
    path = tmp_path / "rows.csv"
    path.write_text(CSV)
    return path


def test_rows_nobody_tuned_on_come_from_a_file(own_rows):
    rows = rows_of(own_rows)
    assert rows.name == ("a", "b", "c")
    assert rows.gflops[1] == 99
    assert rows.gflops[0] == pytest.approx(cost.count(rows.design[0]).macs / 1e9)  # none is printed
    assert rows.left_out == (
        "d: its structure is unknown",
        "e: no box_ap or miou or top1",
        "f: intern_vit_6b is too large to shrink",
    )
    own_rows.write_text("\n".join(CSV.splitlines()[:2]))
    with pytest.raises(InputError, match="fewer than two"):
        rows_of(own_rows)


def test_rows_of_other_schedules_and_metrics_are_not_paired(tmp_path):
    path = tmp_path / "rows.csv"
    head = "row,source,task,head,branches,interactions,attention,deform_heads,merge,box_ap,miou,structure\n"
    one = "a,mine,coco,1x,vit_tiny@448,0,,,,30,,known\nb,mine,coco,1x,vit_small@448,0,,,,35,,known\n"
    path.write_text(head + one)
    assert set(rows_of(path).table) == {"mine, coco"}
    path.write_text(
        head + one + "c,mine,coco,3x,vit_base@448,0,,,,45,,known\nd,mine,coco,1x,vit_base@448,0,,,,,50,known\n"
    )
    rows = rows_of(path)
    assert rows.table == ("mine, coco, 1x", "mine, coco, 1x", "mine, coco, 3x", "mine, coco, 1x")
    found = pairs(rows)
    assert list(zip(found.better, found.worse, strict=True)) == [(1, 0)]


def test_rows_of_several_tables_are_paired_by_their_recipe(tmp_path):
    path = tmp_path / "rows.csv"
    path.write_text(
        "row,source,task,head,branches,interactions,attention,deform_heads,merge,box_ap,structure,gflops\n"
        "a,one,coco,1x,vit_tiny@448,0,,,,30,known,10\nb,one,coco,1x,vit_small@448,0,,,,35,known,20\n"
        "c,two,coco,1x,vit_base@448,0,,,,40,known,15\nd,two,coco,3x,vit_base@672,0,,,,45,known,90\n"
    )
    rows = rows_of(path)
    assert rows.recipe == ("coco, 1x", "coco, 1x", "coco, 1x", "coco, 3x")
    anywhere = pairs(rows, across_tables=True)
    assert list(zip(anywhere.better, anywhere.worse, strict=True)) == [(1, 0), (2, 0), (2, 1)]
    comparison = Comparison(rows.frame().assign(proxy=[1.0, 3, 2, 4], FLOPs=rows.gflops), ("proxy", "FLOPs"))
    assert list(comparison.right["proxy"]) == [1]
    assert list(comparison.right_across_tables["proxy"]) == [1, 1, 0]
    assert list(comparison.right_across_tables["FLOPs"]) == [1, 1, 0]
    alike = Comparison(comparison.rows.assign(**{"trained as": "x"}), ("proxy", "FLOPs"))
    assert list(alike.right_across_tables["proxy"]) == [0.5] * 3


def test_a_design_that_shrinks_to_another_ties_with_it(tiny, own_rows):
    """Scores that differ all the same, as a GPU's may, are no order of one network."""
    rows = rows_of(own_rows)
    found = validate.compare(rows, np.array([[1.0, 1.0], [3.0, 3.0], [2.0, 2.0]]), tiny)
    assert found.statistics["proxy"]["tables"]["mine, coco-detection"]["accuracy"] == 100
    assert found.statistics["proxy"]["one design after shrinking"] == []
    assert found.statistics["proxy"]["verdicts"]["all pairs"].startswith("On all pairs the proxy ")
    alike = found.rows.assign(**{"trained as": "x"})
    comparison = Comparison(alike, ("proxy", "FLOPs"))
    assert comparison.coincide.all()
    assert found.statistics["proxy"]["across tables"] == 100
    assert found.statistics["proxy"]["number of pairs"]["across tables"] == 3
    assert list(comparison.right["proxy"]) == [0.5] * 3
    assert set(comparison.right["FLOPs"]) == {1}


def test_a_validation_promises_first_and_keeps_every_run(own_rows, tiny, tmp_path):
    rows, folder, told = rows_of(own_rows), tmp_path / "out", []
    short = replace(tiny, samples=64)

    def stop(line):
        told.append(line)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        validate.run(rows, short, [0, 1], "cpu", folder, stop)
    recipe = folder / "recipe.json"
    assert short.hash in recipe.read_text()
    promised = recipe.stat().st_mtime_ns
    report = validate.run(rows, short, [0, 1], "cpu", folder, told.append)
    assert recipe.stat().st_mtime_ns == promised
    assert len(list((folder / "runs").glob("*.score"))) == 6
    assert list(report.rows.columns)[-4:] == ["trained as", "standard error", "seed 0", "seed 1"]
    assert report.statistics["proxy"]["seeds"] == 2
    assert report.statistics["proxy"]["standard error"] > 0
    assert set(report.statistics) == {
        *("proxy", "FLOPs", "params", "ridge", "expected", "gradient norm", "snip"),
    }
    assert set(json.loads((folder / "statistics.json").read_text())) == set(report.statistics)
    printed = json.loads(report.to_json(), parse_constant=lambda name: pytest.fail(name))  # strict: no NaN
    assert set(printed) == set(report.statistics)
    with pytest.raises(InputError, match=r"another preset_hash"):
        validate.run(rows, replace(short, rate=1e-4), [0, 1], "cpu", folder, told.append)


def test_the_command_prints_a_table(own_rows, tiny, tmp_path, monkeypatch):
    from piip_explore.cli.validate import command

    monkeypatch.setitem(preset_names.PRESETS, "tiny", preset_names.PresetName("segmentation", "cpu", "for this test"))
    monkeypatch.setitem(presets.PRESETS, "tiny", replace(tiny, samples=64))
    assert proxy.preset("tiny").samples == 64
    arguments = ["--preset", "tiny", "--rows", str(own_rows), "--seeds", "2", "--out", str(tmp_path / "out")]
    result = CliRunner().invoke(command, [*arguments, "--device", "cpu"], catch_exceptions=False)
    assert result.exit_code == 0
    assert "seed to seed: tau" in result.stdout
    assert "ridge" in result.stdout
    assert "standard error is" in result.stdout
    assert "On all pairs the proxy " in result.stdout
    assert "left out: d: its structure is unknown" in result.stderr
