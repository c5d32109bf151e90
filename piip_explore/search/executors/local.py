"""Worker processes on this machine."""

from __future__ import annotations

import multiprocessing
import os
import signal
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

from piip_explore.search import worker
from piip_explore.search.evaluators import EvaluationTask, Evaluator, Place
from piip_explore.search.executors import Died, Event

_OUTSIDE = (signal.SIGKILL, signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
_END_SECONDS = 5.0
"""How long workers have to end by themselves, all together."""


class _Worker:
    """A process, our end of the pipe to it, and what it evaluates."""

    def __init__(self, process: BaseProcess, pipe: Connection) -> None:
        self.process, self.pipe = process, pipe
        self.task: EvaluationTask | None = None
        self.out_of_memory = 0

    def send(self, message: object) -> None:
        """Send a message; if the process is dead, that is noticed elsewhere."""
        with suppress(OSError):
            self.pipe.send(message)

    def end(self, seconds: float) -> None:
        """Give the process so long to end by itself."""
        self.process.join(seconds)
        self.process.kill()
        self.process.join()
        self.pipe.close()


@dataclass(frozen=True)
class LocalEngine:
    """This machine: one worker process per entry of `devices`."""

    devices: Sequence[str]

    @property
    def device(self) -> str:
        """The first device."""
        return self.devices[0]

    def __str__(self) -> str:
        count = len(self.devices)
        return f"{count} worker{'s' * (count > 1)} on {', '.join(dict.fromkeys(self.devices))}"

    def start(self, evaluator: Evaluator, logs: Path) -> LocalExecutor:
        """Return the executor of the processes; each starts when it has something to do."""
        threads = max(1, (os.cpu_count() or 1) // len(self.devices))
        return LocalExecutor(evaluator, dict(enumerate(map(Place, self.devices))), logs, threads)


class LocalExecutor:
    """Worker processes that evaluate with `evaluator`, each with so many CPU `threads`.

    `workers` says where each is; what it prints goes to a file in the folder `logs`.
    """

    def __init__(self, evaluator: Evaluator, workers: Mapping[int, Place], logs: Path, threads: int) -> None:
        self.workers = workers
        self._evaluator, self._logs, self._threads = evaluator, logs, threads
        self._processes: dict[int, _Worker] = {}
        self._context = multiprocessing.get_context("spawn")

    def submit(self, number: int, task: EvaluationTask) -> None:
        """Begin an evaluation, in a new process if the worker has none that lives."""
        found = self._processes.get(number)
        if found is not None and not found.process.is_alive():
            self._processes.pop(number).end(0)
            found = None
        found = found or self._started(number)
        found.task, found.out_of_memory = task, _out_of_memory()
        found.send(task)

    def _started(self, number: int) -> _Worker:
        ours, theirs = self._context.Pipe()
        arguments = (theirs, self._logs / f"worker-{number}.log", os.getpid(), self._threads)
        process = self._context.Process(target=worker.main, args=arguments, name=f"worker-{number}")
        with _signals_held():
            process.start()
        theirs.close()
        started = self._processes[number] = _Worker(process, ours)
        # Not among the arguments: writing large ones to a child that is killed meanwhile blocks for ever.
        started.send(self._evaluator)
        return started

    def events(self, seconds: float) -> Iterator[tuple[int, Event]]:
        """Yield what workers have sent, and who has died."""
        running = {number: found for number, found in self._processes.items() if found.task is not None}
        busy: dict[Any, int] = {found.pipe: number for number, found in running.items()}
        if not busy:
            time.sleep(min(seconds, 0.02))
            return
        for pipe in wait(list(busy), seconds):
            number = busy[pipe]
            if number in self._processes and self._processes[number].pipe is pipe:  # the one before may have ended it
                yield number, self._received(number)

    def _received(self, number: int) -> Event:
        found = self._processes[number]
        try:
            event: Event = found.pipe.recv()
        except (EOFError, OSError):
            found.process.join(10)
            event = _death(found)
        if not isinstance(event, worker.Share):
            found.task = None
        # The next try comes from another process, and the next task's design is not blamed for this one's end.
        if isinstance(event, Died) or (isinstance(event, worker.Failed) and not event.final):
            self._processes.pop(number).end(2)
        return event

    def stop(self) -> None:
        """Ask all workers to stop."""
        for found in self._processes.values():
            found.send(worker.STOP)

    def kill(self, number: int) -> None:
        """Kill a worker's process."""
        if number in self._processes:
            self._processes.pop(number).end(0)

    def close(self) -> None:
        """Let idle workers end, and kill the others."""
        for found in self._processes.values():
            if found.task is None:
                found.send(worker.STOP)
        deadline = time.monotonic() + _END_SECONDS
        for found in self._processes.values():
            found.end(max(0.0, deadline - time.monotonic()) if found.task is None else 0)
        self._processes.clear()


def _death(found: _Worker) -> Died:
    code = found.process.exitcode
    if code is None or code >= 0:
        return Died(f"the worker process ended with status {code}")
    ended_by = signal.Signals(-code)
    if ended_by == signal.SIGKILL and _out_of_memory() > found.out_of_memory:
        return Died("the worker process was killed: the system is out of memory")
    return Died(f"the worker process died of {ended_by.name}", outside=ended_by in _OUTSIDE)


def _out_of_memory() -> int:
    """Return how many processes Linux has killed for memory since it started; 0 where it does not tell."""
    with suppress(OSError):
        for line in Path("/proc/vmstat").read_text().splitlines():
            if line.startswith("oom_kill "):
                return int(line.split()[1])
    return 0


@contextmanager
def _signals_held() -> Iterator[None]:
    """Hold back what stops the search, for a child to inherit until it is deaf to it; ours is delivered after that.

    Ctrl-C in a terminal reaches every process of the group, one that has just started too.
    """
    resource_tracker.ensure_running()  # before Python 3.12 its start lets the signals through again
    before = signal.pthread_sigmask(signal.SIG_BLOCK, worker.LEFT_TO_THE_SEARCH)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
