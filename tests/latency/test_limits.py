"""Latency as a column, a limit and an objective that is known before training."""

import json

import numpy as np
import pytest

from piip_explore import Design, SearchSpace
from piip_explore.cli import main
from piip_explore.errors import InputError
from piip_explore.latency import enumerate_space, load
from piip_explore.latency.device_profile import path_of
from piip_explore.search import columns
from piip_explore.search import pool as pools
from piip_explore.search.evaluators import Outcome, Place
from piip_explore.search.launch import Request, launch
from piip_explore.search.pool import Limits
from piip_explore.search.predicted import latency_ms
from piip_explore.search.recommend import recommend
from piip_explore.testing.synthetic import evaluator
from tests.latency.made import SPACE, made_profile


@pytest.fixture
def space():
    return SearchSpace.parse(SPACE, "test")


@pytest.fixture
def middle(space):
    """The median latency of the space on the made-up device, in milliseconds."""
    return float(np.median(1e3 * made_profile(space).model.column(space.columns())))


def test_limits_keep_what_is_predicted_to_be_fast(space, middle):
    table = enumerate_space(space, max_latency_ms=f"{middle}@box")
    latency = 1e3 * load("box").model.column(table.columns)
    assert 0.45 * space.size < len(table) < 0.55 * space.size
    assert latency.max() <= middle
    own = SearchSpace.parse(SPACE.replace("yes}", f"yes, max_latency_ms: {middle}@box}}"), "test")
    assert own.constraints.max_latency_ms == f"{middle:g}@box"
    assert abs(len(enumerate_space(own)) - len(table)) <= 2  # the text has six digits
    with pytest.raises(InputError, match=r"within 0.001 ms on box: the fastest is predicted to take"):
        enumerate_space(space, max_latency_ms="0.001@box")


@pytest.mark.parametrize("text", ["25", "@box", "25@", "fast@box", "-1@box", "nan@box", "inf@box"])
def test_a_limit_that_is_none(space, text):
    with pytest.raises(InputError, match=f"latency limit '{text}': expected milliseconds@profile, such as 25@h100"):
        enumerate_space(space, max_latency_ms=text)


def test_a_space_file_says_where_its_limit_is_wrong():
    with pytest.raises(InputError, match=r"test, line 8, constraints.max_latency_ms: latency limit '25 ms'"):
        SearchSpace.parse(SPACE.replace("yes}", "yes, max_latency_ms: 25 ms}"), "test")


def test_enumerate_writes_the_column(space, middle, tmp_path, capsys):
    import pandas as pd

    (tmp_path / "small.yaml").write_text(SPACE)
    arguments = ["--latency", "box", "--max-latency-ms", f"{middle}@box", "--out", "all.parquet"]
    main(["enumerate", "small.yaml", *arguments])
    assert "5.0 % on average" in capsys.readouterr().out
    table = pd.read_parquet("all.parquet")
    assert table["latency_ms"].max() <= middle
    assert np.allclose(table["latency_error_ms"], 0.05 * table["latency_ms"])
    row = table.iloc[7]
    design = Design.parse(f"{row.branch_1} {row.branch_2}; {row.options}")
    assert row.latency_ms == pytest.approx(1e3 * load("box").model.seconds(design))


def test_a_search_for_score_against_latency_filters_before_training(space, middle, tmp_path):
    bound = f"{middle:g}@box"
    pool = pools.load(space, Limits(max_latency_ms=bound), "published", ["box"])
    assert pool.costs["latency@box"].max() <= float(f"{middle:g}")
    assert 0.4 * space.size < len(pool) < 0.6 * space.size
    scores = evaluator(pool, noise=0.1)
    request = Request(trials=12, objectives=("score", "latency@box"), max_latency_ms=bound)
    started = launch(space, scores, "s", tmp_path / "s.journal", request)
    assert started.sampler.name == "gp", "a cost that is known before training"
    while (task := started.study.next(Place("cpu"))) is not None:
        started.study.complete(task, scores.evaluate(task, lambda share: None))
    found = columns.read(tmp_path / "s.journal", "s")
    assert len(found) == 12
    model = load("box").model
    for row in range(len(found)):
        latency = 1e3 * model.seconds(Design.parse(found.attributes["design"][row]))
        assert found.values[row, 1] == pytest.approx(latency)
        assert latency <= float(f"{middle:g}")
    assert np.allclose(latency_ms(found, load("box")), found.values[:, 1])
    assert found.record["profiles"] == {"box": load("box").date}
    answer = recommend(found, {"latency_ms@box": middle / 2}, {"latency_ms@box": latency_ms(found, load("box"))})
    fast = [row for row in range(12) if found.values[row, 1] <= middle / 2]
    assert sorted(answer.within.tolist()) == fast


def test_a_study_goes_on_only_with_the_profile_it_has(space, middle, tmp_path):
    bound = f"{middle:g}@box"
    pool = pools.load(space, Limits(max_latency_ms=bound), "published")
    scores = evaluator(pool)

    def go(most):
        request = Request(trials=4, objectives=("score", "gflops"), max_latency_ms=most)
        return launch(space, scores, "s", tmp_path / "s.journal", request)

    go(bound)
    go(bound)
    with pytest.raises(InputError, match=r"max_latency_ms: .* in the study, .* now"):
        go(f"{middle / 2:g}@box")
    go(f"{2 * middle:g}@box")
    path_of("box").unlink()
    made_profile(space, date="2026-02-02T00:00:00+00:00")
    with pytest.raises(InputError, match=r"device profile box: measured 2026-01-01.* in the study, 2026-02-02.* now"):
        go(f"{2 * middle:g}@box")


def test_recommend_and_pareto_predict_for_any_study(space, middle, tmp_path, capsys):
    pool = pools.load(space, Limits(), "published")
    scores = evaluator(pool, noise=0.1)
    started = launch(space, scores, "s", "studies/s.journal", Request(trials=20, sampler="random"))
    while (task := started.study.next(Place("cpu"))) is not None:
        outcome = scores.evaluate(task, lambda share: None)
        assert isinstance(outcome, Outcome)
        started.study.complete(task, outcome)
    found = columns.read("studies/s.journal", "s")
    latency = latency_ms(found, load("box"))
    main(["recommend", "s", "--max-latency-ms", f"{middle}@box", "--json"])
    told = json.loads(capsys.readouterr().out)
    assert told["within"] == (latency <= middle).sum()
    assert told["simplest"]["latency_ms@box"] <= middle
    assert "5.0 % on average" in told["latency_conditions"][0]
    main(["recommend", "s", "--max-latency-ms", f"{middle}@box"])
    assert f"limit latency_ms@box {middle:g}" in capsys.readouterr().out
    main(["pareto", "s", "--max-latency-ms", f"{middle}@box", "--latency", "box", "--json"])
    front = json.loads(capsys.readouterr().out)["front"]
    assert front
    assert all(entry["latency_ms"] <= middle for entry in front)
