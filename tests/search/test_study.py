"""Studies without processes: what is handed out, and what becomes of it."""

import math
from dataclasses import replace
from pathlib import Path

import pytest

from piip_explore.errors import InputError
from piip_explore.search.columns import read
from piip_explore.search.evaluators import Outcome
from piip_explore.search.landscape import evaluator
from piip_explore.search.launch import Request
from piip_explore.search.pool import Limits
from piip_explore.search.storage import COMPLETE, FAIL, PRUNED, RUNNING, WAITING
from tests.search.replayed import SPACE, replayed_pool, start

SCORES = evaluator(replayed_pool())


@pytest.fixture
def path(tmp_path):
    return str(tmp_path / "s.journal")


def study_of(path, trials=6, text=SPACE, **more):
    return start(replayed_pool(text), SCORES, path, "s", Request(trials=trials, sampler="random", **more)).study


def ended(study):
    """End a study as its process' death would: the lease is gone, the storage is as it was."""
    study.store.leave()


def work_off(study):
    done = []
    while (task := study.next("cpu")) is not None:
        study.complete(task, SCORES.evaluate(task, lambda share: None))
        done.append(task.design_id)
    return done


def test_a_budget_is_evaluated_without_repetition(path):
    study = study_of(path, 20)
    done = work_off(study)
    assert len(set(done)) == len(done) == 20
    assert study.done
    found = read(path, "s")
    assert found.full.sum() == 20
    assert found.values[:, 0].tolist() == [SCORES.scores[i] for i in found.attributes["id"]]
    assert set(found.attributes) >= {
        "design", "id", "fidelity", "rung", "seed", "gflops_published", "gflops_built", "params", "worker",
        "seconds", "device", "code_version", "kernel_backend",
    }  # fmt: skip


def test_a_larger_budget_goes_on_and_a_met_one_does_nothing(path):
    first = study_of(path, 5)
    done = work_off(first)
    ended(first)
    again = study_of(path, 5)
    assert again.done
    assert again.next("cpu") is None
    ended(again)
    more = work_off(study_of(path, 9))
    assert len(more) == 4
    assert not set(done) & set(more)


def test_a_study_that_died_is_taken_up_where_it_was(path):
    study = study_of(path, 3)
    finished, lost = study.next("cpu"), study.next("cpu")
    study.complete(finished, SCORES.evaluate(finished, lambda share: None))
    ended(study)
    again = study_of(path, 3)
    task = again.next("cpu")
    assert task.design_id == lost.design_id
    assert again.store.table.state == [COMPLETE, FAIL, RUNNING]
    assert again.store.table.attributes_of(2)["retry_of"] == 1
    assert again.store.table.attributes_of(1)["failure"] == "the search that ran it ended without a word"


def test_another_search_that_lives_is_left_alone(path):
    study, other = study_of(path, 2), study_of(path, 2)
    mine, theirs = study.next("cpu"), other.next("cpu")
    assert mine.design_id != theirs.design_id
    assert study.next("cpu") is None
    assert not study.done, "the other may still fail"
    other.complete(theirs, SCORES.evaluate(theirs, lambda share: None))
    study.complete(mine, SCORES.evaluate(mine, lambda share: None))
    assert study.next("cpu") is None
    assert study.done


def test_a_design_that_kills_three_workers_is_poison(path):
    study = study_of(path, 2)
    killer = study.next("cpu")
    for _ in range(2):
        study.lost(killer, "killed")
        assert study.store.table.state[-1] == WAITING
        killer = study.next("cpu")
    study.lost(killer, "killed")
    states = study.store.table.state
    assert states == [FAIL] * 3
    assert study.store.table.attributes_of(2)["final"] is True
    assert "given up" in study.store.table.attributes_of(2)["failure"]
    other = study.next("cpu")
    assert other.design_id != killer.design_id
    study.complete(other, SCORES.evaluate(other, lambda share: None))
    assert study.done


def test_a_design_that_takes_the_machine_down_is_given_up_in_the_end(path):
    for _ in range(6):
        study = study_of(path, 1)
        assert study.next("cpu") is not None
        ended(study)
    study = study_of(path, 1)
    assert study.next("cpu") is None
    assert study.done
    assert study.store.table.state == [FAIL] * 6


def test_a_kill_between_requeueing_and_failing_queues_once(path):
    study = study_of(path, 1)
    study.next("cpu")
    finish, study.store.finish = study.store.finish, lambda *_: (_ for _ in ()).throw(KeyboardInterrupt)
    with pytest.raises(KeyboardInterrupt):
        study.lost(next(iter(study.claimed)), "killed")
    study.store.finish = finish
    ended(study)
    again = study_of(path, 1)
    work_off(again)
    assert sorted(again.store.table.state) == sorted([FAIL, COMPLETE])


def test_a_search_that_was_only_silent_does_not_cause_a_second_evaluation(path):
    study, other = study_of(path, 1), study_of(path, 1)
    task = study.next("cpu")
    other.store.alive = lambda lease: False
    other.sampler = None  # nothing new is to be proposed
    with other.store.lock():
        other._refresh()
        other._take_back()
    assert read(path, "s").state.tolist() == [FAIL, WAITING]
    study.complete(task, SCORES.evaluate(task, lambda share: None))
    assert study.store.table.state == [FAIL, COMPLETE], "the one that waits is claimed for the result at hand"
    assert other.next("cpu") is None
    assert other.done


def test_what_a_slow_search_finishes_counts_though_another_has_taken_it_over(path):
    study, other = study_of(path, 1), study_of(path, 1)
    task = study.next("cpu")
    alive, other.store.alive = other.store.alive, lambda lease: False
    again = other.next("cpu")
    other.store.alive = alive
    assert again == task
    study.complete(task, SCORES.evaluate(task, lambda share: None))
    assert read(path, "s").state.tolist() == [FAIL, COMPLETE]
    assert read(path, "s").attributes["worker"][1]["lease"] == study.lease
    other.complete(again, Outcome("ok", 1.0, None, 1.0))
    assert read(path, "s").values[1, 0] == SCORES.scores[task.design_id]
    assert other.done
    assert study.next("cpu") is None
    assert study.done


def test_a_trial_whose_creation_was_not_answered_is_not_evaluated_beside_its_second(path):
    study = study_of(path, 1)
    create, numbers = study.store.create, []

    def create_twice(trial, state):
        """What a storage does that repeats a creation, because the connection ended before the answer came."""
        numbers.append(create(trial, state))
        return create(trial, state)

    study.store.create = create_twice
    task = study.next("cpu")
    study.store.create = create
    assert study.next("cpu") is None, "the first is no other search's, and not to be evaluated"
    study.complete(task, SCORES.evaluate(task, lambda share: None))
    assert study.store.table.state == [FAIL, COMPLETE]
    assert study.store.table.attributes_of(0)["superseded_by"] == 1
    assert study.done


def test_one_of_two_trials_of_a_design_counts(path):
    """Two searches that both believed to hold the lock: its connection was cut."""
    study, other = study_of(path, 1), study_of(path, 1)
    other.store.refresh = set  # sees nothing of the first
    one, two = study.next("cpu"), other.next("cpu")
    del other.store.refresh
    assert one == two
    study.complete(one, SCORES.evaluate(one, lambda share: None))
    other.complete(two, SCORES.evaluate(two, lambda share: None))
    assert read(path, "s").state.tolist() == [COMPLETE, FAIL]
    assert read(path, "s").attributes["superseded_by"][1] == 0


def test_what_is_put_back_comes_first_and_keeps_its_number(path):
    study = study_of(path, 3)
    task = study.next("cpu")
    study.put_back(task)
    assert study.store.table.state == [WAITING]
    assert study.next("cpu").design_id == task.design_id
    assert study.store.table.state == [RUNNING]


@pytest.mark.parametrize(
    ("outcome", "reason"),
    [
        (Outcome("diverged", math.nan, None, 3.0, message="loss 9e9"), "diverged: loss 9e9"),
        (Outcome("infeasible", math.nan, None, 0.0, message="no"), "infeasible: no"),
        (Outcome("ok", math.nan, None, 1.0), "ok: an objective is not a number"),
    ],
)
def test_an_outcome_without_a_score_fails_for_good(path, outcome, reason):
    study = study_of(path, 1)
    study.complete(study.next("cpu"), outcome)
    assert study.store.table.state == [FAIL]
    assert study.store.table.attributes_of(0)["failure"] == reason
    assert study.done


def test_rungs_promote_the_front_and_keep_every_result(path):
    study = study_of(path, 27, rungs=(1 / 9, 1 / 3, 1.0))
    work_off(study)
    assert study.done
    found = read(path, "s")
    assert [int((found.attributes["rung"] == r).sum()) for r in range(3)] == [27, 9, 3]
    assert found.fidelity.sum() <= 27 / 3 + 1e-9
    assert set(found.state[found.fidelity < 1]) == {PRUNED}
    assert not math.isnan(found.values[0, 0])
    rung = {i: set(found.attributes["id"][found.attributes["rung"] == i]) for i in range(3)}
    assert rung[2] < rung[1] < rung[0]
    low = found.select((found.attributes["rung"] == 0).to_numpy().nonzero()[0])
    from piip_explore.search import pareto

    front = set(low.attributes["id"][pareto.front(low.losses)])
    assert front & rung[1] == front if len(front) <= 9 else len(front & rung[1]) == 9
    assert found.full.sum() == 3


def test_rungs_go_on_after_a_death(path):
    study = study_of(path, 9, rungs=(1 / 3, 1.0))
    for _ in range(10):
        task = study.next("cpu")
        if task.fidelity == 1:
            break
        study.complete(task, SCORES.evaluate(task, lambda share: None))
    assert task.fidelity == 1
    ended(study)
    again = study_of(path, 9)
    work_off(again)
    found = read(path, "s")
    assert int(found.full.sum()) == 3
    assert found.attributes["id"][found.full].is_unique


def test_a_cut_file_repeats_what_was_lost_and_nothing_else(path):
    study = study_of(path, 6)
    tasks = [study.next("cpu") for _ in range(3)]
    with open(path, "r+b") as file:
        whole = file.read()
        file.truncate(whole.rindex(b'{"op_code":4') + 30)  # the third claim is torn
    for task in tasks:
        study.complete(task, SCORES.evaluate(task, lambda share: None))
    work_off(study)
    found = read(path, "s")
    assert found.state.tolist() == [COMPLETE] * 6
    assert found.attributes["id"].is_unique
    assert {task.design_id for task in tasks} <= set(found.attributes["id"])


def test_limits_are_constraints_of_every_trial(path):
    pool = replayed_pool(limits=Limits(max_gflops=300.0))
    study = start(pool, SCORES, path, "s", Request(trials=5, sampler="random", max_gflops=300.0)).study
    work_off(study)
    found = read(path, "s")
    assert (found.constraints["gflops"] <= 0).all()
    assert found.values[:, 1] == pytest.approx(300.0 + found.constraints["gflops"])


WIDER = SPACE.replace("interactions: [4, 6, 12]", "interactions: [2, 4, 6, 12]")
NARROWER = SPACE.replace("interactions: [4, 6, 12]", "interactions: [4, 6]")


def test_a_wider_space_extends_the_study(path):
    wide = replayed_pool(WIDER)
    scores = evaluator(wide)
    request = Request(trials=8, sampler="random")
    study = start(replayed_pool(), scores, path, "s", request).study
    done = []
    for _ in range(8):
        task = study.next("cpu")
        done.append(task.design_id)
        study.complete(task, scores.evaluate(task, lambda share: None))
    ended(study)
    launched = start(wide, scores, path, "s", replace(request, trials=len(wide)))
    assert any("grows from 2,688 to 3,584 designs" in note for note in launched.notes)
    while (task := launched.study.next("cpu")) is not None and len(done) < 60:
        done.append(task.design_id)
        launched.study.complete(task, scores.evaluate(task, lambda share: None))
    assert len(set(done)) == len(done)
    assert 2 in set(read(path, "s").params["interactions"])
    assert launched.study.record.choices["interactions"] == [4, 6, 12, 2], "new choices go behind the old"


def test_a_search_leaves_designs_beyond_its_space_to_others(path):
    wide = replayed_pool(WIDER)
    scores = evaluator(wide)
    narrow = start(replayed_pool(), scores, path, "s", Request(trials=4, sampler="random")).study
    extended = start(wide, scores, path, "s", Request(trials=len(wide), sampler="exhaustive")).study
    while "interactions=2" not in (task := extended.next("cpu")).design:
        pass
    ended(extended)
    while narrow.next("cpu") is not None:
        pass
    found = read(path, "s")
    lost = found.attributes["design"] == task.design
    assert found.state[lost].tolist() == [FAIL]


def test_a_narrower_space_is_refused_with_the_difference(path):
    ended(study_of(path, 2))
    with pytest.raises(InputError, match=r"interactions no longer offers 12"):
        study_of(path, 2, text=NARROWER)


def test_other_settings_are_refused_with_the_differences(path):
    ended(study_of(path, 2))
    with pytest.raises(
        InputError, match=r"objectives: score,gflops in the study, score,params now; seed: 0 in the study, 3 now"
    ):
        study_of(path, 2, objectives=("score", "params"), seed=3)
    with pytest.raises(InputError, match=r"gap: 0\.0 in the study, 1\.0 now"):
        start(replayed_pool(), replace(SCORES, gap=1.0), path, "s", Request())
    with pytest.raises(InputError, match="max_gflops: none in the study, 300 now"):
        study_of(path, 2, max_gflops=300.0)


def test_a_study_of_another_program_is_refused(path):
    import optuna

    storage = optuna.storages.JournalStorage(optuna.storages.journal.JournalFileBackend(path))
    optuna.create_study(study_name="s", storage=storage).ask()
    before = Path(path).read_bytes()
    with pytest.raises(InputError, match="not made by 'piip-explore search'"):
        study_of(path)
    assert Path(path).read_bytes() == before
