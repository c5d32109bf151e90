"""A study, live: which evaluation is next, and what became of each.

Every change goes to the storage before it counts. Whatever is killed, the storage then says what was finished, and
the next search puts back what was not.
"""

from __future__ import annotations

import os
import socket
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from piip_explore.design import Design
from piip_explore.search.evaluators import Outcome, Task
from piip_explore.search.known import Known
from piip_explore.search.ledger import Ledger, is_poison
from piip_explore.search.pool import Pool
from piip_explore.search.record import Record, outcome_attributes
from piip_explore.search.rungs import Promotions
from piip_explore.search.samplers import Sampler
from piip_explore.search.storage import COMPLETE, FAIL, PRUNED, RUNNING, WAITING, NewTrial, StudyStorage


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
        self.claimed: dict[Task, int] = {}
        self._start = [row for row in map(pool.row_of, start) if row is not None]
        store.join(self.lease)
        self._known = Known(store, record, pool)
        self._promotions = Promotions(self._known, budget)

    @property
    def ledger(self) -> Ledger:
        """What is evaluated, what runs, what waits."""
        return self._known.ledger

    # --- handing out ---------------------------------------------------------------------------------------------

    def next(self, device: str) -> Task | None:
        """Claim the next evaluation for a worker on `device`; None if there is nothing to do now (see `done`).

        First what was queued again, then promotions to a longer run, then new designs.
        """
        with self.store.lock():
            self._refresh()
            self._take_back()
            self._drop_needless()
            if self.ledger.waiting:
                number = min(self.ledger.waiting)
                self.store.claim(number, {"worker": self._worker(device)})
                self._refresh()
                return self._claimed(number, device)
            found = self._promotions.next(self._more_to_come) or self._new_design()
            if found is None:
                return None
            row, rung = found
            number = self._create(row, rung, RUNNING, {"worker": self._worker(device)})
            return self._claimed(number, device)

    @property
    def done(self) -> bool:
        """Whether nothing is left to hand out, and nobody runs anything."""
        left = self.ledger.running or self.ledger.waiting or self._more_to_come
        return not left and self._promotions.next(more_to_come=False) is None

    @property
    def _more_to_come(self) -> bool:
        """Whether there are new designs to propose, and budget for them."""
        return len(self.ledger.rungs[0]) < self.budget and not bool(self._known.taken.all())

    def _claimed(self, number: int, device: str) -> Task:
        attribute = self.store.table.attribute
        task = Task(
            design=attribute("design", number),
            design_id=attribute("id", number),
            fidelity=attribute("fidelity", number),
            seed=attribute("seed", number),
            device=device,
            checkpoints=self.checkpoints,
        )
        self.claimed[task] = number
        return task

    @property
    def files(self) -> Path:
        """The folder for what a study needs beside its storage: locks, checkpoints, workers' logs."""
        path = self.store.url.path
        return path.with_name(path.name + ".files") if path else Path("studies") / f"{self.store.study}.files"

    @property
    def checkpoints(self) -> Path:
        """Where runs keep their checkpoints."""
        return self.files / "checkpoints"

    def _new_design(self) -> tuple[int, int] | None:
        if not self._more_to_come:
            return None
        for row in self._start:
            if not self._known.taken[row]:
                return row, 0
        proposed = self.sampler.propose(self._known.observations())
        return None if proposed is None else (proposed, 0)

    def _create(self, row: int, rung: int, state: int, attributes: Mapping[str, Any]) -> int:
        number = self.store.create(self._new_trial(row, rung, attributes), state)
        self._refresh()
        return number

    def _new_trial(self, row: int, rung: int, attributes: Mapping[str, Any]) -> NewTrial:
        design, costs = self.pool.design(row), self.pool.costs_of(row)
        return NewTrial(
            params=self.pool.params(row),
            choices={axis.name: self.record.choices[axis.name] for axis in self.pool.axes},
            attributes={
                "design": str(design),
                "id": design.id,
                "fidelity": self.record.rungs[rung],
                "rung": rung,
                "seed": self.record.seed,
                **costs,
                **attributes,
            },
            constraints=self.record.limits.constraints(costs, self.record.gflops),
        )

    def _worker(self, device: str) -> dict[str, Any]:
        return {"host": socket.gethostname(), "pid": os.getpid(), "device": device, "lease": self.lease}

    # --- taking in -----------------------------------------------------------------------------------------------

    def complete(self, task: Task, outcome: Outcome) -> None:
        """Record an outcome. A design that diverged or cannot be trained fails for good."""
        with self.store.lock():
            number = self._current(task)
            rung = self.ledger.rungs[self.record.rungs.index(task.fidelity)]
            other = rung.evaluated.get(task.design_id)
            if number is None and other is None:  # another search runs it anew: what is done already counts
                number = rung.under_way.get(task.design_id)
            self.claimed.pop(task, None)
            if number is None:
                return
            if other is not None:
                self._supersede(number, other)
                return
            state, values, attributes = self._end(number, task, outcome)
            self.store.finish(number, state, values, attributes | {"worker": self._worker(task.device)}, {})
            self._refresh()

    def lost(self, task: Task, reason: str, *, final: bool = False) -> None:
        """Record that a task's worker died or failed: queue the design again, unless it did so too often."""
        with self.store.lock():
            number = self._current(task)
            if number is not None:
                self._fail(number, reason, deaths=1, interruptions=0, final=final)
                del self.claimed[task]

    def put_back(self, task: Task) -> None:
        """Return a claimed task to the queue: the search is stopping."""
        with self.store.lock():
            number = self._current(task)
            if number is not None:
                self.store.release(number, {})
                del self.claimed[task]
                self._refresh()

    def _end(self, number: int, task: Task, outcome: Outcome) -> tuple[int, list[float] | None, dict[str, Any]]:
        """Return the state, the values and the attributes with which an outcome ends its trial."""
        attributes = outcome_attributes(outcome)
        values = self.record.values(outcome, self.store.table.attributes_of(number))
        if outcome.status == "ok" and all(np.isfinite(values)):
            return COMPLETE if task.fidelity == 1 else PRUNED, values, attributes
        reason = outcome.message or "an objective is not a number"
        return FAIL, None, attributes | {"failure": f"{outcome.status}: {reason}", "final": True}

    def _current(self, task: Task) -> int | None:
        """Return the number of a claimed task's running trial. Hold the lock.

        None, and the claim is dropped, if the lease lapsed and another search has since taken the design over.
        """
        self._refresh()
        number = self.claimed[task]
        rung = self.ledger.rungs[self.record.rungs.index(task.fidelity)]
        for candidate in (number, rung.under_way.get(task.design_id, -1)):
            if candidate in self.ledger.running and self._is_mine(candidate, task):
                self.claimed[task] = candidate
                return candidate
        waiting = rung.under_way.get(task.design_id)
        if waiting in self.ledger.waiting and waiting is not None:
            self.store.claim(waiting, {"worker": self._worker(task.device)})
            self._refresh()
            self.claimed[task] = waiting
            return waiting
        del self.claimed[task]
        return None

    def _is_mine(self, number: int, task: Task) -> bool:
        attribute = self.store.table.attribute
        same = attribute("id", number) == task.design_id and attribute("fidelity", number) == task.fidelity
        return same and (attribute("worker", number) or {}).get("lease") == self.lease

    # --- putting right what was lost -----------------------------------------------------------------------------

    def _take_back(self) -> None:
        """Queue again what searches left running that are no more. Hold the lock."""
        alive: dict[str, bool] = {}
        claimed = set(self.claimed.values())

        def gone(number: int, lease: str) -> bool:
            if lease == self.lease:  # not claimed: the answer to its creation was lost
                return number not in claimed
            if lease not in alive:
                alive[lease] = self.store.alive(lease)
            return not alive[lease]

        for number in self.ledger.lost(self.store.table, gone):
            self._fail(number, "the search that ran it ended without a word", deaths=0, interruptions=1)

    def _drop_needless(self) -> None:
        """End what waits though it is evaluated: its search had fallen silent, and ended the run all the same."""
        attribute = self.store.table.attribute
        for number in sorted(self.ledger.waiting):
            other = self.ledger.rungs[attribute("rung", number)].evaluated.get(attribute("id", number))
            if other is not None:
                self.store.claim(number, {"worker": self._worker("none")})
                self._supersede(number, other)

    def _supersede(self, number: int, other: int) -> None:
        failure = {"failure": "evaluated by another trial meanwhile", "superseded_by": other}
        self.store.finish(number, FAIL, None, failure, {})
        self._refresh()

    def _fail(self, number: int, reason: str, deaths: int, interruptions: int, final: bool = False) -> None:
        """Queue a running trial's design again and fail the trial, in this order: a kill in between loses nothing.

        It is not queued again where another trial stands for the design already, or if this space does not hold it
        (another search has extended the study, and will propose it).
        """
        attributes = self.store.table.attributes_of(number)
        failure: dict[str, Any] = {"failure": reason}
        other, row = self.ledger.stands_for(attributes["rung"], attributes["id"]), self._known.row(number)
        if final:
            failure["final"] = True
        elif number in self.ledger.retried:
            pass
        elif other not in (None, number):
            failure["superseded_by"] = other
        elif is_poison(attributes, deaths, interruptions):
            failure |= {"failure": f"{reason}; given up after the last of several such failures", "final": True}
        elif row is not None:
            self._create(
                row,
                attributes["rung"],
                WAITING,
                {
                    "retry_of": number,
                    "deaths": attributes.get("deaths", 0) + deaths,
                    "interruptions": attributes.get("interruptions", 0) + interruptions,
                },
            )
        self.store.finish(number, FAIL, None, failure, {})
        self._refresh()

    # --- what is known -------------------------------------------------------------------------------------------

    def _refresh(self) -> None:
        if self._known.refresh():
            self._promotions.forget()
            self._restore_claims()

    def _restore_claims(self) -> None:
        """Write the claims anew that a storage has lost when its file was cut, so that nobody proposes them again."""
        for task in list(self.claimed):
            rung = self.record.rungs.index(task.fidelity)
            if task.design_id not in self.ledger.rungs[rung]:
                row = self.pool.row_of(Design.parse(task.design))
                assert row is not None
                self.claimed[task] = self._create(row, rung, RUNNING, {"worker": self._worker(task.device)})
