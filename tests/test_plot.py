"""The dashboard's figures as functions of a study: what they hold."""

from __future__ import annotations

import pytest

from piip_explore import Design, cost, plot
from piip_explore.errors import InputError
from piip_explore.search import columns, importance
from tests.search.test_columns import make
from tests.test_notebook import EXAMPLE


@pytest.fixture(scope="module")
def study():
    return columns.read(EXAMPLE, "demo")


def test_the_front_is_the_study_s(study):
    figure = plot.front(study, max_gflops=40)
    (drawn,) = (trace for trace in figure.data if trace.name == "Pareto front")
    assert drawn.customdata.tolist() == study.number[study.front()].tolist()
    assert drawn.y.tolist() == study.values[study.front(), 0].tolist()
    assert figure.layout.xaxis.title.text.startswith("GFLOPs")
    assert any(shape.x0 == shape.x1 == 40 for shape in figure.layout.shapes)
    assert "knee" in " ".join(str(trace.text) for trace in figure.data)
    removed = figure.layout.modebar.remove
    assert removed == ("sendChartToCloud", "select2d", "lasso2d"), "a notebook would offer to upload, or select in vain"


@pytest.mark.slow
def test_hypervolume_and_importance_are_those_of_the_commands(study):
    (line,) = plot.hypervolume(study).data
    assert len(line.x) == study.full.sum()
    (bars,) = plot.importance(study).data
    table = importance.importance(study)
    assert list(bars.x) == sorted(table["score"])


@pytest.mark.slow
def test_the_parts_of_a_design_are_those_of_its_cost():
    text = "vit_tiny@448 vit_base@224; merge=linear"
    flops, parameters = plot.parts(text, "built").data
    counted = cost.count(Design.parse(text), "built")
    assert sum(flops.x) == pytest.approx(counted.gflops)
    assert sum(parameters.x) == pytest.approx(counted.mparams)
    assert plot.parts(Design.parse(text), "built") == plot.parts(text, "built")


def test_a_study_without_a_score_is_a_sentence(tmp_path):
    make(tmp_path / "s.journal", 1, finish=False)
    with pytest.raises(InputError, match="study 's' has no design that is evaluated in full yet"):
        plot.front(columns.read(tmp_path / "s.journal", "s"))
