"""The contract of an executor: what runs evaluations by numbered workers."""

from __future__ import annotations

import os
import signal
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from piip_explore.errors import InputError
from piip_explore.search.evaluators import EvaluationTask, Evaluator, Outcome, Place, Progress
from piip_explore.search.executors import Died, Event, Executor
from piip_explore.search.worker import STARTING, Done, Failed, Share, Stopped


@dataclass(frozen=True)
class Does:
    """An evaluator that does what its tasks' designs say; it writes the number of its process into the folder `notes`.

    `succeed`, `raise`, `refuse` and `abort` end; `wait` does not, and `hang` does not even show progress.
    """

    notes: Path

    def describe(self) -> dict[str, object]:
        """Return what identifies the evaluation."""
        return {"kind": "does"}

    def conditions(self, device: str) -> dict[str, str]:
        """Return constants."""
        return {"code_version": "1", "kernel_backend": "none"}

    def evaluate(self, task: EvaluationTask, progress: Progress) -> Outcome:
        """Do as the design says."""
        note = self.notes / f"{task.trial}.part"
        note.write_text(str(os.getpid()))
        note.rename(self.notes / str(task.trial))
        if task.design == "raise":
            raise RuntimeError("a bug")
        if task.design == "refuse":
            raise InputError("no eyes for it")
        if task.design == "abort":
            os.abort()
        while task.design == "hang":
            time.sleep(3600)
        while task.design == "wait":
            progress(0.5)
            time.sleep(0.02)
        return Outcome("ok", 3.0, None, 0.1, conditions={"device": task.device})


@dataclass
class ExecutorRun:
    """An executor that evaluates with `Does`, and what it has said so far."""

    executor: Executor
    notes: Path
    heard: dict[int, list[Event]] = field(default_factory=dict)
    tasks: int = 0

    def begin(self, number: int, design: str) -> int:
        """Have a worker do something, and return the number of the task."""
        self.tasks += 1
        self.heard[number] = []
        self.executor.submit(number, EvaluationTask(self.tasks, design, design, 1.0, 0, self.executor.workers[number]))
        return self.tasks

    def end(self, number: int) -> Event:
        """Listen until a worker's evaluation ends, and return how."""
        while not self.heard[number] or isinstance(self.heard[number][-1], Share):
            self.listen()
        return self.heard[number][-1]

    def listen(self) -> None:
        """Take in what there is to hear."""
        for number, event in self.executor.events(0.5):
            self.heard[number].append(event)

    def process(self, task: int) -> int:
        """Wait until a task has begun, and return the process that evaluates it."""
        wait_until((self.notes / str(task)).exists)
        return int((self.notes / str(task)).read_text())

    @property
    def two(self) -> list[int]:
        """The numbers of both workers, once they are there."""
        while len(self.executor.workers) < 2:
            self.listen()
        return list(self.executor.workers)


class ExecutorContract(ABC):
    """Tests of one executor with two workers on CPUs of this machine, on which the test sees their processes."""

    @abstractmethod
    def start(self, evaluator: Evaluator, logs: Path) -> Executor:
        """Return an executor with two workers that evaluate with `evaluator`."""

    @pytest.fixture
    def run(self, tmp_path: Path) -> Iterator[ExecutorRun]:
        """An executor that evaluates with `Does`; it is closed at the end."""
        executor = self.start(Does(tmp_path), tmp_path / "logs")
        yield ExecutorRun(executor, tmp_path)
        executor.close()

    def test_an_evaluation_shows_progress_and_has_an_outcome(self, run: ExecutorRun) -> None:
        """The first news is that it starts, the last one what it found, and where."""
        one, _ = run.two
        run.begin(one, "succeed")
        done = run.end(one)
        assert isinstance(done, Done)
        assert (done.outcome.score, done.outcome.conditions["device"]) == (3.0, "cpu")
        assert run.heard[one][0] == Share(0.0, STARTING)
        assert run.executor.workers[one] == Place("cpu")

    def test_a_worker_takes_another_evaluation_whatever_became_of_the_one_before(self, run: ExecutorRun) -> None:
        """Errors, refusals and crashes are told apart, and none ends the worker."""
        one, _ = run.two
        for design, event in {
            "raise": Failed("RuntimeError: a bug"),
            "refuse": Failed("infeasible: no eyes for it", final=True),
            "abort": Died("the worker process died of SIGABRT"),
        }.items():
            run.begin(one, design)
            assert run.end(one) == event
        run.begin(one, "succeed")
        assert isinstance(run.end(one), Done)

    def test_what_ends_a_worker_from_outside_is_told_from_what_it_does_itself(self, run: ExecutorRun) -> None:
        """A design is not charged with the end that another has made of it."""
        one, _ = run.two
        os.kill(run.process(run.begin(one, "wait")), signal.SIGKILL)
        assert run.end(one) == Died("the worker process died of SIGKILL", outside=True)

    def test_two_run_at_once_and_stop_at_their_next_step(self, run: ExecutorRun) -> None:
        """Each worker has a process of its own."""
        one, other = run.two
        processes = {run.process(run.begin(number, "wait")) for number in (one, other)}
        assert len(processes) == 2
        run.executor.stop()
        assert [run.end(one), run.end(other)] == [Stopped(), Stopped()]

    def test_a_kill_is_silent_and_ends_what_hangs(self, run: ExecutorRun) -> None:
        """The other worker knows nothing of it, and the same one takes the next evaluation."""
        one, other = run.two
        process = run.process(run.begin(one, "hang"))
        run.begin(other, "succeed")
        run.executor.kill(one)
        assert isinstance(run.end(other), Done)
        assert all(isinstance(event, Share) for event in run.heard[one])
        run.begin(one, "succeed")
        assert isinstance(run.end(one), Done)
        wait_until(lambda: not is_running(process))

    def test_closing_leaves_no_process_of_those_that_run_or_wait(self, tmp_path: Path) -> None:
        """Neither what hangs nor what is idle stays behind."""
        run = ExecutorRun(self.start(Does(tmp_path), tmp_path / "logs"), tmp_path)
        one, other = run.two
        processes = [run.process(run.begin(one, "hang")), run.process(run.begin(other, "succeed"))]
        run.end(other)
        run.executor.close()
        wait_until(lambda: not any(map(is_running, processes)))


def wait_until(condition: Callable[[], bool]) -> None:
    """Wait for something to happen; the test's own time limit is the only one."""
    while not condition():
        time.sleep(0.2)


def is_running(process: int) -> bool:
    """Whether there is a process of this number on this machine."""
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    return True
