"""Runs a study on this machine: worker processes, one per device slot, and the only writer of results.

A worker that dies is replaced; its design is queued again (see `ledger`). Ctrl-C or SIGTERM once ends the evaluations
at their next step and puts them back; twice kills the workers at once, and puts them back as well; three times leaves
them to the next search, for when the storage does not answer.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Any

from piip_explore.search import worker
from piip_explore.search.evaluators import Evaluator, Task
from piip_explore.search.study import Study

_POLL_SECONDS = 0.5
_MAX_FAILURES_IN_A_ROW = 12
"""Failed evaluations with no success in between after which a search gives up: the cause is not the designs."""


class SearchFailedError(RuntimeError):
    """Every evaluation fails; the message says how."""


@dataclass
class Slot:
    """A place for a worker process on a device."""

    number: int
    device: str
    process: BaseProcess | None = None
    pipe: Connection | None = None
    task: Task | None = None
    share: float = 0.0
    began: float = 0.0
    idle_until: float = 0.0


@dataclass
class Supervisor:
    """Evaluates a study's designs until its budget is spent. `report` is called about twice a second, and at the end.

    `devices` has one entry per worker.
    """

    study: Study
    evaluator: Evaluator
    devices: Sequence[str]
    report: Callable[[Supervisor], None] = lambda supervisor: None
    stopping: int = 0
    failures_in_a_row: int = 0
    last_failure: str = ""
    deaths: int = 0
    began: float = field(default_factory=time.monotonic)

    def __post_init__(self) -> None:
        self.slots = [Slot(number, device) for number, device in enumerate(self.devices)]
        self._told_to_stop = False
        self._context = multiprocessing.get_context("spawn")

    def run(self) -> bool:
        """Run to the end of the budget; return False if it was stopped before.

        Raises:
            SearchFailedError: evaluation after evaluation fails.
        """
        try:
            with self._signals():
                while not self._finished():
                    self._pass_on_stop()
                    for slot in self.slots:
                        self.study.store.beat()  # before every slot: a proposal or a busy server may take its time
                        self._tend(slot)
                    self._listen()
                    self.study.store.settle()
                    self.report(self)
        finally:
            self._end_workers()
            try:
                self._put_back()
            finally:
                self.study.store.leave()
            self.report(self)
        return not self.stopping

    def _finished(self) -> bool:
        if any(slot.task for slot in self.slots):
            return self.stopping > 1
        return bool(self.stopping) or self.study.done

    # --- workers -------------------------------------------------------------------------------------------------

    def _tend(self, slot: Slot) -> None:
        """Replace a dead worker, and give an idle one something to do."""
        if slot.process is not None and not slot.process.is_alive():
            self._bury(slot)
        if self.stopping or slot.task is not None or time.monotonic() < slot.idle_until:
            return
        if slot.process is None:
            self._start(slot)
        task = self.study.next(slot.device)
        if task is None:
            slot.idle_until = time.monotonic() + _POLL_SECONDS
            return
        slot.task, slot.share, slot.began = task, 0.0, time.monotonic()
        _send(slot, task)

    def _start(self, slot: Slot) -> None:
        ours, theirs = self._context.Pipe()
        log = self.study.files / "logs" / f"worker-{slot.number}.log"
        threads = max(1, (os.cpu_count() or 1) // len(self.slots))
        arguments = (theirs, log, os.getpid(), threads)
        slot.process = self._context.Process(target=worker.main, args=arguments, name=f"worker-{slot.number}")
        with _ignored_signals():  # a child inherits this: Ctrl-C in a terminal reaches every process of the group
            slot.process.start()
        theirs.close()
        slot.pipe = ours
        # Not among the arguments: writing large ones to a child that is killed meanwhile blocks for ever.
        _send(slot, self.evaluator)

    def _listen(self) -> None:
        """Wait for news from workers, and take it in."""
        busy: dict[Any, Slot] = {slot.pipe: slot for slot in self.slots if slot.task is not None}
        if not busy:
            time.sleep(0.02 if not self.stopping else 0)
            return
        for pipe in wait(list(busy), _POLL_SECONDS):
            slot = busy[pipe]
            try:
                self._take(slot, slot.pipe.recv() if slot.pipe else None)
            except (EOFError, OSError):
                self._bury(slot)

    def _take(self, slot: Slot, message: object) -> None:
        task = slot.task
        assert task is not None
        if isinstance(message, worker.Share):
            slot.share = message.value
            return
        slot.task = None
        if isinstance(message, worker.Done):
            self.study.complete(task, message.outcome)
            if message.outcome.status == "ok":
                self.failures_in_a_row = 0
            else:
                self._count_failure(message.outcome.message)
        elif isinstance(message, worker.Stopped):
            self.study.put_back(task)
        elif isinstance(message, worker.Failed):
            if message.broken:
                self._retire(slot)  # before it gets another task, whose design would be blamed for its end
            self.study.lost(task, message.reason, final=message.final)
            self._count_failure(message.reason)

    def _bury(self, slot: Slot) -> None:
        """Take note of a worker's death, after whatever it still sent."""
        assert slot.process is not None
        assert slot.pipe is not None
        process, pipe = slot.process, slot.pipe
        while slot.task is not None:
            try:
                if not pipe.poll():
                    break
                self._take(slot, pipe.recv())
            except (EOFError, OSError):
                break
        self._retire(slot)
        task, slot.task = slot.task, None
        if task is None:
            return
        if self.stopping:
            self.study.put_back(task)
            return
        self.deaths += 1
        self.study.lost(task, _cause(process.exitcode))
        self._count_failure(_cause(process.exitcode))

    def _retire(self, slot: Slot) -> None:
        """See a worker process off; the slot's next task starts another."""
        if slot.process is not None and slot.pipe is not None:
            slot.process.join(10)
            slot.process.kill()
            slot.pipe.close()
        slot.process = slot.pipe = None

    def _count_failure(self, reason: str) -> None:
        self.failures_in_a_row += 1
        self.last_failure = reason
        if self.failures_in_a_row >= max(_MAX_FAILURES_IN_A_ROW, 3 * len(self.slots)):
            raise SearchFailedError(
                f"{self.failures_in_a_row} evaluations in a row failed, the last one with: {reason} "
                f"(see {self.study.files / 'logs'})"
            )

    def _pass_on_stop(self) -> None:
        """Tell the workers to stop, here and not in the signal's handler: that may interrupt another message."""
        if self.stopping and not self._told_to_stop:
            self._told_to_stop = True
            for slot in self.slots:
                _send(slot, worker.STOP)

    # --- the end -------------------------------------------------------------------------------------------------

    def _end_workers(self) -> None:
        """Leave no process behind."""
        for slot in self.slots:
            if slot.pipe is not None and slot.task is None:
                _send(slot, worker.STOP)
        for slot in self.slots:
            if slot.process is None:
                continue
            if slot.task is None:
                slot.process.join(5)
            slot.process.kill()
            slot.process.join()

    def _put_back(self) -> None:
        """Leave no running trial behind."""
        for slot in self.slots:
            task, slot.task = slot.task, None
            if task is not None and self.stopping < 3:
                self.study.put_back(task)

    @contextmanager
    def _signals(self) -> Iterator[None]:
        def stop(number: int, frame: object) -> None:
            self.stopping += 1
            if self.stopping > 2:
                raise KeyboardInterrupt

        before = {name: signal.signal(name, stop) for name in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for name, handler in before.items():
                signal.signal(name, handler)


def _send(slot: Slot, message: object) -> None:
    """Send a message to a worker; if it is dead, that is noticed elsewhere."""
    if slot.pipe is not None:
        with suppress(OSError):
            slot.pipe.send(message)


@contextmanager
def _ignored_signals() -> Iterator[None]:
    before: dict[signal.Signals, Any] = {n: signal.signal(n, signal.SIG_IGN) for n in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for name, handler in before.items():
            signal.signal(name, handler)


def _cause(exitcode: int | None) -> str:
    if exitcode is None or exitcode >= 0:
        return f"the worker process ended with status {exitcode}"
    name = signal.Signals(-exitcode).name
    hint = " (killed; often the system is out of memory)" if name == "SIGKILL" else ""
    return f"the worker process died of {name}{hint}"
