"""A space of 2,688 designs with synthetic costs and scores, and a search of it as a program of its own.

python -m tests.search.replayed STORAGE STUDY TRIALS WORKERS [DELAY] [--gate FOLDER]
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np

from piip_explore.errors import InputError
from piip_explore.search import pool as pools
from piip_explore.search.evaluators import Evaluator, Outcome, Progress, ReplayEvaluator, Task
from piip_explore.search.landscape import evaluator
from piip_explore.search.launch import DEFAULT_TRIALS, Launch, Request, assemble, find, read_record, wanted_record
from piip_explore.search.pool import Limits, Pool
from piip_explore.search.samplers import choose
from piip_explore.search.storage import open_study, relational
from piip_explore.search.supervisor import Supervisor
from piip_explore.space import SearchSpace

SPACE = """
name: replayed
branches:
  - {models: [vit_tiny, vit_small], resolutions: [672, 896, 1120, 1344]}
  - {models: [vit_small, vit_base], resolutions: [448, 672, 896]}
  - {models: [vit_base, vit_large], resolutions: [224, 336, 448, 560]}
interactions: [4, 6, 12]
direction: [both, up]
merge: [conv, linear]
constraints: {decreasing_resolution: yes}
"""


def costs_of(space: SearchSpace) -> dict[str, np.ndarray]:
    """Costs that are quick to compute: weights times pixels."""
    columns = space.columns()
    codes = columns.branches.astype(int) + 1
    macs = np.array([0.0] + [b.spec.weights * 1e-9 * (b.resolution / 16) ** 2 for b in columns.branch_options])
    weights = np.array([0.0] + [float(b.spec.weights) for b in columns.branch_options])
    exchanges = np.array([0 if exchange is None else exchange.count for exchange, _ in columns.settings])
    gflops = macs[codes].sum(axis=1) * (1 + 0.01 * exchanges[columns.setting])
    return {"gflops_published": gflops, "gflops_built": 1.02 * gflops, "params": weights[codes].sum(axis=1)}


@dataclass(frozen=True)
class Troubled(ReplayEvaluator):
    """Does something bad to every design whose id begins with one of `unlucky`."""

    unlucky: str = ""
    how: str = "raise"

    def evaluate(self, task: Task, progress: Progress) -> Outcome:
        if task.design_id[0] in self.unlucky:
            if self.how == "raise":
                raise RuntimeError("a bug\nwith more lines")
            if self.how == "refuse":
                raise InputError("this task has no eyes for it")
            if self.how == "cuda":
                raise RuntimeError("CUDA error: an illegal memory access was encountered")
            os.kill(os.getpid(), signal.SIGKILL)
        return Outcome("ok", 1.0, None, 0.0)


@dataclass(frozen=True)
class Gated(ReplayEvaluator):
    """Waits at a gate, a folder, for a ticket (see `let_in`) or until the gate is open; or for ever, if it is `hung`.

    A hung one reports no progress either. Who is at the gate has left a file `at-ID` there.
    """

    gate: Path = Path()
    hung: bool = False

    def evaluate(self, task: Task, progress: Progress) -> Outcome:
        (self.gate / f"at-{task.design_id}").touch()
        while self.hung or not ((self.gate / "open").exists() or self._has_ticket()):
            if not self.hung:
                progress(0.5)
            time.sleep(0.02)
        return super().evaluate(task, progress)

    def _has_ticket(self) -> bool:
        for ticket in self.gate.glob(f"for-{os.getppid()}-*"):
            try:
                ticket.unlink()
                return True
            except FileNotFoundError:  # another worker was faster
                continue
        return False


def let_in(gate: Path, search: int, count: int) -> None:
    """Let `count` evaluations of the search with this process number pass the gate."""
    for _ in range(count):
        (gate / f"for-{search}-{uuid.uuid4().hex}").touch()


def until(condition: Callable[[], bool]) -> None:
    """Wait for something to happen; the test's own time limit is the only one."""
    while not condition():
        time.sleep(0.2)


@cache
def replayed_pool(text: str = SPACE, limits: Limits | None = None) -> Pool:
    space = SearchSpace.parse(text, "replayed")
    return pools.build(space, costs_of(space), limits or Limits())


def start(pool: Pool, scores: Evaluator, storage: str, study: str, request: Request) -> Launch:
    """What `launch.launch` does, with the pool's synthetic costs."""
    store = find(storage, study)
    wanted = wanted_record(pool.space, scores, request, None if store is None else read_record(store))
    sampler = choose(request.sampler, pool, request.trials or DEFAULT_TRIALS, wanted)
    return assemble(pool, wanted, sampler, store or open_study(storage, study, wanted.directions), request)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("storage")
    parser.add_argument("study")
    parser.add_argument("trials", type=int)
    parser.add_argument("workers", type=int)
    parser.add_argument("delay", type=float, nargs="?", default=0.0)
    parser.add_argument("--gate", type=Path)
    asked = parser.parse_args()
    relational.LEASE_SECONDS = 3600.0  # a crowded machine may keep a search from beating for minutes
    pool = replayed_pool()
    scores = evaluator(pool, delay=asked.delay)
    if asked.gate is not None:
        scores = Gated(**vars(scores), gate=asked.gate)
    launch = start(pool, scores, asked.storage, asked.study, Request(trials=asked.trials, sampler="random"))
    sys.exit(0 if Supervisor(launch.study, scores, ["cpu"] * asked.workers).run() else 1)


if __name__ == "__main__":
    main()
