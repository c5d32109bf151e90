from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from piip_explore.dashboard.figures.front import Axis
from piip_explore.dashboard.scene import Scene, inside, marked, step, strips
from piip_explore.dashboard.trials import front_rows, of
from piip_explore.search.columns import read
from tests.dashboard import synthetic


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Scene:
    path = tmp_path_factory.mktemp("scene") / "demo.journal"
    synthetic.write(path, "demo", 60)
    trials = of(read(path, "demo"), {})
    x, y = trials.floats("gflops_published"), trials.score
    axes = (Axis("GFLOPs (published)", log=True), Axis("score", maximize=True))
    return Scene(trials, axes, x, y, trials.scored, front_rows(x, y, axes, trials.scored), None)


def small(scene: Scene) -> Scene:
    x, y = np.array([1.0, 10.0, 100.0, 1000.0]), np.array([1.0, 2.0, 3.0, 4.0])
    return replace(scene, x=x, y=y, shown=np.ones(4, dtype=bool), front=np.arange(4))


def test_the_best_within_a_budget_is_the_best(scene: Scene) -> None:
    budget = float(np.median(scene.x[scene.shown]))
    limited = replace(scene, budget=budget)
    within = scene.shown & (scene.x <= budget)
    assert scene.y[limited.best] == scene.y[within].max()
    assert scene.y[scene.best] == scene.y[scene.shown].max()
    assert replace(scene, budget=0.0).best is None


def test_marks_point_at_trials_of_the_front(scene: Scene) -> None:
    limited = replace(scene, budget=float(np.median(scene.x)))
    points = limited.points()
    names = {mark.name: int(points.trial[mark.row]) for mark in marked(limited, points)}
    assert names == {"knee": scene.knee, "best in budget": limited.best}
    assert scene.knee in scene.front


def test_ties_are_the_trials_that_noise_cannot_tell_from_the_front(scene: Scene) -> None:
    y = scene.trials.score
    for row in scene.tied:
        better = scene.shown & (scene.x <= scene.x[row]) & (y > y[row])
        assert better.any(), "it is off the front"
        assert (y[better & np.isin(np.arange(len(y)), scene.front)] - y[row]).max() <= np.hypot(0.4, 0.4)
    assert len(scene.tied)
    points = scene.points()
    assert points.trial[points.tied].tolist() == scene.tied.tolist()
    assert not len(replace(scene, y=scene.trials.floats("params")).tied), "only scores have noise"


def test_failed_trials_and_published_designs_lie_beside_the_chart(scene: Scene) -> None:
    found = {strip.name: strip for strip in strips(scene, "published")}
    assert set(found) == {"failed", "published", "single branch"}
    assert found["failed"].trial.tolist() == np.flatnonzero(scene.trials.unscored["failed"]).tolist()
    assert found["published"].trial is None
    assert all("box AP" in card or "mIoU" in card or "top-1" in card for card in found["published"].cards)
    other = replace(scene, axes=(Axis("parameters (M)"), scene.axes[1]))
    assert {strip.name for strip in strips(other, "published")} == {"failed"}


def test_the_hypervolume_is_a_share(scene: Scene) -> None:
    assert 0 < scene.hypervolume() < 1
    # Of a staircase rising evenly in both, half a square less the steps: 1 - (1 + 2 + 3) / 9 = 1/3 is dominated.
    even = replace(small(scene), x=np.array([0.0, 1.0, 2.0, 3.0]))
    assert even.hypervolume() == pytest.approx(1 / 3)


def test_boxes_and_lassos_hold_what_lies_inside(scene: Scene) -> None:
    box = {"selection": {"box": [{"x": [50.0, 5.0], "y": [0.0, 9.0]}], "lasso": []}}
    assert inside(box, small(scene)).tolist() == [False, True, False, False]
    # In log x the triangle holds 10 and 100; drawn in linear x it would miss 10.
    lasso = {"selection": {"lasso": [{"x": [2.0, 500.0, 500.0], "y": [1.5, 1.5, 9.0]}]}}
    assert inside(lasso, small(scene)).tolist() == [False, True, True, False]


def test_steps_along_the_front_stop_at_its_ends() -> None:
    rows = np.array([4, 9, 2])
    assert step(rows, [], 1) == 4
    assert step(rows, [77], -1) == 2
    assert step(rows, [4], 1) == 9
    assert step(rows, [2], 1) == 2
