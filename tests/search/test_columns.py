import math

import numpy as np
import pandas as pd
import pytest

from piip_explore.errors import InputError
from piip_explore.search import columns, compare, details, importance, report
from piip_explore.search.evaluators import Outcome, Place
from piip_explore.search.launch import Request
from piip_explore.search.storage import COMPLETE, RUNNING
from piip_explore.testing.synthetic import evaluator
from tests.search.replayed import replayed_pool, start

SCORES = evaluator(replayed_pool(), noise=0.2)


def make(path, trials=20, name="s", sampler="random", seed=0, finish=True):
    study = start(replayed_pool(), SCORES, str(path), name, Request(trials=trials, sampler=sampler, seed=seed)).study
    while (task := study.next(Place("cpu"))) is not None:
        if not finish and len(study.ledger.rungs[0]) == trials:
            break
        study.complete(task, SCORES.evaluate(task, lambda share: None))
    return study


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    path = tmp_path_factory.mktemp("columns") / "s.journal"
    make(path)
    return path


@pytest.fixture(scope="module")
def study(path):
    return columns.read(path, "s")


def test_the_front_is_optunas(path, study):
    import optuna

    storage = optuna.storages.JournalStorage(optuna.storages.journal.JournalFileBackend(str(path)))
    best = optuna.load_study(study_name="s", storage=storage).best_trials
    assert {trial.number for trial in best} == set(study.number[study.front()].tolist())
    assert np.all(np.diff(study.values[study.front(), 1]) > 0), "the cheapest comes first"


def test_within_bounds_an_objective(study):
    bound = float(np.median(study.values[:, 1]))
    rows = study.front({"gflops": bound})
    assert (study.values[rows, 1] <= bound).all()
    assert set(rows) == {row for row in study.front() if study.values[row, 1] <= bound}
    assert (study.values[study.front({"score": 45.0}), 0] >= 45.0).all()


def test_conditions_become_columns(study):
    assert set(study.attributes["device"]) == {"cpu"}
    assert "conditions" not in study.attributes
    assert study.record["accounting"] == "published"


def test_a_reader_reads_what_is_new(tmp_path):
    running = make(tmp_path / "s.journal", 5, finish=False)
    reader = columns.Reader(tmp_path / "s.journal", "s")
    first = reader.refresh()
    assert reader.refresh() is first
    assert first.unfinished == 4
    task = next(iter(running.books.claimed))
    running.complete(task, Outcome("ok", 50.0, None, 1.0))
    second = reader.refresh()
    assert (first.state[4], second.state[4]) == (RUNNING, COMPLETE)
    assert second.unfinished == 5
    assert second.since(4).values[:, 0].tolist() == [50.0]
    assert columns.read(tmp_path / "s.journal", "s", since=3).number.tolist() == [3, 4]


def test_an_empty_study_has_columns(tmp_path):
    start(replayed_pool(), SCORES, str(tmp_path / "s.journal"), "s", Request())
    empty = columns.read(tmp_path / "s.journal", "s")
    assert len(empty) == 0
    assert empty.front().tolist() == []
    assert empty.unfinished == 0
    assert report.front_text(empty) == "No design is evaluated in full yet."
    assert report.summary(empty)["front"] == []
    assert len(report.history(empty)) == 0


def test_a_bound_that_nothing_meets_is_said(study):
    assert (
        report.front_text(study, {"gflops": 1.0})
        == "None of the 20 designs that are evaluated in full is within gflops 1."
    )


def test_columns_come_in_the_order_in_which_they_are_written(study):
    assert list(study.attributes)[:4] == ["design", "id", "fidelity", "rung"]
    assert next(iter(study.params)).startswith("branch1.")


def test_the_front_as_text_says_what_it_depends_on(study):
    text = report.front_text(study)
    assert len(text.splitlines()) == len(study.front()) + 2
    assert "published accounting" in text
    assert "±" in text
    assert text.count("knee") == 1
    assert "seed 0" in text
    assert "code replay" in text


def test_history_counts_the_hours_of_failed_trials_too(tmp_path):
    study = start(replayed_pool(), SCORES, str(tmp_path / "s.journal"), "s", Request(trials=3, sampler="random")).study
    for outcome in (Outcome("ok", 40.0, None, 1800.0), Outcome("diverged", math.nan, None, 900.0)):
        study.complete(study.next(Place("cpu")), outcome)
    study.complete(study.next(Place("cpu")), Outcome("ok", 41.0, None, 3600.0))
    history = report.history(columns.read(tmp_path / "s.journal", "s"))
    assert history["gpu_hours"].tolist() == pytest.approx([0.5, 1.75])


def test_history_rises_to_the_hypervolume_of_the_end(study):
    history = report.history(study)
    assert history["hypervolume"].is_monotonic_increasing
    assert history["gpu_hours"].is_monotonic_increasing
    assert history["hypervolume"].iloc[-1] == pytest.approx(report.summary(study)["hypervolume"])


@pytest.mark.parametrize(
    ("ending", "reader"), [("csv", pd.read_csv), ("parquet", pd.read_parquet), ("json", pd.read_json)]
)
def test_tables_read_back(study, tmp_path, ending, reader):
    out = tmp_path / f"trials.{ending}"
    report.write_table(report.trials_table(study), out)
    table = reader(out)
    assert table["score"].to_numpy() == pytest.approx(study.values[:, 0])
    assert table["attribute:design"].tolist() == study.attributes["design"].tolist()
    with pytest.raises(InputError, match="exists: name another file"):
        report.write_table(report.trials_table(study), out)
    report.write_table(report.trials_table(study), out, force=True)


def test_a_table_of_another_kind_is_refused(study, tmp_path):
    with pytest.raises(InputError, match=r"ends in \.csv, \.parquet, \.json"):
        report.write_table(report.front_table(study), tmp_path / "front.xlsx")


def test_details_by_number_text_and_id(study):
    (by_number,) = details.details(study, "3")
    design = study.attributes["design"][3]
    assert details.details(study, design) == [by_number]
    assert details.details(study, study.attributes["id"][3]) == [by_number]
    assert by_number["values"]["score"] == study.values[3, 0]
    assert design in details.details_text([by_number])
    with pytest.raises(InputError, match="has no trial 99: it has 20 trials"):
        details.details(study, "99")
    with pytest.raises(InputError, match="has no trial of 'vit_huge@448'"):
        details.details(study, "vit_huge@448")


def test_a_better_study_wins_the_comparison(study, tmp_path):
    make(tmp_path / "b.journal", 60, "b", "gp")
    better = columns.read(tmp_path / "b.journal", "b")
    result = compare.compare(study, better)
    assert result.hypervolume[1] > result.hypervolume[0]
    assert max(result.hypervolume) <= result.together
    assert result.covered[0] > result.covered[1]
    assert (result.trials, result.studies) == ((20, 60), ("s", "b"))
    table = result.attainment
    assert table["gflops"].is_monotonic_increasing
    for place in (1, 2):
        assert table.iloc[:, place].dropna().is_monotonic_increasing
    row = table.iloc[len(table) // 2]
    affordable = better.values[better.values[:, 1] <= row["gflops"], 0]
    assert row.iloc[2] == pytest.approx(affordable.max())
    assert "hypervolume" in compare.to_text(result)
    assert compare.to_json(result)["attainment"][0]["gflops"] == table["gflops"][0]


def test_differences_are_told(study, tmp_path):
    make(tmp_path / "c.journal", 12, "c", seed=5)
    assert compare.compare(study, columns.read(tmp_path / "c.journal", "c")).differences == ("seed: 0 / 5",)


def test_importance_finds_the_axis_that_decides(tmp_path):
    pool = replayed_pool()
    study = start(pool, SCORES, str(tmp_path / "s.journal"), "s", Request(trials=120, sampler="random")).study
    while (task := study.next(Place("cpu"))) is not None:
        number = study.books.claimed[task]
        decided = 10.0 * (study.store.table.params["direction"][number] == "up")
        study.complete(task, Outcome("ok", decided, None, 1.0))
    table = importance.importance(columns.read(tmp_path / "s.journal", "s"))
    assert table["axis"][0] == "direction"
    assert table["score"][0] > 0.95
    assert table["gflops"][0] < 0.05
    assert table[["score", "gflops"]].sum().tolist() == pytest.approx([1, 1])
    assert table.attrs["r2"]["score"] > 0.9


def test_importance_needs_enough_runs(tmp_path):
    make(tmp_path / "s.journal", 4)
    with pytest.raises(InputError, match="needs 12 full runs or more"):
        importance.importance(columns.read(tmp_path / "s.journal", "s"))
