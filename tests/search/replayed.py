"""A space of 2,688 designs with synthetic costs and scores, and a search of it as a program of its own.

python -m tests.search.replayed STORAGE STUDY TRIALS WORKERS DELAY [SAMPLER [RUNGS]]
"""

from __future__ import annotations

import os
import signal
import sys
import time
from dataclasses import dataclass
from functools import cache

import numpy as np

from piip_explore.errors import InputError
from piip_explore.search import pool as pools
from piip_explore.search.evaluators import Evaluator, Outcome, Progress, ReplayEvaluator, Task
from piip_explore.search.landscape import evaluator
from piip_explore.search.launch import DEFAULT_TRIALS, Launch, Request, assemble, find, read_record, wanted_record
from piip_explore.search.pool import Limits, Pool
from piip_explore.search.samplers import choose
from piip_explore.search.storage import open_study
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
class Slow(ReplayEvaluator):
    """Takes a minute, and reports progress all the time; or never, as a hung one."""

    hung: bool = False

    def evaluate(self, task: Task, progress: Progress) -> Outcome:
        for _ in range(600):
            time.sleep(0.1)
            if not self.hung:
                progress(0.5)
        return Outcome("ok", 1.0, None, 60.0)


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
    storage, study, trials, workers, delay = sys.argv[1:6]
    sampler = sys.argv[6] if len(sys.argv) > 6 else "random"
    rungs = tuple(map(float, sys.argv[7].split(","))) if len(sys.argv) > 7 else None
    pool = replayed_pool()
    scores: ReplayEvaluator = evaluator(pool, delay=float(delay))
    launch = start(pool, scores, storage, study, Request(trials=int(trials), sampler=sampler, rungs=rungs))
    finished = Supervisor(launch.study, scores, ["cpu"] * int(workers)).run()
    sys.exit(0 if finished else 1)


if __name__ == "__main__":
    main()
