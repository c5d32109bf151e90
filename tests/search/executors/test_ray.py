"""Searches on a Ray cluster: nodes that join and die, shares of GPUs, and what is asked of Ray in vain."""

from __future__ import annotations

import json
import re
import socket
import sys
from pathlib import Path

import numpy as np
import psutil
import pytest

from piip_explore.errors import InputError
from piip_explore.search import session
from piip_explore.search.columns import read
from piip_explore.search.executors import Died
from piip_explore.search.executors.ray import RayEngine
from piip_explore.search.launch import Request
from piip_explore.search.storage import FAIL
from piip_explore.search.supervisor import Supervisor
from piip_explore.search.worker import Done
from piip_explore.testing.executors import Does, ExecutorRun
from piip_explore.testing.synthetic import evaluator
from tests.search.accounts import check_accounts
from tests.search.executors.conftest import add_node
from tests.search.replayed import replayed_pool, start
from tests.search.test_cli import TINY
from tests.search.test_cli import run as run_command

TRIALS = 200
LOST = r"the worker on .* was lost, or its node"


def test_a_node_joins_and_dies_and_every_trial_is_accounted_for(ray_cluster, tmp_path):
    path, pool = tmp_path / "s.journal", replayed_pool()
    scores = evaluator(pool, delay=0.1)
    study = start(pool, scores, str(path), "s", Request(trials=TRIALS, sampler="random")).study
    executor = RayEngine(ray_cluster.address).start(scores, study.files / "logs")
    supervisor = Supervisor(study, executor)
    seen: list[int] = []
    node = None

    def join_and_die(supervisor: Supervisor) -> None:
        nonlocal node
        done = len(study.ledger.rungs[0].evaluated)
        seen.append(len(executor.workers))
        if node is None and done > 20:
            node = add_node(ray_cluster, num_cpus=2)
        elif node is not None and node in ray_cluster.worker_nodes and done > TRIALS / 2 and seen[-1] == 4:
            running = [slot for slot in supervisor.slots if slot.task is not None]
            if len(running) == 4:
                ray_cluster.remove_node(node, allow_graceful=False)

    supervisor.report = join_and_die
    assert supervisor.run()
    assert node not in ray_cluster.worker_nodes, "it was killed on the way"
    assert (seen[0], max(seen), seen[-1]) == (0, 4, 0)
    found = read(path, "s")
    counts = check_accounts(found, TRIALS)
    assert (counts["complete"], counts["poison"]) == (TRIALS, 0)
    lost = found.attributes["failure"][found.state == FAIL]
    assert len(lost) <= 2, "the node ran two evaluations; they may have ended just before"
    assert lost.str.match(LOST).all()


def test_what_a_lost_worker_evaluated_is_reported_and_another_one_comes(ray_cluster, tmp_path):
    executor = RayEngine(ray_cluster.address, workers=1).start(Does(tmp_path), tmp_path / "logs")
    run = ExecutorRun(executor, tmp_path)
    try:
        while not executor.workers:
            run.listen()
        (one,) = executor.workers
        actor = psutil.Process(run.process(run.begin(one, "hang"))).parent()
        actor.kill()
        lost = run.end(one)
        assert isinstance(lost, Died)
        assert lost.outside
        assert re.match(LOST, lost.reason)
        assert one not in executor.workers
        while not executor.workers:
            run.listen()
        (another,) = executor.workers
        run.begin(another, "succeed")
        assert isinstance(run.end(another), Done)
    finally:
        executor.close()


@pytest.mark.slow
def test_a_real_search_on_two_workers_of_a_cluster(ray_cluster, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    Path("tiny.yaml").write_text(TINY.replace("tiny-for-tests", "demo").replace("[112, 224]", "[112, 176, 224]"))
    arguments = ["--executor", "ray", "--address", ray_cluster.address, "--trials", "2", "--json"]
    status, out, err = run_command(capsys, "search", "tiny.yaml", *arguments)
    assert status == 0, err
    assert f"workers with 1 CPU each on Ray at {ray_cluster.address}" in err
    result = json.loads(out)
    assert result["trials"]["complete"] == 2
    assert all(np.isfinite(row["score"]) for row in result["front"])
    workers = read("studies/tiny.journal", "tiny").attributes["worker"]
    assert {worker["host"] for worker in workers} == {socket.gethostname()}
    assert len(list(Path("studies/tiny.journal.files/logs").iterdir())) == 2


def test_workers_share_a_gpu_and_know_its_number(ray_cluster, tmp_path):
    node = add_node(ray_cluster, num_cpus=4, num_gpus=2)
    engine = RayEngine(ray_cluster.address, gpus=0.5, cpus=0.5)
    executor = engine.start(Does(tmp_path), tmp_path)
    try:
        assert (engine.device, engine.room()) == ("cuda", 4)
        while len(executor.workers) < 4:
            list(executor.events(0.5))
        assert sorted(str(place) for place in executor.workers.values()) == ["cuda:0", "cuda:0", "cuda:1", "cuda:1"]
    finally:
        executor.close()
        ray_cluster.remove_node(node)


def test_what_the_cluster_has_no_room_for_is_one_sentence(ray_cluster):
    assert RayEngine(ray_cluster.address).device == "cpu"
    with pytest.raises(
        InputError, match=r"no node of the Ray cluster has room for a worker \(workers with 1 GPU and 1 "
    ):
        RayEngine(ray_cluster.address, gpus=1.0)
    with pytest.raises(InputError, match="2 GPUs per worker: an evaluation uses one GPU or a share of one"):
        RayEngine(ray_cluster.address, gpus=2.0)


def test_options_of_the_other_executor_are_refused():
    with pytest.raises(InputError, match="--devices names devices of this machine; with --executor ray, give"):
        session.engine("ray", ["cuda:0"], None, None, None, None)
    with pytest.raises(InputError, match="--address, --worker-gpus and --worker-cpus need --executor ray"):
        session.engine("local", None, None, "auto", None, None)


def test_without_ray_the_sentence_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(
        InputError, match=r"--executor ray needs ray, which is not installed: pip install 'piip-explore\[ray\]'"
    ):
        RayEngine()
