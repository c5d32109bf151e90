"""Supervised workers: what they do to a study when they fail, die or are stopped."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from piip_explore.errors import InputError
from piip_explore.search.columns import read
from piip_explore.search.launch import Request
from piip_explore.search.storage import COMPLETE, FAIL, RUNNING, WAITING
from piip_explore.search.supervisor import SearchFailedError, Supervisor
from tests.search.replayed import Gated, Troubled, let_in, replayed_pool, start, until

ROOT = Path(__file__).parents[2]


def search(path, evaluator, trials=12, workers=2):
    study = start(replayed_pool(), evaluator, str(path), "s", Request(trials=trials, sampler="random")).study
    supervisor = Supervisor(study, evaluator, ["cpu"] * workers)
    return supervisor.run(), read(path, "s"), supervisor


def test_a_search_ends_with_its_budget_and_leaves_no_process(tmp_path):
    finished, found, supervisor = search(tmp_path / "s.journal", Troubled({}))
    assert finished
    assert found.state.tolist() == [COMPLETE] * 12
    assert all(slot.process is None or not slot.process.is_alive() for slot in supervisor.slots)
    assert {worker["device"] for worker in found.attributes["worker"]} == {"cpu"}


@pytest.mark.parametrize(
    ("how", "tries", "reason"),
    [
        ("raise", 3, "RuntimeError: a bug"),
        ("refuse", 1, "infeasible: this task has no eyes for it"),
        ("kill", 3, "the worker process died of SIGKILL (killed; often the system is out of memory)"),
        ("cuda", 3, "RuntimeError: CUDA error: an illegal memory access was encountered"),
    ],
)
def test_a_bad_design_is_tried_three_times_at_most_and_costs_no_other(tmp_path, how, tries, reason):
    finished, found, supervisor = search(tmp_path / "s.journal", Troubled({}, unlucky="0", how=how), trials=24)
    assert finished
    bad = found.attributes["id"].str.startswith("0")
    assert bad.any(), "the seed gives at least one bad design"
    assert (found.state[bad] == FAIL).all()
    assert (found.state[~bad] == COMPLETE).all()
    assert set(found.attributes["id"][bad].value_counts()) == {tries}
    assert set(
        found.attributes["failure"][bad].str.removesuffix("; given up after the last of several such failures")
    ) == {reason}
    assert found.attributes["id"].nunique() == 24
    assert (supervisor.deaths > 0) == (how == "kill")


def test_a_search_gives_up_when_everything_fails(tmp_path):
    with pytest.raises(SearchFailedError, match="in a row failed, the last one with: RuntimeError: a bug"):
        search(tmp_path / "s.journal", Troubled({}, unlucky="0123456789abcdef"))
    assert RUNNING not in read(tmp_path / "s.journal", "s").state


@pytest.mark.parametrize(("hung", "signals"), [(False, 1), (True, 2)])
def test_one_signal_ends_at_the_next_step_and_two_at_once(tmp_path, hung, signals):
    path = tmp_path / "s.journal"
    scores = Gated({}, gate=tmp_path, hung=hung)
    study = start(replayed_pool(), scores, str(path), "s", Request(trials=4, sampler="random")).study
    supervisor = Supervisor(study, scores, ["cpu"] * 2)

    def interrupt():
        until(lambda: len(list(tmp_path.glob("at-*"))) == 2)
        for sent in range(signals):
            os.kill(os.getpid(), signal.SIGINT)
            until(lambda sent=sent: supervisor.stopping > sent)

    threading.Thread(target=interrupt, daemon=True).start()
    assert supervisor.run() is False
    assert read(path, "s").state.tolist() == [WAITING] * 2


def test_a_third_signal_ends_a_search_whose_storage_does_not_answer(tmp_path):
    study = start(replayed_pool(), Troubled({}), str(tmp_path / "s.journal"), "s", Request(trials=4)).study

    def wait_for_ever(device):
        while True:
            os.kill(os.getpid(), signal.SIGINT)

    study.next = wait_for_ever
    supervisor = Supervisor(study, Troubled({}), ["cpu"])
    with pytest.raises(KeyboardInterrupt):
        supervisor.run()
    assert supervisor.stopping == 3
    assert all(slot.process is None or not slot.process.is_alive() for slot in supervisor.slots)


def test_a_lost_storage_ends_the_search_and_its_workers(tmp_path):
    path = tmp_path / "s.journal"
    scores = Gated({}, gate=tmp_path)
    study = start(replayed_pool(), scores, str(path), "s", Request(trials=4, sampler="random")).study
    supervisor = Supervisor(study, scores, ["cpu"] * 2)

    def lose(supervisor):
        if len(list(tmp_path.glob("at-*"))) == 2:
            path.rename(tmp_path / "elsewhere")
            supervisor.report = lambda supervisor: None
            (tmp_path / "open").touch()

    supervisor.report = lose
    with pytest.raises(InputError, match="has disappeared"):
        supervisor.run()
    assert all(slot.process is None or not slot.process.is_alive() for slot in supervisor.slots)
    again = start(replayed_pool(), scores, str(tmp_path / "elsewhere"), "s", Request(trials=4)).study
    assert Supervisor(again, scores, ["cpu"]).run()


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
