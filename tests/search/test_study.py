"""Studies without processes: what is handed out, and what becomes of it."""

import json
import math
import time
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from piip_explore.errors import InputError
from piip_explore.search import pictures, rungs
from piip_explore.search.blame import Crash
from piip_explore.search.columns import read
from piip_explore.search.details import details, details_text
from piip_explore.search.evaluators import Outcome, Place
from piip_explore.search.launch import Request
from piip_explore.search.pool import Limits
from piip_explore.search.requeue import requeue
from piip_explore.search.storage import COMPLETE, FAIL, PRUNED, RUNNING, WAITING
from piip_explore.search.storage.journalfile import JournalFile
from piip_explore.testing.synthetic import SPACE, evaluator
from tests.search.replayed import replayed_pool, start

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
    while (task := study.next(Place("cpu"))) is not None:
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
    assert again.next(Place("cpu")) is None
    ended(again)
    more = work_off(study_of(path, 9))
    assert len(more) == 4
    assert not set(done) & set(more)


def test_a_study_that_died_is_taken_up_where_it_was(path):
    study = study_of(path, 3)
    finished, lost = study.next(Place("cpu")), study.next(Place("cpu"))
    study.complete(finished, SCORES.evaluate(finished, lambda share: None))
    ended(study)
    again = study_of(path, 3)
    task = again.next(Place("cpu"))
    assert task.design_id == lost.design_id
    assert again.store.table.state == [COMPLETE, FAIL, RUNNING]
    assert again.store.table.attributes_of(2)["retry_of"] == 1
    assert again.store.table.attributes_of(1)["failure"] == "the search that ran it ended without a word"


def test_another_search_that_lives_is_left_alone(path):
    study, other = study_of(path, 2), study_of(path, 2)
    mine, theirs = study.next(Place("cpu")), other.next(Place("cpu"))
    assert mine.design_id != theirs.design_id
    assert study.next(Place("cpu")) is None
    assert not study.done, "the other may still fail"
    other.complete(theirs, SCORES.evaluate(theirs, lambda share: None))
    study.complete(mine, SCORES.evaluate(mine, lambda share: None))
    assert study.next(Place("cpu")) is None
    assert study.done


def succeed(study, device="cpu"):
    """Evaluate the next design, which vouches for the device."""
    task = study.next(Place(device))
    study.complete(task, SCORES.evaluate(task, lambda share: None))
    study.vouch(Place(device))
    return task


def test_a_design_that_crashes_twice_on_a_sound_device_is_given_up(path):
    study = study_of(path, 5)
    bad = study.next(Place("cpu"))
    for crashes in (1, 2):
        study.crashed(bad, Crash("a bug"))
        assert study.next(Place("cuda:0")).design_id == bad.design_id, "another device may try at once"
        study.put_back(replace(bad, trial=max(study.books.claimed.values()), place=Place("cuda:0")))
        succeed(study)
        if crashes == 1:
            bad = study.next(Place("cpu"))
            assert bad.design_id == study.store.table.attribute("id", 0)
    table = study.store.table
    (given_up,) = [n for n in range(len(table)) if table.attribute("final", n)]
    assert table.attribute("id", given_up) == bad.design_id
    assert table.attribute("failure", given_up) == "a bug; given up after 2 such failures in different workers"
    work_off(study)
    assert study.done
    assert len(study.ledger.rungs[0].evaluated) == 4


def test_a_crash_on_a_device_that_proves_broken_is_not_charged(path):
    study = study_of(path, 4)
    for _ in range(6):
        task = study.next(Place("cuda:1"))
        if task is None:
            break
        study.crashed(task, Crash("a broken GPU"))
    assert study.blame.suspicious(Place("cuda:1"))
    study.blame.clear(Place("cuda:1"))
    work_off(study)
    assert len(study.ledger.rungs[0].evaluated) == 4
    assert "crashes" not in read(path, "s").attributes
    assert study.done


def test_what_cannot_be_evaluated_is_given_up_once_the_device_is_sound(path):
    study = study_of(path, 3)
    study.crashed(study.next(Place("cpu")), Crash("infeasible: no", once=True))
    assert study.store.table.state == [FAIL, WAITING]
    succeed(study)
    assert study.store.table.state == [FAIL, FAIL, COMPLETE]
    assert study.store.table.attribute("final", 1)


def test_a_healthy_design_survives_any_number_of_ends_of_its_search(path):
    for _ in range(7):
        study = study_of(path, 2)
        assert study.next(Place("cpu")) is not None
        ended(study)
    study = study_of(path, 2)
    work_off(study)
    assert len(study.ledger.rungs[0].evaluated) == 2
    assert not study.ledger.rungs[0].failed


def test_a_design_during_which_searches_end_comes_last(path):
    for _ in range(2):
        study = study_of(path, 3)
        first = study.next(Place("cpu"))
        ended(study)
    assert work_off(study_of(path, 3))[-1] == first.design_id


def test_a_design_whose_workers_are_killed_ten_times_is_given_up(path):
    study = study_of(path, 1)
    for _ in range(10):
        study.killed(study.next(Place("cpu")), "killed")
    assert study.store.table.state == [FAIL] * 10
    assert study.done


def test_a_probe_is_the_shortest_success_and_leaves_no_trace(path):
    study = study_of(path, 3)
    assert study.probe(Place("cpu")) is None
    tasks = [study.next(Place("cpu")) for _ in range(3)]
    for task, seconds in zip(tasks, (3.0, 1.0, 2.0), strict=True):
        study.complete(task, Outcome("ok", 50.0, None, seconds))
    probe = study.probe(Place("cuda:0"))
    assert (probe.design_id, probe.device) == (tasks[1].design_id, "cuda:0")
    assert len(study.store.table) == 3


def give_up(study):
    task = study.next(Place("cpu"))
    study.complete(task, Outcome("diverged", math.nan, None, 3.0, message="loss 9e9"))
    return task


def test_retry_queues_again_what_was_given_up(path):
    study = study_of(path, 4)
    bad = [give_up(study).design_id for _ in range(2)]
    good = work_off(study)
    assert study.done
    assert requeue(study.store) == [4, 5]
    assert not study_of(path, 4).done
    assert sorted(work_off(study)) == sorted(bad)
    assert {*bad, *good} == set(study.ledger.rungs[0].evaluated)
    assert study.done
    assert requeue(study.store) == []


def test_retry_of_one_trial_says_what_can_be_retried(path):
    study = study_of(path, 2)
    give_up(study)
    work_off(study)
    with pytest.raises(InputError, match=r"trial 1 \(COMPLETE\) is not given up: those of these trials are: 0$"):
        requeue(study.store, 1)
    with pytest.raises(InputError, match="has no trial 7"):
        requeue(study.store, 7)
    assert requeue(study.store, 0) == [2]


def test_a_kill_between_requeueing_and_failing_queues_once(path):
    study = study_of(path, 1)
    study.next(Place("cpu"))
    finish, study.store.finish = study.store.finish, lambda *_: (_ for _ in ()).throw(KeyboardInterrupt)
    with pytest.raises(KeyboardInterrupt):
        study.killed(next(iter(study.books.claimed)), "killed")
    study.store.finish = finish
    ended(study)
    again = study_of(path, 1)
    work_off(again)
    assert sorted(again.store.table.state) == sorted([FAIL, COMPLETE])


def test_a_search_that_was_only_silent_does_not_cause_a_second_evaluation(path):
    study, other = study_of(path, 1), study_of(path, 1)
    task = study.next(Place("cpu"))
    other.store.alive = lambda lease: False
    other.sampler = None  # nothing new is to be proposed
    with other.store.lock():
        other.books.refresh()
        other.books.take_back()
    assert read(path, "s").state.tolist() == [FAIL, WAITING]
    study.complete(task, SCORES.evaluate(task, lambda share: None))
    assert study.store.table.state == [FAIL, COMPLETE], "the one that waits is claimed for the result at hand"
    assert other.next(Place("cpu")) is None
    assert other.done


def take_back(study):
    """Have a search believe that all others ended."""
    alive, study.store.alive = study.store.alive, lambda lease: False
    with study.store.lock():
        study.books.refresh()
        study.books.take_back()
    study.store.alive = alive


def test_a_search_silent_for_longer_than_its_lease_runs_nothing_twice(path):
    study, other = study_of(path, 2), study_of(path, 2)
    one, two = study.next(Place("cpu")), study.next(Place("cpu"))
    take_back(other)
    assert read(path, "s").state.tolist() == [FAIL, FAIL, WAITING, WAITING]
    assert study.next(Place("cpu")) is None, "what waits is what its own workers evaluate"
    for task in (one, two):
        study.complete(task, SCORES.evaluate(task, lambda share: None))
    assert read(path, "s").state.tolist() == [FAIL, FAIL, COMPLETE, COMPLETE]
    assert study.done


@pytest.mark.parametrize("end", ["complete", "killed", "put_back"])
def test_a_claim_that_another_search_has_taken_over_ends_quietly(path, end):
    study, other = study_of(path, 1), study_of(path, 1)
    task = study.next(Place("cpu"))
    take_back(other)
    again = other.next(Place("cpu"))
    if end == "complete":
        study.complete(task, SCORES.evaluate(task, lambda share: None))
    else:
        getattr(study, end)(task, *(["killed"] if end == "killed" else []))
    other.complete(again, SCORES.evaluate(again, lambda share: None))
    assert read(path, "s").state.tolist() == [FAIL, COMPLETE]
    assert not study.books.claimed


def test_what_a_slow_search_finishes_counts_though_another_has_taken_it_over(path):
    study, other = study_of(path, 1), study_of(path, 1)
    task = study.next(Place("cpu"))
    alive, other.store.alive = other.store.alive, lambda lease: False
    again = other.next(Place("cpu"))
    other.store.alive = alive
    assert again.design_id == task.design_id
    study.complete(task, SCORES.evaluate(task, lambda share: None))
    assert read(path, "s").state.tolist() == [FAIL, COMPLETE]
    assert read(path, "s").attributes["worker"][1]["lease"] == study.lease
    other.complete(again, Outcome("ok", 1.0, None, 1.0))
    assert read(path, "s").values[1, 0] == SCORES.scores[task.design_id]
    assert other.done
    assert study.next(Place("cpu")) is None
    assert study.done


def test_a_trial_whose_creation_was_not_answered_is_not_evaluated_beside_its_second(path):
    study = study_of(path, 1)
    create, numbers = study.store.create, []

    def create_twice(trial, state):
        """What a storage does that repeats a creation, because the connection ended before the answer came."""
        numbers.append(create(trial, state))
        return create(trial, state)

    study.store.create = create_twice
    task = study.next(Place("cpu"))
    study.store.create = create
    assert study.next(Place("cpu")) is None, "the first is no other search's, and not to be evaluated"
    study.complete(task, SCORES.evaluate(task, lambda share: None))
    assert study.store.table.state == [FAIL, COMPLETE]
    assert study.store.table.attributes_of(0)["superseded_by"] == 1
    assert study.done


def test_one_of_two_trials_of_a_design_counts(path):
    """Two searches that both believed to hold the lock: its connection was cut."""
    study, other = study_of(path, 1), study_of(path, 1)
    other.store.refresh = set  # sees nothing of the first
    one, two = study.next(Place("cpu")), other.next(Place("cpu"))
    del other.store.refresh
    assert one.design_id == two.design_id
    study.complete(one, SCORES.evaluate(one, lambda share: None))
    other.complete(two, SCORES.evaluate(two, lambda share: None))
    assert read(path, "s").state.tolist() == [COMPLETE, FAIL]
    assert read(path, "s").attributes["superseded_by"][1] == 0


def test_what_is_put_back_comes_first_and_keeps_its_number(path):
    study = study_of(path, 3)
    task = study.next(Place("cpu"))
    study.put_back(task)
    assert study.store.table.state == [WAITING]
    assert study.next(Place("cpu")).design_id == task.design_id
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
    study.complete(study.next(Place("cpu")), outcome)
    assert study.store.table.state == [FAIL]
    assert study.store.table.attributes_of(0)["failure"] == reason
    assert study.done == (outcome.status != "infeasible"), "what nothing can train does not use up the budget"


def test_a_run_keeps_its_picture_beside_the_study_and_its_metric_in_it(path, monkeypatch, caplog):
    study = study_of(path, 2)
    curve = ((8, 1.23456), (16, math.nan), (24, 2.0))
    outcome = Outcome("ok", 2.0, None, 1.0, metric_curve=curve, picture=b"seen")
    study.complete(study.next(Place("cpu")), outcome)
    assert pictures.read(study.store.url, "s", 0) == b"seen"
    assert study.store.table.attributes_of(0)["metric_curve"] == [[8, 1.235], [24, 2.0]]
    assert "seen" not in Path(path).read_text()
    assert "1.235 after 8 images, 2 after 24 images" in details_text(details(read(path, "s"), "0"))

    def full(*_):
        raise OSError("no space left")

    monkeypatch.setattr(pictures, "write_whole", full)
    study.complete(study.next(Place("cpu")), outcome)
    assert study.store.table.state == [COMPLETE, COMPLETE]
    assert "the picture of trial 1 could not be written: no space left" in caplog.text
    assert pictures.read(study.store.url, "s", 1) == b""


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


def test_an_untuned_score_counts_as_a_sixteenth_of_a_full_run():
    untuned = (0.0, 1 / 4, 1.0)
    assert [rungs.quota(untuned, number, 1000) for number in range(3)] == [1000, 250, 62]
    assert rungs.cost(untuned, 1000) == 1000 / 16 + 250 / 4 + 62
    assert rungs.quota((0.0, 0.01, 1.0), 1, 50) == 50, "a rung as cheap as an untuned score takes all"


def test_rungs_go_on_after_a_death(path):
    study = study_of(path, 9, rungs=(1 / 3, 1.0))
    for _ in range(10):
        task = study.next(Place("cpu"))
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
    tasks = [study.next(Place("cpu")) for _ in range(3)]
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
        task = study.next(Place("cpu"))
        done.append(task.design_id)
        study.complete(task, scores.evaluate(task, lambda share: None))
    ended(study)
    launched = start(wide, scores, path, "s", replace(request, trials=len(wide)))
    assert any("grows from 2,688 to 3,584 designs" in note for note in launched.notes)
    while (task := launched.study.next(Place("cpu"))) is not None and len(done) < 60:
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
    while "interactions=2" not in (task := extended.next(Place("cpu"))).design:
        pass
    ended(extended)
    while narrow.next(Place("cpu")) is not None:
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


class Killed(BaseException):
    """Stands for the end of the process."""


def killed_after(monkeypatch, writes):
    """End this process, as it were, at the write after so many to a journal."""
    append = JournalFile.append

    def last(self, data):
        nonlocal writes
        if writes == 0:
            raise Killed
        writes -= 1
        append(self, data)

    monkeypatch.setattr(JournalFile, "append", last)


@pytest.mark.parametrize("writes", range(5))
def test_a_start_that_is_killed_at_any_write_leaves_a_study_that_starts(path, monkeypatch, writes):
    with monkeypatch.context() as context:
        killed_after(context, writes)
        with suppress(Killed):
            ended(study_of(path, 2))
    work_off(study_of(path, 2))
    assert read(path, "s").state.tolist() == [COMPLETE] * 2
    assert read(path, "s").record["seed"] == 0


def test_the_record_is_written_at_once(path):
    ended(study_of(path, 2))
    lines = [json.loads(line) for line in Path(path).read_text().splitlines()]
    assert [list(line["user_attr"]) for line in lines if line["op_code"] == 2] == [["record"]]


def test_a_study_of_format_1_goes_on(path):
    """What was written before the record and the result were one attribute each."""
    ended(study_of(path, 3))
    lines = [json.loads(line) for line in Path(path).read_text().splitlines()]
    spread = []
    for line in lines:
        entries = line.get("user_attr", {}).get("record", {})
        spread += [{**line, "user_attr": {name: value}} for name, value in entries.items()] or [line]
    Path(path).write_text("".join(json.dumps(line, separators=(",", ":")) + "\n" for line in spread))
    study = study_of(path, 3)
    assert study.record.seed == 0
    work_off(study)
    assert read(path, "s").state.tolist() == [COMPLETE] * 3
    with pytest.raises(InputError, match="seed: 0 in the study, 3 now"):
        study_of(path, 3, seed=3)


def test_a_study_that_was_copied_from_sqlite_goes_on(path, tmp_path):
    """The way that the documentation shows."""
    import optuna
    from optuna.storages.journal import JournalFileBackend

    ended(study_of(path, 3))
    work_off(study_of(path, 3))
    journals = [optuna.storages.JournalStorage(JournalFileBackend(str(p))) for p in (path, tmp_path / "copy.journal")]
    sqlite = f"sqlite:///{tmp_path}/s.db"
    optuna.copy_study(from_study_name="s", from_storage=journals[0], to_storage=sqlite)
    optuna.copy_study(from_study_name="s", from_storage=sqlite, to_storage=journals[1])
    first, copy = read(path, "s"), read(tmp_path / "copy.journal", "s")
    assert copy.values.tolist() == first.values.tolist()
    assert copy.attributes["seconds"].tolist() == first.attributes["seconds"].tolist()
    assert dict(copy.record) == dict(first.record)
    assert len(work_off(study_of(str(tmp_path / "copy.journal"), 5))) == 2


def test_a_proposal_that_takes_longer_than_the_lease_keeps_lock_and_lease(postgres_url, monkeypatch):
    monkeypatch.setattr("piip_explore.search.storage.leases.LEASE_SECONDS", 6.0)
    study, other = study_of(postgres_url, 4), study_of(postgres_url, 4)
    propose, alive = study.sampler.propose, []

    def slow(observations):
        time.sleep(8)
        alive.append(other.store.alive(study.lease))
        return propose(observations)

    study.sampler = SimpleNamespace(propose=slow)
    assert study.next(Place("cpu")) is not None
    assert alive == [True], "proposed once"
