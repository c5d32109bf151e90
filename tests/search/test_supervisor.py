"""Supervised workers: what they do to a study when they fail, die or are stopped."""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from piip_explore.errors import InputError
from piip_explore.search.columns import read
from piip_explore.search.evaluators import Place
from piip_explore.search.launch import Request
from piip_explore.search.storage import COMPLETE, FAIL, RUNNING, WAITING
from piip_explore.search.storage.journalfile import JournalFile
from piip_explore.search.storage.patience import Patience
from piip_explore.search.supervisor import SearchFailedError
from piip_explore.testing.synthetic import evaluator
from tests.search.replayed import (
    BreaksDown,
    Gated,
    HangsOnce,
    Troubled,
    let_in,
    replayed_pool,
    start,
    supervised,
    until,
)

ROOT = Path(__file__).parents[2]


def search(path, scores, trials=12, workers=2):
    study = start(replayed_pool(), scores, str(path), "s", Request(trials=trials, sampler="random")).study
    supervisor = supervised(study, scores, ["cpu"] * workers)
    return supervisor.run(), read(path, "s"), supervisor


def test_a_search_ends_with_its_budget_and_leaves_no_process(tmp_path):
    finished, found, _ = search(tmp_path / "s.journal", Troubled({}))
    assert finished
    assert found.state.tolist() == [COMPLETE] * 12
    assert not multiprocessing.active_children()
    assert {worker["device"] for worker in found.attributes["worker"]} == {"cpu"}


@pytest.mark.parametrize(
    ("how", "reason"),
    [
        ("raise", "RuntimeError: a bug"),
        ("refuse", "infeasible: this task has no eyes for it"),
        ("abort", "the worker process died of SIGABRT"),
        ("cuda", "RuntimeError: CUDA error: an illegal memory access was encountered"),
    ],
)
def test_a_bad_design_is_evaluated_twice_at_most_and_costs_no_other(tmp_path, how, reason):
    finished, found, supervisor = search(tmp_path / "s.journal", Troubled({}, unlucky="0", how=how), trials=24)
    assert finished
    bad = found.attributes["id"].str.startswith("0")
    assert bad.any(), "the seed gives at least one bad design"
    assert (found.state[bad] == FAIL).all()
    assert (found.state[~bad] == COMPLETE).all()
    assert set(found.attributes["id"][bad].value_counts()) == {2 if how == "refuse" else 3}, "the last is not run"
    assert set(found.attributes["failure"][bad].str.partition("; given up")[0]) == {reason}
    refused = bad.sum() // 2 if how == "refuse" else 0
    assert found.attributes["id"].nunique() == 24 + refused, "a design that cannot be trained does not use up a trial"
    assert (supervisor.deaths > 0) == (how == "abort")


def test_a_search_gives_up_when_everything_fails_and_charges_no_design(tmp_path):
    path = tmp_path / "s.journal"
    with pytest.raises(SearchFailedError, match=r"in a row failed on cpu of .* the last one with: RuntimeError: a bug"):
        search(path, Troubled({}, unlucky="0123456789abcdef"))
    assert not {RUNNING, COMPLETE} & set(read(path, "s").state)
    assert "final" not in read(path, "s").attributes
    finished, found, _ = search(path, Troubled({}))
    assert finished
    assert found.full.sum() == 12


def test_a_device_that_breaks_is_found_out_by_what_is_known_to_be_sound(tmp_path, caplog):
    """Beside a good one: all that it fails is evaluated there, and nothing is given up."""
    path, scores = tmp_path / "s.journal", BreaksDown({}, bad_device="cpu:bad", marks=tmp_path)
    study = start(replayed_pool(), scores, str(path), "s", Request(trials=30, sampler="random")).study
    supervisor = supervised(study, scores, ["cpu", "cpu:bad"])

    def break_down(supervisor):
        if len(study.ledger.rungs[0].evaluated) > 5:
            (tmp_path / "breakdown").touch()
        if supervisor.quarantined:
            (tmp_path / "found out").touch()

    supervisor.report = break_down
    assert supervisor.run()
    found = read(path, "s")
    assert found.full.sum() == 30
    assert "final" not in found.attributes
    assert list(supervisor.quarantined) == [Place("cpu:bad")]
    assert "it is used no more, and its designs are queued again" in caplog.text


def test_a_hung_evaluation_is_ended_and_tried_again(tmp_path, monkeypatch, caplog):
    path, scores = tmp_path / "s.journal", HangsOnce({}, marks=tmp_path)
    monkeypatch.setattr("piip_explore.search.supervisor.HUNG_UNKNOWN_SECONDS", 8.0)
    finished, found, _ = search_with(path, scores)
    assert finished
    assert found.full.sum() == 3
    assert "final" not in found.attributes
    assert set(found.attributes["failure"].dropna()) == {"no progress for 8 s"}
    assert "has shown no progress for 8 s: ended, to be tried again" in caplog.text


def search_with(path, scores):
    study = start(replayed_pool(), scores, str(path), "s", Request(trials=3, sampler="random")).study
    return supervised(study, scores, ["cpu", "cpu:1"]).run(), read(path, "s"), study


@pytest.mark.parametrize(("hung", "signals"), [(False, 1), (True, 2)])
def test_one_signal_ends_at_the_next_step_and_two_at_once(tmp_path, hung, signals):
    path = tmp_path / "s.journal"
    scores = Gated({}, gate=tmp_path, hung=hung)
    study = start(replayed_pool(), scores, str(path), "s", Request(trials=4, sampler="random")).study
    supervisor = supervised(study, scores, ["cpu"] * 2)

    def interrupt():
        until(lambda: len(list(tmp_path.glob("at-*"))) == 2)
        for sent in range(signals):
            os.kill(os.getpid(), signal.SIGINT)
            until(lambda sent=sent: supervisor.stopping > sent)

    threading.Thread(target=interrupt, daemon=True).start()
    assert supervisor.run() is False
    assert read(path, "s").state.tolist() == [WAITING] * 2


DEAF = """
import os, signal, sys
from piip_explore.search.launch import Request
from tests.search.replayed import Troubled, replayed_pool, start, supervised

def wait_for_ever(device):
    while True:
        os.kill(os.getpid(), signal.SIGTERM)

study = start(replayed_pool(), Troubled({}), sys.argv[1], "s", Request(trials=4)).study
study.next = wait_for_ever
supervised(study, Troubled({}), ["cpu"]).run()
"""


def test_a_third_signal_ends_a_search_whose_storage_does_not_answer(tmp_path):
    command = [sys.executable, "-c", DEAF, str(tmp_path / "s.journal")]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert ended.returncode == 1
    assert ended.stderr.strip() == "piip-explore: stopped at once; the next search takes up what ran"


def test_a_signal_ends_a_search_that_waits_for_the_lock_of_another(tmp_path, monkeypatch):
    path = tmp_path / "s.journal"
    monkeypatch.setattr("piip_explore.search.supervisor.STOPPING_PATIENCE_SECONDS", 0.0)
    study = start(replayed_pool(), Troubled({}), str(path), "s", Request(trials=4)).study
    waiting = threading.Event()
    waits = study.store.patience.waits

    def observed(*arguments, **named):
        waiting.set()
        return waits(*arguments, **named)

    monkeypatch.setattr(study.store.patience, "waits", observed)

    def interrupt():
        waiting.wait()
        os.kill(os.getpid(), signal.SIGTERM)

    with JournalFile(path, Patience()).exclusive():
        threading.Thread(target=interrupt, daemon=True).start()
        assert supervised(study, Troubled({}), ["cpu"]).run() is False


def test_a_lost_storage_ends_the_search_and_its_workers(tmp_path):
    path = tmp_path / "s.journal"
    scores = Gated(evaluator(replayed_pool()).scores, gate=tmp_path)
    study = start(replayed_pool(), scores, str(path), "s", Request(trials=4, sampler="random")).study
    supervisor = supervised(study, scores, ["cpu"] * 2)

    def lose(supervisor):
        if len(list(tmp_path.glob("at-*"))) == 2:
            path.rename(tmp_path / "elsewhere")
            supervisor.report = lambda supervisor: None
            (tmp_path / "open").touch()

    supervisor.report = lose
    with pytest.raises(InputError, match="has disappeared"):
        supervisor.run()
    assert not multiprocessing.active_children()
    again = start(replayed_pool(), scores, str(tmp_path / "elsewhere"), "s", Request(trials=4)).study
    assert supervised(again, scores, ["cpu"]).run()


def test_a_search_stopped_by_its_scheduler_is_resumable(tmp_path):
    path = tmp_path / "s.journal"
    command = [sys.executable, "-m", "tests.search.replayed", str(path), "s", "500", "2"]
    with subprocess.Popen([*command, f"--gate={tmp_path}"], cwd=ROOT, start_new_session=True) as process:
        let_in(tmp_path, process.pid, 3)
        until(lambda: path.exists() and path.read_bytes().count(b'"state":1') == 3)
        until(lambda: len(list(tmp_path.glob("at-*"))) == 5)
        os.killpg(process.pid, signal.SIGTERM)  # SLURM and Kubernetes signal every process
        assert process.wait() == 1
    assert sorted(read(path, "s").state.tolist()) == [COMPLETE] * 3 + [WAITING] * 2
