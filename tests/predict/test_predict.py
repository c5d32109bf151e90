"""The regression on published results: its features by hand, what it may never say, and how far it is right."""

import json
import math
from itertools import combinations, product

import numpy as np
import pytest
from click.testing import CliRunner

from piip_explore import Design, cost, predict
from piip_explore.errors import InputError
from piip_explore.predict.features import NAMES, of_columns, of_designs
from piip_explore.predict.rows import published_rows
from piip_explore.space import SearchSpace

TSB = "vit_tiny@1568:w14 vit_small@1120:w14 vit_base@672:w14; merge=linear"
LARGE = ("vit_small", "vit_base", "vit_large")


def features(text):
    return dict(zip(NAMES, of_designs([Design.parse(text)])[0], strict=True))


def test_features_by_hand():
    found = features("vit_base@512 vit_small@1024; interactions=3; out=1")  # ViT-B alone is merged
    assert found["weights"] == pytest.approx(np.log2(12 * 12 * (768**2 + 384**2) / 1e6))
    assert found["output resolution"] == 9
    assert found["mean resolution"] == 9.5
    assert found["interactions"] == 2
    assert found["merged branches"] == -1
    assert found["several branches"] == 1
    assert found["merge width"] == pytest.approx(np.log2(768))
    assert found["regular attention"] == 0
    assert features("vit_base@512 vit_small@1024; interactions=6; direction=up")["interactions"] == 2
    assert features("vit_base@512 vit_small@1024; interactions=3; attention=regular; heads=6")["regular attention"] == 1


def test_the_kind_of_the_highest_branch_counts_by_itself():
    names = ["CNN at the highest resolution", "CNN elsewhere", "CNN alone"]
    for text, expected in {
        "convnext_tiny@1024 vit_base@512": (1, 0, 0),
        "vit_tiny@1024 convnext_small@672 vit_base@448": (0, 0.5, 0),
        "convnext_base@1024": (0, 0, 1),
        "vit_base@1024": (0, 0, 0),
    }.items():
        assert tuple(features(text)[name] for name in names) == expected


def test_the_cost_of_interactions_does_not_count_as_compute():
    none, many = features(TSB + "; interactions=0"), features(TSB)
    assert none["compute"] == many["compute"]
    assert none["interactions"] == 0
    assert many["interactions"] == pytest.approx(np.log2(13))


def test_columns_of_a_space_have_the_features_of_its_designs():
    columns = SearchSpace.load("search_spaces/demo.yaml").columns()
    found = of_columns(columns)
    expected = predict.columns(columns)
    for row in range(0, len(found), max(1, len(found) // 7)):
        design = columns.design(row)
        np.testing.assert_allclose(found[row], of_designs([design])[0])
        one = predict.expect(design)
        np.testing.assert_allclose(expected.iloc[row], [one.mean, one.low, one.high])


def test_published_designs_are_expected_where_they_are():
    for text, box_ap in {TSB: 46.6, "vit_base@1024:w14g3": 43.8, "vit_large@1024:w14g3": 46.8}.items():
        expected = predict.expect(Design.parse(text))
        assert expected.low < box_ap < expected.high
        assert expected.high - expected.low < 2.5
        assert not expected.unlike


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (TSB + "; points=8", "no row with box AP has points=8"),
        ("beit_large@1024", "no row with box AP has a branch like 'beit_large'"),
        ("dinov3_base@1024", "no row with box AP has a branch like 'dinov3_base'"),
        ("siglip2_base@1024", "no row with box AP has a branch like 'siglip2_base'"),
        (
            "vit_tiny@4480:w14 vit_base@448",
            "its highest merged resolution, 4,480 px, is outside the",
        ),
        ("vit[depth=2,dim=64,heads=1]@1024", "its size, 0 M weights, is outside the published"),
        (" ".join(f"vit_tiny@{n}" for n in (448, 560, 672, 784, 896)), "no row with box AP has 5 branches"),
        ("vit_tiny@896 vit_base@448; merge=none", "no row with box AP has merge=none"),
    ],
)
def test_a_design_like_no_published_row_is_told_so(text, reason):
    design = Design.parse(text)
    expected = predict.expect(design)
    assert math.isnan(expected.mean)
    assert any(one.startswith(reason) for one in expected.unlike)
    assert predict.table([design]).isna().to_numpy().all()
    both = predict.compare(design, Design.parse("vit_base@1024"))
    assert math.isnan(both.probability)
    assert both.order == "cannot tell"


@pytest.mark.parametrize(
    ("option", "assumed"),
    [
        ("attention=regular; heads=6", "attention=regular is taken as a little worse than deformable"),
        ("direction=up", "direction=up is taken as half of both directions"),
        ("direction=down", "direction=down is taken as half of both directions"),
    ],
)
def test_what_no_row_has_and_a_published_effect_bounds_gets_a_wider_interval_and_says_so(option, assumed):
    usual, none, other = (
        predict.expect(Design.parse(text)) for text in (TSB, f"{TSB}; interactions=0", f"{TSB}; {option}")
    )
    assert usual.assumed == none.assumed == ()
    assert other.assumed == (assumed,)
    assert none.mean < other.mean < usual.mean
    assert other.high - other.low > 1.2 * (usual.high - usual.low)
    assert other.high > usual.mean, "as good as both ways and as deformable attention is not ruled out"
    assert predict.compare(usual.design, other.design).order == "cannot tell"
    assert predict.table([other.design]).notna().to_numpy().all()


def test_an_unknown_metric_is_a_sentence():
    with pytest.raises(InputError, match="metric 'map': expected one of box_ap, miou, top1"):
        predict.expect(Design.parse("vit_base@1024"), "map")


@pytest.mark.parametrize(("models", "window"), [(("vit_tiny", "vit_small", "vit_base"), 14), (LARGE, 28)])
def test_more_resolution_never_lowers_what_is_expected(models, window):
    sides = [s for s in product(range(448, 1681, 224), repeat=3) if list(s) == sorted(s, reverse=True)]

    def design(these):
        return Design.parse(" ".join(f"{m}@{s}:w{window}" for m, s in zip(models, these, strict=True)))

    expected = dict(zip(sides, predict.table([design(these) for these in sides])["expected"], strict=True))
    steps = [
        (low, high)
        for low, high in product(sides, repeat=2)
        if sum(a != b for a, b in zip(low, high, strict=True)) == 1 and all(np.array(high) >= low)
    ]
    told = [(low, high) for low, high in steps if not math.isnan(expected[low] + expected[high])]
    assert len(told) > 50
    assert [(low, high) for low, high in told if expected[high] < expected[low]] == []


def test_more_interactions_never_lower_what_is_expected():
    counts = (0, 1, 2, 3, 4, 6, 12)
    found = predict.table([Design.parse(f"{TSB}; interactions={count}") for count in counts])["expected"]
    assert (np.diff(found) > 0).all()


def test_the_order_of_the_pyramid_ablation_carries_over_to_the_large_size():
    """Nothing is published here of large pyramids that are not inverted."""
    inverted, equal, direct = (
        predict.expect(Design.parse(" ".join(f"{m}@{s}:w28" for m, s in zip(LARGE, sides, strict=True)))).mean
        for sides in ((1568, 1120, 672), (896, 896, 896), (448, 672, 896))
    )
    assert inverted > equal > direct


def test_a_comparison_is_sure_where_published_rows_are_far_apart():
    first, second = Design.parse(TSB), Design.parse("vit_base@1024:w14g3")
    both = predict.compare(first, second)
    assert both.order == "first"
    assert both.probability > 0.98
    assert predict.compare(second, first).probability == pytest.approx(1 - both.probability)
    assert predict.compare(first, first).order == "cannot tell"


def test_left_out_tables_are_expected_as_they_were_printed():
    """At the calibration that docs/predict.md shows."""
    held = predict.leave_tables_out()
    every = published_rows()
    assert sum(len(table.rows) for table in held) == len(every)
    inside = np.concatenate([table.inside[table.told] for table in held])
    assert len(inside) >= 40
    assert 0.7 <= inside.mean() <= 0.9
    right, flops = [], []
    for table in held:
        rows, macs = table.rows, [cost.count(design).macs for design in table.rows.design]
        order = [
            (i, j) if rows.value[i] > rows.value[j] else (j, i)
            for i, j in combinations(range(len(rows)), 2)
            if abs(rows.value[i] - rows.value[j]) >= 0.5 - 1e-9 and rows.design[i].id != rows.design[j].id
        ]
        if len(order) >= 5:
            right.append(np.mean([table.mean[i] > table.mean[j] for i, j in order]))
            flops.append(np.mean([macs[i] > macs[j] for i, j in order]))
    assert len(right) == 10
    assert min(right) >= 0.85
    assert (np.array(right) >= np.array(flops)).all()
    assert np.mean(right) > np.mean(flops) + 0.1


def test_nothing_of_a_left_out_table_is_known():
    for table in predict.leave_tables_out():
        assert set(table.rows.table) == {table.table}
    every = published_rows()
    mine = [row for row, name in enumerate(every.table) if "Table II," in name]
    designs, metrics = [every.design[row] for row in mine], [every.metric[row] for row in mine]
    found = predict.expected_elsewhere(designs, metrics, ["t"] * len(mine))
    held = next(table for table in predict.leave_tables_out() if "Table II," in table.table)
    np.testing.assert_allclose(found - found.mean(), held.mean - held.mean.mean(), atol=0.1)


def test_a_score_corrects_the_expectation_where_it_knows_more():
    rng = np.random.default_rng(0)
    tables = ["a"] * 10 + ["b"] * 10 + ["c"] * 10
    expected, hidden = rng.normal(45, 2, 30), rng.normal(0, 1, 30)
    value = expected + hidden
    score = 30 + 4 * hidden + rng.normal(0, 0.2, 30)
    corrected = predict.stacked(expected, score, value, tables)
    centered = [corrected[np.array(tables) == t] - value[np.array(tables) == t] for t in "abc"]
    assert max(np.std(one) for one in centered) < 0.3
    noise = predict.stacked(expected, rng.normal(0, 1, 30), expected + rng.normal(0, 0.1, 30), tables)
    assert np.abs(noise - expected).max() < 0.3
    assert np.isnan(predict.stacked(expected[:10], score[:10], value[:10], tables[:10])).all()


def test_the_command_tells_both_and_their_order():
    from piip_explore.cli.predict import command

    result = CliRunner().invoke(command, [TSB, "vit_base@1024:w14g3"], catch_exceptions=False)
    assert result.exit_code == 0
    assert "expected box AP 46." in result.stdout
    assert "The first is better with probability 0.99 or more." in result.stdout
    result = CliRunner().invoke(command, [TSB + "; direction=up"], catch_exceptions=False)
    assert "no row with box AP has it: direction=up is taken as half of both directions" in result.stdout
    result = CliRunner().invoke(command, [TSB + "; direction=all", TSB, "--json"], catch_exceptions=False)
    printed = json.loads(result.stdout, parse_constant=lambda name: pytest.fail(name))
    assert printed["better"] == "cannot tell"
    assert printed["designs"][0]["expected"] is None
    assert printed["designs"][0]["unlike"][0] == "no row with box AP has direction=all"
    result = CliRunner().invoke(command, [TSB + "; points=8"], catch_exceptions=False)
    assert "box AP cannot be predicted: no row with box AP has points=8" in result.stdout
