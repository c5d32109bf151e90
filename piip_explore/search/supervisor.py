"""Runs a study: brings together what hands out evaluations and what runs them.

It alone writes what its workers find, wherever they are. A failed evaluation is charged to its design or to its device
(see `blame`); a device that is at fault gets no more evaluations. Ctrl-C or SIGTERM once ends the evaluations at their
next step, twice kills the workers at once, and both put the evaluations back; three times leaves them to the next
search, for when the storage does not answer.
"""

from __future__ import annotations

import logging
import os
import shutil
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

from piip_explore.search.blame import Crash
from piip_explore.search.evaluators import EvaluationTask, Place
from piip_explore.search.executors import Died, Event, Executor
from piip_explore.search.storage import WaitEndedError
from piip_explore.search.study import Study
from piip_explore.search.worker import STARTING, Done, Failed, Share, Stopped

STOPPING_PATIENCE_SECONDS = 4.0
"""How long a search that is to stop waits for a lock or a server."""

HUNG_AFTER_TIMES = 10.0
"""An evaluation that shows no progress for so many times the longest one of its rung is ended."""

HUNG_AFTER_SECONDS = 600.0
"""It gets this long at least."""

HUNG_UNKNOWN_SECONDS = 6 * 3600.0
"""The same while no evaluation of the rung has ended."""

START_SECONDS = 600.0
"""How long a worker process may take to start, besides that."""

STARTED_SECONDS = 2.5
"""How long an evaluation that has not begun to train has to answer to a stop."""

_POLL_SECONDS = 0.5

_log = logging.getLogger(__name__)


class SearchFailedError(RuntimeError):
    """No device evaluates anything; the message says how they fail."""


@dataclass
class Slot:
    """A worker and its evaluation.

    `heard`: when it last showed progress; `probe`: it tests the place; `phase`: what it is doing, since when, and the
    share of that; `trained`: when it began to train.
    """

    number: int
    place: Place
    task: EvaluationTask | None = None
    share: float = 0.0
    heard: float = 0.0
    phase: str = ""
    phase_since: float = 0.0
    of_phase: float = 0.0
    trained: float | None = None
    idle_until: float = 0.0
    probe: bool = False

    def begin(self, task: EvaluationTask, probe: bool) -> None:
        """Take on an evaluation, which tests the place if it is a probe."""
        now = time.monotonic()
        self.task, self.share, self.heard, self.probe = task, 0.0, now + START_SECONDS, probe
        self.phase, self.phase_since, self.of_phase, self.trained = STARTING, now, 0.0, None

    def follow(self, news: Share) -> None:
        """Take in what the evaluation says of itself."""
        now = time.monotonic()
        if news.phase != self.phase:
            self.phase, self.phase_since = news.phase, now
        if news.value and self.trained is None:
            self.trained = now
        self.heard, self.share, self.of_phase = now, news.value, news.of_phase


@dataclass
class Supervisor:
    """Evaluates a study's designs until its budget is spent.

    `report` is called about twice a second, and at the end; `ended` with every evaluation that ends, when its outcome
    is in the study.
    """

    study: Study
    executor: Executor
    report: Callable[[Supervisor], None] = lambda supervisor: None
    ended: Callable[[Slot, EvaluationTask, Event], None] = lambda slot, task, event: None
    stopping: int = 0
    deaths: int = 0
    began: float = field(default_factory=time.monotonic)

    def __post_init__(self) -> None:
        self._slots: dict[int, Slot] = {}
        self._count_workers()
        self.quarantined: dict[Place, str] = {}
        self._stop_told: float | None = None

    def run(self) -> bool:
        """Run to the end of the budget; return False if it was stopped before that.

        Raises:
            SearchFailedError: no device is left that evaluates anything.
        """
        with self._signals():  # to the end: what is put back there stays put back
            try:
                while not self._finished():
                    if self.stopping:
                        self._pass_on_stop()
                    self._count_workers()
                    for slot in self.slots:
                        self.study.store.beat()  # before every slot: a proposal or a busy server may take its time
                        self._tend(slot)
                    self._listen()
                    self.study.store.settle()
                    self.report(self)
                finished = self.study.done
            except WaitEndedError:
                if not self.stopping:
                    raise
                finished = False
            finally:
                self.executor.close()
                try:
                    self._put_back()
                finally:
                    self.study.store.leave()
                self.report(self)
        return finished

    def _finished(self) -> bool:
        if any(slot.task for slot in self.slots):
            return self.stopping > 1
        return bool(self.stopping) or self.study.done

    # --- handing out ---------------------------------------------------------------------------------------------

    @property
    def slots(self) -> list[Slot]:
        """The workers, and what each does."""
        return list(self._slots.values())

    def _count_workers(self) -> None:
        """Take in which workers there are: they come and go with the nodes of a cluster."""
        workers = self.executor.workers
        for number, place in workers.items():
            self._slots.setdefault(number, Slot(number, place))
        for slot in self.slots:
            if slot.number not in workers and slot.task is None:
                del self._slots[slot.number]

    def _tend(self, slot: Slot) -> None:
        """Give an idle slot something to do."""
        now = time.monotonic()
        if self.stopping or slot.task is not None or slot.place in self.quarantined or now < slot.idle_until:
            return
        suspicious = self.study.blame.suspicious(slot.place)
        task = None if suspicious else self.study.next(slot.place)
        probe = task is None and (suspicious or bool(self.study.blame.unproven(slot.place)))
        if probe and all(other.task is None for other in self.slots if other.place == slot.place):
            task = self.study.probe(slot.place)
            if task is None:
                self._quarantine(slot.place)
                return
        if task is None:
            slot.idle_until = now + _POLL_SECONDS
            return
        slot.begin(task, probe)
        self.executor.submit(slot.number, task)

    # --- taking in -----------------------------------------------------------------------------------------------

    def _listen(self) -> None:
        """Take in what executor and clock have to say."""
        for number, event in self.executor.events(_POLL_SECONDS):
            slot = self._slots[number]
            if isinstance(event, Share):
                slot.follow(event)
            else:
                self._end(slot, event)
        for slot in self.slots:
            limit = self._limit(slot)
            if slot.task is not None and time.monotonic() - slot.heard > limit:
                self.executor.kill(slot.number)
                _log.warning("%s has shown no progress for %.0f s: ended, to be tried again", slot.task.design, limit)
                self._end(slot, Died(f"no progress for {limit:.0f} s"))

    def _limit(self, slot: Slot) -> float:
        """Return after how many seconds without progress a slot's evaluation hangs."""
        if slot.task is None:
            return float("inf")
        longest = self.study.books.rung(slot.task).longest
        return max(HUNG_AFTER_SECONDS, HUNG_AFTER_TIMES * longest) if longest else HUNG_UNKNOWN_SECONDS

    def _end(self, slot: Slot, event: Event) -> None:
        """Take in the end of a slot's evaluation."""
        task, slot.task = slot.task, None
        assert task is not None
        self.deaths += isinstance(event, Died)
        if slot.probe:
            self._judge(slot.place, task, event)
        elif isinstance(event, Done):
            self.study.complete(task, event.outcome)
            if event.outcome.status == "ok":
                self.study.vouch(slot.place)
        elif isinstance(event, Stopped) or self.stopping:
            self.study.put_back(task)
        elif isinstance(event, Died) and event.outside:
            self.study.killed(task, event.reason)
        elif isinstance(event, Failed | Died):
            self.study.crashed(task, Crash(event.reason, once=isinstance(event, Failed) and event.final))
        if not slot.probe:
            self.ended(slot, task, event)

    def _judge(self, place: Place, task: EvaluationTask, event: Event) -> None:
        """Say what a device's test has shown: crashes on a sound one count against the designs."""
        if task.checkpoints is not None:
            shutil.rmtree(task.checkpoints, ignore_errors=True)
        if isinstance(event, Done) and event.outcome.status == "ok":
            self.study.vouch(place)
        elif not (isinstance(event, Stopped) or (isinstance(event, Died) and event.outside)):
            self._quarantine(place)

    def _quarantine(self, place: Place) -> None:
        """Use a place no more, and charge nothing that happened there to designs.

        Raises:
            SearchFailedError: it was the last one.
        """
        reasons = self.study.blame.failures(place)
        self.study.blame.clear(place)
        self.quarantined[place] = reasons[-1]
        count = f"{len(reasons)} designs in a row" if len(reasons) > 1 else "everything"
        sentence = f"{count} failed on {place.device} of {place.host}, the last one with: {reasons[-1]}"
        logs = self.study.files / "logs"
        if all(slot.place in self.quarantined for slot in self.slots):
            raise SearchFailedError(f"{sentence} (see {logs}); the designs are queued again, for when it is mended")
        _log.warning("%s (see %s): it is used no more, and its designs are queued again", sentence, logs)

    # --- stopping ------------------------------------------------------------------------------------------------

    def _pass_on_stop(self) -> None:
        """Tell the workers to stop, here and not in the signal's handler: that may interrupt another message.

        What does not answer because it has not begun to train is ended: it has nothing to lose.
        """
        if self._stop_told is None:
            self._stop_told = time.monotonic()
            self.executor.stop()
        for slot in self.slots:
            if slot.task is not None and not slot.share and time.monotonic() - self._stop_told > STARTED_SECONDS:
                self.executor.kill(slot.number)
                self._end(slot, Stopped())

    def _put_back(self) -> None:
        """Leave no running trial behind, if the storage answers in time; else the next search takes them back."""
        for slot in self.slots:
            task, slot.task = slot.task, None
            if task is not None and not slot.probe:
                with suppress(WaitEndedError):
                    self.study.put_back(task)

    @contextmanager
    def _signals(self) -> Iterator[None]:
        def stop(number: int, frame: object) -> None:
            self.stopping += 1
            self.study.store.patience.limit = STOPPING_PATIENCE_SECONDS
            if self.stopping > 2:
                self._abandon()

        before = {name: signal.signal(name, stop) for name in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for name, handler in before.items():
                signal.signal(name, handler)

    def _abandon(self) -> None:
        """End this process wherever it is: no exception ends a call safely that does not answer."""
        try:
            sys.stderr.write("\npiip-explore: stopped at once; the next search takes up what ran\n")
            sys.stderr.flush()
            for slot in self.slots:
                self.executor.kill(slot.number)
        finally:
            os._exit(1)
