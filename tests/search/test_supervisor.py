"""Supervised workers: what they do to a study when they fail, die or are stopped."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from piip_explore.search.columns import read
from piip_explore.search.launch import Request
from piip_explore.search.storage import COMPLETE, FAIL, RUNNING, WAITING
from piip_explore.search.supervisor import SearchFailedError, Supervisor
from tests.search.replayed import Slow, Troubled, replayed_pool, start

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
    study = start(replayed_pool(), Slow({}), str(path), "s", Request(trials=4, sampler="random")).study
    supervisor = Supervisor(study, Slow({}, hung=hung), ["cpu"] * 2)

    def interrupt():
        while len(study.claimed) < 2:
            time.sleep(0.05)
        time.sleep(1.5)
        for _ in range(signals):
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(0.8)

    thread = threading.Thread(target=interrupt)
    began = time.monotonic()
    thread.start()
    assert supervisor.run() is False
    thread.join()
    assert time.monotonic() - began < 25
    assert read(path, "s").state.tolist() == [WAITING] * 2


def test_a_search_stopped_by_its_scheduler_is_resumable(tmp_path):
    path = tmp_path / "s.journal"
    command = [sys.executable, "-m", "tests.search.replayed", str(path), "s", "500", "2", "0.05"]
    with subprocess.Popen(command, cwd=ROOT, start_new_session=True) as process:
        while not path.exists() or path.read_bytes().count(b'"state":1') < 3:
            time.sleep(0.1)
        os.killpg(process.pid, signal.SIGTERM)  # SLURM and Kubernetes signal every process
        assert process.wait(20) == 1
    states = set(read(path, "s").state.tolist())
    assert states <= {COMPLETE, WAITING}
