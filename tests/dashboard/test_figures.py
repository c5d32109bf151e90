"""The figures, by what they hold: a pure function of columns needs no browser."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from piip_explore.dashboard.figures import cost as cost_figures
from piip_explore.dashboard.figures import front as fronts
from piip_explore.dashboard.figures import palette
from piip_explore.dashboard.figures import space as space_figures
from piip_explore.dashboard.figures import study as study_figures
from piip_explore.dashboard.figures import validity as validity_figures
from piip_explore.dashboard.figures.contents import ChartAxis, Points, Strip
from piip_explore.dashboard.figures.drawing import Scale, drawing
from piip_explore.dashboard.figures.miniature import miniature
from piip_explore.dashboard.figures.study import beside
from piip_explore.design import Design

AXES = (ChartAxis("GFLOPs", log=True), ChartAxis("score", maximize=True))


def points(count: int, front: list[int]) -> Points:
    x = np.linspace(1.0, 100.0, count)
    label = np.full(count, "", dtype=object)
    return Points(np.arange(count) + 10, x, np.sqrt(x), np.full(count, 0.5), label, np.array(front))


def traces(figure: object) -> dict[str, object]:
    return {trace.name: trace for trace in figure.data}  # type: ignore[attr-defined]


def test_every_mark_of_a_trial_carries_its_number() -> None:
    figure = fronts.chart(points(6, [0, 5]), AXES)
    found = traces(figure)
    assert found["trials"].customdata.tolist() == [11, 12, 13, 14]
    assert list(found["Pareto front"].customdata) == [10, 15]
    assert found["Pareto front"].error_y.visible
    assert figure.layout.xaxis.type == "log"


def test_ties_are_drawn_apart_with_their_numbers() -> None:
    figure = fronts.chart(replace(points(6, [0, 5]), tied=np.array([2])), AXES)
    assert traces(figure)["ties with the front"].customdata.tolist() == [12]
    assert "ties with the front" not in traces(fronts.chart(points(6, [0, 5]), AXES))


def test_the_staircase_turns_with_the_direction_of_the_cost() -> None:
    assert traces(fronts.chart(points(3, [0]), AXES))["Pareto front"].line.shape == "hv"
    other = (ChartAxis("throughput", maximize=True), AXES[1])
    assert traces(fronts.chart(points(3, [0]), other))["Pareto front"].line.shape == "vh"


def test_many_trials_become_a_density_that_counts_them_all() -> None:
    count = fronts.MOST_POINTS + 2
    figure = fronts.chart(points(count, [0]), AXES)
    heat = traces(figure)["trials per cell"]
    assert heat.z.sum() == count - 1
    assert heat.customdata is None


def test_published_designs_lie_on_a_strip_and_carry_no_trial() -> None:
    strip = Strip("published", np.array([3.0, 30.0]), ["a", "b"])
    figure = fronts.chart(points(4, [0]), AXES, [strip])
    found = traces(figure)["published"]
    assert found.yaxis == "y2"
    assert found.customdata is None
    assert figure.layout.yaxis2.domain[1] < figure.layout.yaxis.domain[0]


def test_the_figure_is_the_same_for_the_same_columns() -> None:
    assert fronts.chart(points(50, [0, 9]), AXES).to_json() == fronts.chart(points(50, [0, 9]), AXES).to_json()


def test_what_is_sent_of_ten_thousand_trials_is_small() -> None:
    assert len(fronts.chart(points(10_000, [0]), AXES).to_json()) < 500_000


@pytest.mark.parametrize(
    ("text", "lanes", "links"),
    [
        ("vit_base@448", 1, 0),
        ("vit_tiny@1120:w14 vit_small@896 vit_base@448; interactions=12; merge=linear", 3, 12 * 4),
        ("vit_small@672 vit_base@448; interactions=3; direction=up", 2, 3),
        ("vit_tiny@672 vit_small@448 vit_base@224; interactions=2; direction=all", 3, 2 * 6),
        ("vit_small@672 vit_base@448; interactions=0; merge=none", 2, 0),
        ("convnext_tiny@1024 vit_small@672 vit_base@448:w14; merge=conv-multilevel", 3, 12 * 4),
        ("vit_tiny@896 vit_small@672 vit_base@448 vit_large@224; merge=conv; out=1,4", 4, 12 * 6),
    ],
)
def test_the_drawing_has_a_lane_per_branch_and_an_arrow_per_interaction(text: str, lanes: int, links: int) -> None:
    design = Design.parse(text)
    figure = drawing(design)
    arrows = [note for note in figure.layout.annotations if note.showarrow]
    assert len(arrows) == links
    names = [note.text for note in figure.layout.annotations if note.text.startswith("<b>")]
    assert len(names) == lanes
    merging = [shape for shape in figure.layout.shapes if shape.type == "line"]
    assert len(merging) == (len(design.out) if lanes > 1 else 0)
    paths = [shape.path.count("M") for shape in figure.layout.shapes if shape.type == "path"]
    groups = design.interaction.count if design.interaction else 1
    branches = design.sorted().branches
    assert paths == [count for branch in branches for count in (groups, branch.spec.blocks)]


def test_drawings_on_one_scale_differ_in_height_as_resolutions_do() -> None:
    large, small = Design.parse("vit_small@896"), Design.parse("vit_tiny@336")
    scale = Scale.of([large, small])
    heights, cores = [], []
    for design in (large, small):
        lane, core = (figure_height(shape.path) for shape in drawing(design, scale).layout.shapes)
        heights.append(lane)
        cores.append(core / lane)
    assert heights[0] / heights[1] == pytest.approx(896 / 336, rel=1e-3)
    assert cores == pytest.approx([1.0, 192 / 384], rel=1e-3)


def figure_height(path: str) -> float:
    ys = [
        float(corner.split(",")[1]) for corner in path.replace("Z", "").replace("M", "L").split("L") if corner.strip()
    ]
    return max(ys) - min(ys)


def test_up_means_that_arrows_point_to_the_higher_resolution() -> None:
    figure = drawing(Design.parse("vit_base@448 vit_small@672; interactions=1; direction=up"))
    (arrow,) = [note for note in figure.layout.annotations if note.showarrow]
    assert arrow.y > arrow.ay, "the highest resolution is on top"


def test_cost_by_module_shows_units_and_shares() -> None:
    figure = cost_figures.by_module({"vit": (3_000_000_000, 2_000_000), "merge": (1_000_000_000, 0)}, "GFLOPs")
    assert list(figure.data[0].x) == [3.0, 1.0]
    assert figure.data[0].text[0] == "3 (75%)"
    assert list(figure.data[1].x) == [2.0, 0.0]


def test_side_by_side_keeps_every_flop() -> None:
    from piip_explore import cost

    designs = {
        text: cost.count(Design.parse(text)).by_module
        for text in ("vit_base@448", "vit_tiny@448 vit_small@336 vit_base@224; interactions=3")
    }
    figure = cost_figures.side_by_side(designs, "GFLOPs")
    drawn = np.sum([trace.x for trace in figure.data], axis=0)
    np.testing.assert_allclose(drawn, [sum(macs for macs, _ in found.values()) / 1e9 for found in designs.values()])


def test_designs_whose_names_begin_alike_have_a_bar_each() -> None:
    modules = {"vit": (3_000_000_000, 0)}
    names = ["vit_tiny@448 vit_small@336 vit_base@224; interactions=" + count for count in "36"]
    (bars,) = cost_figures.side_by_side(dict.fromkeys(names, modules), "GFLOPs").data
    assert len(set(bars.y)) == 2


def test_the_distribution_splits_at_the_budget() -> None:
    figure = space_figures.distribution(np.array([5, 7]), np.array([1.0, 10.0, 100.0]), 10.0)
    assert [trace.y.tolist() for trace in figure.data] == [[5], [7]]


def test_a_long_history_keeps_its_steps_and_its_end() -> None:
    count = 5000
    history = pd.DataFrame({"trial": np.arange(count), "hypervolume": np.arange(count) // 10, "done": np.arange(count)})
    line = study_figures.hypervolume(history, "done", "full runs").data[0]
    assert len(line.x) <= study_figures.MOST_STEPS
    assert line.x[-1] == count - 1
    assert sorted(set(line.y)) == sorted(set(range(count // 10)))


def test_accuracy_has_a_mark_per_predictor_and_question() -> None:
    table = pd.DataFrame(
        {
            "question": ["resolution", "resolution", "merging", "merging"],
            "predictor": ["proxy", "FLOPs"] * 2,
            "accuracy": [80.0, 90.0, 60.0, 50.0],
            "low": [70.0, 80.0, 40.0, 50.0],
            "high": [90.0, 95.0, 70.0, 50.0],
            "pairs": [10, 10, 4, 4],
        }
    )
    figure = validity_figures.accuracy(table)
    assert [trace.name for trace in figure.data] == ["proxy", "FLOPs"]
    assert list(figure.data[0].error_x.array) == [10.0, 10.0]
    assert list(figure.layout.yaxis.ticktext) == ["resolution<br>(10 pairs)", "merging<br>(4 pairs)"]


@pytest.mark.parametrize("text", ["vit_base@448", "vit_tiny@1120:w14 vit_small@896 vit_base@448; interactions=6"])
def test_the_miniature_names_every_branch_and_has_a_line_per_interaction(text: str) -> None:
    design = Design.parse(text)
    shown = miniature(design)
    for branch in design.branches:
        assert f">{branch.model} @ {branch.resolution}<" in shown
    assert shown.count(f"width:2px; background:{palette.GREY}") == (2 * 6 if len(design.branches) > 1 else 0)
    assert f"aria-label='Branches of {design}'" in shown


def test_the_miniature_shows_each_width_of_a_pyramid() -> None:
    design = Design.parse("convnext_tiny@448")
    heights = re.findall(r"height:([0-9.]+)px; background:linear", miniature(design))
    assert [float(height) / 36 for height in heights] == pytest.approx([96 / 768, 192 / 768, 384 / 768, 1], abs=0.01)


def test_losses_of_others_are_one_trace_with_gaps() -> None:
    figure = beside([(0, 3.0), (1, 2.0)], [[(0, 4.0), (1, 3.0)], [(0, 5.0)]])
    grey, own = figure.data
    assert np.isnan(np.asarray(grey.y, dtype=float)).tolist() == [False, False, True, False, True]
    assert list(own.y) == [3.0, 2.0]


def test_series_that_share_a_colour_have_other_symbols():
    assert len({palette.series(index) for index in range(24)}) == 24
