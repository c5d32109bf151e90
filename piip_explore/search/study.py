"""A study, live: which evaluation is next, and what became of each.

Every change goes to the storage before it counts. Whatever is killed, the storage then says what was finished, and
the next search puts back what was not.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

from piip_explore.design import Design
from piip_explore.search import pictures, rungs
from piip_explore.search.blame import MAX_CRASHES, Blame, Crash
from piip_explore.search.books import Books
from piip_explore.search.evaluators import EvaluationTask, Outcome, Place
from piip_explore.search.ledger import Ledger
from piip_explore.search.pool import Pool
from piip_explore.search.record import Record
from piip_explore.search.rungs import Promotions
from piip_explore.search.samplers import Sampler
from piip_explore.search.storage import FAIL, RUNNING, LockLostError, StudyStorage

T = TypeVar("T")

MAX_INFEASIBLE = 10
"""Designs that cannot be trained, and more than those that can, after which a study looks for no other ones."""


class Study:
    """Hands out evaluations and takes in outcomes, for one process; others may share the storage.

    `budget` is the number of designs to evaluate, over all searches of the study; `start` are designs to try first.
    """

    def __init__(
        self,
        store: StudyStorage,
        record: Record,
        pool: Pool,
        sampler: Sampler,
        budget: int,
        start: tuple[Design, ...] = (),
    ) -> None:
        self.store, self.record, self.pool, self.sampler, self.budget = store, record, pool, sampler, budget
        self.lease = uuid.uuid4().hex[:12]
        self.blame = Blame()
        self._start = [row for row in map(pool.row_of, start) if row is not None]
        store.join(self.lease)
        self.books = Books(store, record, pool, self.lease, self._forget)
        self._promotions = Promotions(self.books.known, budget)

    def _forget(self) -> None:
        """Begin anew with what goes by numbers of trials."""
        self._promotions.forget()
        self.blame.forget()

    @property
    def ledger(self) -> Ledger:
        """What is evaluated, what runs, what waits."""
        return self.books.ledger

    # --- handing out ---------------------------------------------------------------------------------------------

    def next(self, place: Place) -> EvaluationTask | None:
        """Claim the next evaluation for a worker at `place`; None if there is nothing to do now (see `done`).

        First what was queued again, then promotions to a longer run, then new designs, then what was interrupted
        repeatedly.
        """
        return self._locked(lambda: self._next(place))

    def _locked(self, operation: Callable[[], T]) -> T:
        """Run an operation under the study's lock; again, if the lock was lost before anything was created."""
        while True:
            try:
                with self.store.lock():
                    self.books.refresh()
                    return operation()
            except LockLostError:
                continue

    def _next(self, place: Place) -> EvaluationTask | None:
        self.books.take_back()
        self.books.reclaim()
        self.books.drop_needless()
        early, late = self.ledger.queue(self.store.table, self.blame.unproven(place))
        number = self._claim_first(early, place)
        if number is None:
            number = self._propose(place)
        if number is None:
            number = self._claim_first(late, place)
        if number is None:
            return None
        task = self.books.task(number, place, self.checkpoints)
        self.books.claimed[task] = number
        return task

    def _claim_first(self, numbers: Sequence[int], place: Place) -> int | None:
        for number in numbers:
            if self.books.claim(number, place):
                return number
        return None

    def _propose(self, place: Place) -> int | None:
        while (found := self._promotions.next(self._more_to_come) or self._new_design()) is not None:
            number = self.books.create(*found, RUNNING, {"worker": self.books.worker(place)})
            other = self.ledger.rival(self.store.table, number)
            if other is None:
                return number
            self.books.supersede(number, other)  # the lock was lost, and another search has proposed the same
        return None

    def probe(self, place: Place) -> EvaluationTask | None:
        """Return an evaluation that is known to succeed, the shortest of the study, to test a device with.

        It belongs to no trial, and its outcome is not recorded. None if the study has no success yet.
        """
        sound = self.ledger.rungs[0].evaluated.values()
        number = min(sound, key=lambda number: self.store.table.attribute("seconds", number, 0.0), default=None)
        if number is None:
            return None
        return self.books.task(number, place, self.files / "probes" / uuid.uuid4().hex)

    @property
    def done(self) -> bool:
        """Whether nothing is left to hand out, and nobody runs anything."""
        left = self.ledger.running or self.ledger.waiting or self._more_to_come
        return not left and self._promotions.next(more_to_come=False) is None

    @property
    def _more_to_come(self) -> bool:
        """Whether there are new designs to propose, and budget for them."""
        first = self.ledger.rungs[0]
        if len(first.infeasible) > max(len(first.evaluated), MAX_INFEASIBLE):
            return False  # the space is not for this evaluator
        counted = len(first) - len(first.infeasible) - self.blame.refused
        return counted < self.budget and not bool(self.books.known.taken.all())

    @property
    def work_left(self) -> float:
        """How much is left to evaluate, in full runs; what runs now counts whole, infeasible designs do not."""
        ended = (len(rung.evaluated) + len(rung.failed) - len(rung.infeasible) for rung in self.ledger.rungs)
        done = sum(rungs.work(fidelity) * n for fidelity, n in zip(self.record.rungs, ended, strict=True))
        return rungs.cost(self.record.rungs, self.budget) - done

    @property
    def files(self) -> Path:
        """The folder for what a study needs beside its storage: locks, checkpoints, workers' logs."""
        return self.store.url.files(self.store.study).absolute()

    @property
    def checkpoints(self) -> Path:
        """Where runs keep their checkpoints."""
        return self.files / "checkpoints"

    def _new_design(self) -> tuple[int, int] | None:
        if not self._more_to_come:
            return None
        for row in self._start:
            if not self.books.known.taken[row]:
                return row, 0
        with self.store.busy():  # a proposal may take longer than a lease lasts
            proposed = self.sampler.propose(self.books.known.observations())
        return None if proposed is None else (proposed, 0)

    # --- taking in -----------------------------------------------------------------------------------------------

    def complete(self, task: EvaluationTask, outcome: Outcome) -> None:
        """Record an outcome."""
        with self.store.lock():
            number = self.books.current(task)
            rung = self.books.rung(task)
            other = rung.evaluated.get(task.design_id)
            if number is None and other is None:  # another search runs it anew: what is done already counts
                number = rung.under_way.get(task.design_id)
            self.books.claimed.pop(task, None)
            if number is None:
                return
            if other is not None:
                self.books.supersede(number, other)
                return
            self.books.end(number, task.place, outcome)
        if outcome.picture:
            pictures.write(self.store.url, self.store.study, number, outcome.picture)

    def crashed(self, task: EvaluationTask, crash: Crash) -> None:
        """Record that an evaluation failed of its own doing, and queue the design again; `vouch` charges it."""
        copy = self._locked(lambda: self._failed(task, crash.reason, {}))
        if copy is not None:
            self.blame.crashed(task.place, task.design_id, copy, crash)

    def killed(self, task: EvaluationTask, reason: str) -> None:
        """Record that something else than the evaluation ended its worker, and queue the design again."""
        self._locked(lambda: self._failed(task, reason, {"kills": 1}))

    def _failed(self, task: EvaluationTask, reason: str, counts: Mapping[str, int]) -> int | None:
        number = self.books.current(task)
        copy = None if number is None else self.books.fail(number, reason, counts)
        self.books.claimed.pop(task, None)
        return copy

    def vouch(self, place: Place) -> None:
        """Charge the crashes so far on a device to their designs: the device has proved that it is sound.

        A design with too many of them is given up.
        """
        crashes = self.blame.clear(place)
        if crashes:
            with self.store.lock():
                self.books.refresh()
                for copy in sorted(self.ledger.waiting & crashes.keys()):
                    self._charge(copy, crashes[copy])

    def _charge(self, number: int, crash: Crash) -> None:
        """Charge a crash to the design of a waiting trial. Hold the lock."""
        reasons = [*self.store.table.attribute("crashes", number, ()), crash.reason]
        if not crash.once and len(reasons) < MAX_CRASHES:
            self.store.set_attributes(number, {"crashes": reasons})
        elif self.books.claim(number):
            times = "" if crash.once else f"; given up after {len(reasons)} such failures in different workers"
            failure = {"failure": crash.reason + times, "final": True, "crashes": reasons}
            self.store.finish(number, FAIL, None, failure)
        self.books.refresh()

    def put_back(self, task: EvaluationTask) -> None:
        """Return a claimed task to the queue: the search is stopping."""
        with self.store.lock():
            number = self.books.current(task)
            if number is not None:
                self.store.release(number)
                self.books.refresh()
            self.books.claimed.pop(task, None)
