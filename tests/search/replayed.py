"""A search of the synthetic pool as a program of its own, and evaluators that misbehave.

python -m tests.search.replayed STORAGE STUDY TRIALS WORKERS [DELAY] [--gate FOLDER] [--lease SECONDS] [--ray ADDRESS]
"""

from __future__ import annotations

import argparse
import os
import sys
import time
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from piip_explore.errors import InputError
from piip_explore.search.evaluators import EvaluationTask, Evaluator, Outcome, Progress, ReplayEvaluator
from piip_explore.search.executors import Engine
from piip_explore.search.executors.local import LocalEngine
from piip_explore.search.executors.ray import RayEngine
from piip_explore.search.launch import DEFAULT_TRIALS, Launch, Request, assemble, find, read_record, wanted_record
from piip_explore.search.pool import Pool
from piip_explore.search.samplers import choose
from piip_explore.search.storage import StudyStorage, leases
from piip_explore.search.study import Study
from piip_explore.search.supervisor import Supervisor
from piip_explore.testing.synthetic import evaluator
from piip_explore.testing.synthetic import synthetic_pool as replayed_pool


@dataclass(frozen=True)
class Troubled(ReplayEvaluator):
    """Does something bad to every design whose id begins with one of `unlucky`."""

    unlucky: str = ""
    how: str = "raise"

    def evaluate(self, task: EvaluationTask, progress: Progress) -> Outcome:
        if task.design_id[0] in self.unlucky:
            if self.how == "raise":
                raise RuntimeError("a bug\nwith more lines")
            if self.how == "refuse":
                raise InputError("this task has no eyes for it")
            if self.how == "cuda":
                raise RuntimeError("CUDA error: an illegal memory access was encountered")
            os.abort()
        return Outcome("ok", 1.0, None, 0.0)


@dataclass(frozen=True)
class BreaksDown(ReplayEvaluator):
    """Fails at everything on one device once there is a mark `breakdown`; the others then wait for one `found out`."""

    bad_device: str = ""
    marks: Path = Path()

    def evaluate(self, task: EvaluationTask, progress: Progress) -> Outcome:
        broken = (self.marks / "breakdown").exists()
        if broken and task.device == self.bad_device:
            raise OSError("no such device")
        while broken and not (self.marks / "found out").exists():
            progress(0.5)
            time.sleep(0.02)
        return Outcome("ok", 1.0, None, 0.0)


@dataclass(frozen=True)
class HangsOnce(ReplayEvaluator):
    """Hangs at the first evaluation of all; leaves a mark when it does."""

    marks: Path = Path()

    def evaluate(self, task: EvaluationTask, progress: Progress) -> Outcome:
        try:
            (self.marks / "hung").touch(exist_ok=False)
        except FileExistsError:
            return Outcome("ok", 1.0, None, 0.0)
        while True:
            time.sleep(3600)


@dataclass(frozen=True)
class Gated(ReplayEvaluator):
    """Waits at a gate, a folder, for a ticket (see `let_in`) or until the gate is open; or for ever, if it is `hung`.

    A hung one reports no progress either. Who is at the gate has left a file `at-ID` there.
    """

    gate: Path = Path()
    hung: bool = False

    def evaluate(self, task: EvaluationTask, progress: Progress) -> Outcome:
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


def start(pool: Pool, scores: Evaluator, storage: str, study: str, request: Request) -> Launch:
    """What `launch.launch` does, with the pool's synthetic costs."""
    store = find(storage, study)
    wanted = wanted_record(pool.space, scores, request, None if store is None else read_record(store))
    sampler = choose(request.sampler, pool, request.trials or DEFAULT_TRIALS, wanted)
    return assemble(pool, wanted, sampler, store or StudyStorage(storage, study, wanted.directions), request)


def supervised(study: Study, scores: Evaluator, devices: Sequence[str]) -> Supervisor:
    """What `session.run` makes, for processes of this machine."""
    return driven(study, scores, LocalEngine(devices))


def driven(study: Study, scores: Evaluator, engine: Engine) -> Supervisor:
    """What `session.run` makes."""
    return Supervisor(study, engine.start(scores, study.files / "logs"))


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("storage")
    parser.add_argument("study")
    parser.add_argument("trials", type=int)
    parser.add_argument("workers", type=int)
    parser.add_argument("delay", type=float, nargs="?", default=0.0)
    parser.add_argument("--gate", type=Path)
    parser.add_argument("--lease", type=float, default=3600.0)  # a crowded machine may keep it from beating for minutes
    parser.add_argument("--ray", metavar="ADDRESS")
    asked = parser.parse_args()
    leases.LEASE_SECONDS = asked.lease
    pool = replayed_pool()
    scores = evaluator(pool, delay=asked.delay)
    if asked.gate is not None:
        scores = Gated(**vars(scores), gate=asked.gate)
    launch = start(pool, scores, asked.storage, asked.study, Request(trials=asked.trials, sampler="random"))
    engine = RayEngine(asked.ray, asked.workers) if asked.ray else LocalEngine(["cpu"] * asked.workers)
    sys.exit(0 if driven(launch.study, scores, engine).run() else 1)


if __name__ == "__main__":
    main()
