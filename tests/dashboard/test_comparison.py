"""Designs side by side, and what full training is expected to give them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from piip_explore import cost, predict
from piip_explore.dashboard import comparison, expected, filters
from piip_explore.dashboard.figures.slices import slice_plots
from piip_explore.dashboard.selection import Chosen, resolve
from piip_explore.dashboard.studies import EXAMPLE
from piip_explore.dashboard.trials import Filters, Trials, of
from piip_explore.design import Design
from piip_explore.search.columns import read
from piip_explore.search.slices import slices
from tests.dashboard import synthetic

TSB = "vit_tiny@1120:w14 vit_small@896:w14 vit_base@448:w14"
LARGER = "vit_tiny@1568:w14 vit_small@1120:w14 vit_base@672:w14"


@pytest.fixture(scope="module")
def trials(tmp_path_factory: pytest.TempPathFactory) -> Trials:
    path = tmp_path_factory.mktemp("comparison") / "demo.journal"
    synthetic.write(path, "demo", 60)
    return of(read(path, "demo"), {})


def test_differences_are_from_the_first_design(trials: Trials) -> None:
    found, _ = resolve(("3", "5", TSB), trials)
    table = comparison.side_by_side({chosen.name: chosen for chosen in found}, trials)
    assert "(" not in table.loc["GFLOPs published", "trial 3"]
    points = trials.score[5] - trials.score[3]
    shown = table.loc[trials.metric, "trial 5"]
    assert float(shown.partition("(")[2].rstrip(")").replace("−", "-")) == pytest.approx(points, rel=0.01)
    assert table.loc[trials.metric, TSB] == "–"


def test_a_cost_differs_by_its_share() -> None:
    pair = {text: Chosen(text, Design.parse(text)) for text in ("vit_base@448", "vit_tiny@448")}
    table = comparison.side_by_side(pair, None)
    base, tiny = (cost.count(Design.parse(text)).params / 1e6 for text in pair)
    assert table.loc["parameters (M)", "vit_base@448"] == f"{base:.2f}"
    assert table.loc["parameters (M)", "vit_tiny@448"] == f"{tiny:.3f} (−{100 * (1 - tiny / base):.0f} %)"


def test_what_is_expected_is_what_predict_says(trials: Trials) -> None:
    tradeoff = filters.tradeoff(trials, "published", "gflops", "expected", True, Filters())
    rows = np.flatnonzero(tradeoff.shown)
    assert len(rows)
    told = predict.table([Design.parse(str(trials.designs[row])) for row in rows], "miou")
    assert tradeoff.y[rows] == pytest.approx(told["expected"])
    assert tradeoff.error is not None
    assert tradeoff.error[rows] == pytest.approx((told["expected_high"] - told["expected_low"]) / 2)
    assert tradeoff.axes[1].label == "expected mIoU (not measured)"


def test_no_number_without_its_interval_or_the_reason() -> None:
    found = predict.expect(Design.parse(TSB))
    words = expected.sentence(Design.parse(TSB), "box_ap")
    assert f"{found.mean:.1f} box AP, {found.low:.1f} to {found.high:.1f} in 80 % of cases" in words
    assert "not measured" in words
    unlike = expected.sentence(Design.parse("vit[depth=6,dim=96,heads=3]@224"), "box_ap")
    assert unlike.startswith("Its box AP cannot be predicted: ")
    assert "outside the published" in unlike


def test_an_order_names_the_better_one_or_cannot_tell() -> None:
    small, large = ("a", Design.parse(TSB)), ("b", Design.parse(LARGER))
    assert expected.order(small, large, "box_ap").startswith("The regression expects b to be better than a")
    assert expected.order(large, small, "box_ap").startswith("The regression expects b to be better than a")
    assert "cannot tell" in expected.order(small, small, "box_ap")
    assert expected.order(small, ("c", Design.parse("vit[depth=6,dim=96,heads=3]@224")), "box_ap") == ""


def test_slices_are_drawn_with_the_designs_own_choice_large(tmp_path: Path) -> None:
    found, _ = slices(read(EXAMPLE / "demo.journal", "demo"), [4, 12])
    figure = slice_plots(found[:2], ["trial 4", "<b>trial 12"])
    lines = [trace for trace in figure.data if trace.mode == "lines+markers"]
    assert len(lines) == 4
    assert {line.name for line in lines} == {"trial 4", "&lt;b&gt;trial 12"}
    first = lines[0]
    assert int(np.argmax(first.marker.size)) == found[0].place[0]
