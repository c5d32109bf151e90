from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from piip_explore.dashboard.figures.contents import ChartAxis
from piip_explore.dashboard.inspector import step
from piip_explore.dashboard.sentence import contradiction, sentence
from piip_explore.dashboard.tradeoff import Tradeoff, inside, marks, strips
from piip_explore.dashboard.trials import front_rows, of
from piip_explore.search.columns import read
from tests.dashboard import synthetic


@pytest.fixture(scope="module")
def tradeoff(tmp_path_factory: pytest.TempPathFactory) -> Tradeoff:
    path = tmp_path_factory.mktemp("tradeoff") / "demo.journal"
    synthetic.write(path, "demo", 60)
    trials = of(read(path, "demo"), {})
    x, y = trials.floats("gflops_published"), trials.score
    axes = (ChartAxis("GFLOPs (published)", log=True, unit="GFLOPs"), ChartAxis("score", maximize=True, unit="mIoU"))
    return Tradeoff(trials, axes, x, y, trials.scored, front_rows(x, y, axes, trials.scored), trials.error)


def small(tradeoff: Tradeoff) -> Tradeoff:
    x, y = np.array([1.0, 10.0, 100.0, 1000.0]), np.array([1.0, 2.0, 3.0, 4.0])
    return replace(tradeoff, x=x, y=y, shown=np.ones(4, dtype=bool), front=np.arange(4))


def test_the_best_within_a_budget_is_the_best(tradeoff: Tradeoff) -> None:
    budget = float(np.median(tradeoff.x[tradeoff.shown]))
    within = tradeoff.shown & (tradeoff.x <= budget)
    assert tradeoff.y[tradeoff.best(budget)] == tradeoff.y[within].max()
    assert tradeoff.y[tradeoff.best(None)] == tradeoff.y[tradeoff.shown].max()
    assert tradeoff.best(0.0) is None


def test_marks_point_out_knee_best_pins_and_selection(tradeoff: Tradeoff) -> None:
    budget = float(np.median(tradeoff.x))
    failed = int(np.flatnonzero(tradeoff.trials.unscored["failed"])[0])
    found = marks(tradeoff, budget, [failed, 3], {5: "red"})
    assert [(mark.label, mark.trial, mark.selected) for mark in found] == [
        ("knee", tradeoff.knee, False),
        ("best in budget", tradeoff.best(budget), False),
        ("trial 5", 5, False),
        (f"trial {failed}", failed, True),
        ("" if 3 in (tradeoff.knee, tradeoff.best(budget)) else "trial 3", 3, True),
    ]
    assert found[3].y is None, "a failed run has no score to be drawn at"


def test_the_sentence_follows_the_budget(tradeoff: Tradeoff) -> None:
    small_tradeoff = small(tradeoff)
    assert sentence(small_tradeoff, None).startswith("Of 4 trials the best is trial 3: 4")
    assert sentence(small_tradeoff, 50.0).endswith("; trial 0 costs 90 % less and scores 1.0 less.")
    assert sentence(small_tradeoff, 0.5) == "No trial costs less than 0.5 GFLOPs."
    scored = sentence(tradeoff, None)
    best = tradeoff.best(None)
    assert f"trial {best}: " in scored
    assert "one seed, ± 0.4" in scored
    unknown = replace(tradeoff.trials, columns=replace(tradeoff.trials.columns, attributes=unsure(tradeoff)))
    assert "one seed, no error known" in sentence(replace(tradeoff, trials=unknown), None)


def unsure(tradeoff: Tradeoff) -> pd.DataFrame:
    return tradeoff.trials.columns.attributes.drop(columns="standard_error")


def test_ties_are_the_trials_that_noise_cannot_tell_from_the_front(tradeoff: Tradeoff) -> None:
    y = tradeoff.trials.score
    for row in tradeoff.tied:
        better = tradeoff.shown & (tradeoff.x <= tradeoff.x[row]) & (y > y[row])
        assert better.any(), "it is off the front"
        assert (y[better & np.isin(np.arange(len(y)), tradeoff.front)] - y[row]).max() <= np.hypot(0.4, 0.4)
    assert len(tradeoff.tied)
    points = tradeoff.points()
    assert points.trial[points.tied].tolist() == tradeoff.tied.tolist()
    assert not len(replace(tradeoff, y=tradeoff.trials.floats("params")).tied), "only scores have noise"


def test_failed_trials_and_published_designs_lie_beside_the_chart(tradeoff: Tradeoff) -> None:
    found = {strip.name: strip for strip in strips(tradeoff, "published")}
    assert set(found) == {"failed", "published", "single branch"}
    assert found["failed"].trial.tolist() == np.flatnonzero(tradeoff.trials.unscored["failed"]).tolist()
    assert found["published"].trial is None
    assert all("box AP" in card or "mIoU" in card or "top-1" in card for card in found["published"].cards)
    other = replace(tradeoff, axes=(ChartAxis("parameters (M)"), tradeoff.axes[1]))
    assert {strip.name for strip in strips(other, "published")} == {"failed"}


def test_boxes_and_lassos_hold_what_lies_inside(tradeoff: Tradeoff) -> None:
    box = {"boxes": [{"x": [50.0, 5.0], "y": [0.0, 9.0]}], "lassos": []}
    assert inside(box, small(tradeoff)).tolist() == [False, True, False, False]
    # In log x the triangle holds 10 and 100; drawn in linear x it would miss 10.
    lasso = {"boxes": [], "lassos": [{"x": [2.0, 500.0, 500.0], "y": [1.5, 1.5, 9.0]}]}
    assert inside(lasso, small(tradeoff)).tolist() == [False, True, True, False]


def test_steps_along_the_front_stop_at_its_ends() -> None:
    rows = np.array([4, 9, 2])
    assert step(rows, [], 1) == 4
    assert step(rows, [77], -1) == 2
    assert step(rows, [4], 1) == 9
    assert step(rows, [2], 1) == 2


def judged(tradeoff: Tradeoff, kind: str) -> Tradeoff:
    """Four trials as a proxy, or something else, might score them: a design that cannot be read, then a single ViT-B
    above T+S+B without interactions and, off the front, with them."""
    pyramid = "vit_tiny@1120:w14 vit_small@896:w14 vit_base@448:w14"
    designs = ["nothing", f"{pyramid}; interactions=0", pyramid, "vit_base@1024:w14g3"]
    found = tradeoff.trials.columns.select(np.arange(4))
    record = {
        **found.record,
        "evaluator": {"kind": kind},
        "space": {"task": "detection"},
        "objectives": ["score", "gflops"],
    }
    columns = replace(found, record=record, attributes=found.attributes.assign(design=designs))
    values = np.column_stack([[29.0, 30.4, 30.3, 32.2], [100.0, 176.0, 243.0, 463.0]])
    trials = of(replace(columns, values=values), {})
    return replace(
        tradeoff, trials=trials, x=values[:, 1], y=trials.score, shown=np.ones(4, bool), front=np.array([0, 1, 3])
    )


def test_what_is_expected_is_said_to_contradict_a_proxys_score(tradeoff: Tradeoff) -> None:
    found = judged(tradeoff, "proxy")
    assert [(one.better, one.worse, one.question) for one in found.objections] == [(2, 1, "interactions")]
    words = contradiction(found)
    assert words.startswith("What full training is expected to give contradicts the score here: trial 2 above 1 (inter")
    assert contradiction(judged(tradeoff, "command")) == ""
    assert contradiction(replace(found, y=found.x)) == "", "another axis than the score"
    assert contradiction(found.narrowed(np.array([0, 1, 3]))) == ""
