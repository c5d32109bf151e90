"""What a search writes of a study's trials: new ones, those that it runs, and what puts right what was lost.

Every operation here wants the study's lock, and leaves the ledger up to date.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from piip_explore.design import Design
from piip_explore.search.blame import LOST, MAX_KILLS
from piip_explore.search.evaluators import EvaluationTask, Outcome, Place
from piip_explore.search.ledger import Ledger, PoolState, Rung, lease_of
from piip_explore.search.pool import Pool
from piip_explore.search.record import Record, outcome_attributes
from piip_explore.search.storage import COMPLETE, FAIL, PRUNED, RUNNING, WAITING, NewTrial, StudyStorage


class Books:
    """A study's trials, for the search that holds `lease`.

    `when_cut` is called when the storage was cut, so that trials may have other numbers.

    Attributes:
        known: what the storage says of the pool's designs.
        claimed: what this search evaluates, each with the number of its trial.
    """

    def __init__(
        self, store: StudyStorage, record: Record, pool: Pool, lease: str, when_cut: Callable[[], None]
    ) -> None:
        self.store, self.record, self.pool, self.lease, self._when_cut = store, record, pool, lease, when_cut
        self.known = PoolState(store, record, pool)
        self.claimed: dict[EvaluationTask, int] = {}

    @property
    def ledger(self) -> Ledger:
        """What is evaluated, what runs, what waits."""
        return self.known.ledger

    def rung(self, task: EvaluationTask) -> Rung:
        """Return the rung that a task is at."""
        return self.ledger.rungs[self.record.rungs.index(task.fidelity)]

    def refresh(self) -> None:
        """Take in what is new."""
        if self.known.refresh():
            self._when_cut()
            self._restore_claims()

    def _restore_claims(self) -> None:
        """Write the claims anew that a cut storage has lost, so that nobody proposes them again."""
        for task in list(self.claimed):
            if task.design_id not in self.rung(task):
                row = self.pool.row_of(Design.parse(task.design))
                assert row is not None
                rung = self.record.rungs.index(task.fidelity)
                self.claimed[task] = self.create(row, rung, RUNNING, {"worker": self.worker(task.place)})

    # --- writing -------------------------------------------------------------------------------------------------

    def worker(self, place: Place | None = None) -> dict[str, Any]:
        """Return the attribute that says who runs a trial, and where."""
        place = place or Place("none")
        return {"host": place.host, "pid": os.getpid(), "device": place.device, "lease": self.lease}

    def create(self, row: int, rung: int, state: int, attributes: Mapping[str, Any]) -> int:
        """Create a trial of a pool's design and return its number."""
        number = self.store.create(new_trial(self.record, self.pool, row, rung, attributes), state)
        self.refresh()
        return number

    def claim(self, number: int, place: Place | None = None) -> bool:
        """Make a waiting trial one that this search runs; return False if another was faster."""
        claimed = self.store.claim(number, {"worker": self.worker(place)})
        self.refresh()
        return claimed

    def end(self, number: int, place: Place, outcome: Outcome) -> None:
        """End a trial with an outcome. A design that diverged or cannot be trained fails for good."""
        table, values = self.store.table, None
        attributes = outcome_attributes(outcome) | {"worker": self.worker(place)}
        found = self.record.values(outcome, table.attributes_of(number))
        if outcome.status == "ok" and all(np.isfinite(found)):
            values, state = found, COMPLETE if table.attribute("fidelity", number) == 1 else PRUNED
        else:
            reason = outcome.message or "an objective is not a number"
            state, attributes = FAIL, attributes | {"failure": f"{outcome.status}: {reason}", "final": True}
        self.store.finish(number, state, values, attributes)
        self.refresh()

    def supersede(self, number: int, other: int) -> None:
        """Fail a trial whose design another one has evaluated, or is to evaluate."""
        failure = {"failure": "evaluated by another trial meanwhile", "superseded_by": other}
        self.store.finish(number, FAIL, None, failure)
        self.refresh()

    def fail(self, number: int, reason: str, counts: Mapping[str, int]) -> int | None:
        """Queue a running trial's design again and fail the trial, in this order: a kill in between loses nothing.

        It is not queued again where another trial stands for the design already, or if this space does not hold it
        (another search has extended the study, and will propose it). `counts` are added to those of the trial. Returns
        the number of the trial that is queued.
        """
        attributes = self.store.table.attributes_of(number)
        failure: dict[str, Any] = {"failure": reason}
        other, row, copy = self.ledger.stands_for(attributes["rung"], attributes["id"]), self.known.row(number), None
        past: dict[str, Any] = {
            name: attributes[name] for name in ("crashes", "interruptions", "kills") if name in attributes
        }
        past |= {name: past.get(name, 0) + more for name, more in counts.items()}
        if past.get("kills", 0) >= MAX_KILLS and "kills" in counts:
            failure |= {"failure": f"{reason}; given up after the last of {MAX_KILLS} such ends", "final": True}
        elif number in self.ledger.retried:
            pass
        elif other not in (None, number):
            failure["superseded_by"] = other
        elif row is not None:
            copy = self.create(row, attributes["rung"], WAITING, {"retry_of": number, **past})
        self.store.finish(number, FAIL, None, failure)
        self.refresh()
        return copy

    # --- what this search evaluates ------------------------------------------------------------------------------

    def task(self, number: int, place: Place, checkpoints: Path) -> EvaluationTask:
        """Return the evaluation that a trial asks for."""
        attribute = self.store.table.attribute
        return EvaluationTask(
            trial=number,
            design=attribute("design", number),
            design_id=attribute("id", number),
            fidelity=attribute("fidelity", number),
            seed=attribute("seed", number),
            place=place,
            checkpoints=checkpoints,
        )

    def current(self, task: EvaluationTask) -> int | None:
        """Return the number of a claimed task's running trial, None if it has none any more."""
        self.refresh()
        self.reclaim()
        number = self.claimed.get(task)
        return number if number is not None and self._is_mine(number, task) else None

    def reclaim(self) -> None:
        """Claim again what is evaluated here though others have queued it again: this search had fallen silent.

        Nobody else, and no other worker of this search, then evaluates it a second time.
        """
        for task, number in self.claimed.items():
            if not self._is_mine(number, task):
                copy = self.rung(task).under_way.get(task.design_id)
                if copy is not None and copy in self.ledger.waiting and self.claim(copy, task.place):
                    self.claimed[task] = copy

    def _is_mine(self, number: int, task: EvaluationTask) -> bool:
        table = self.store.table
        mine = number in self.ledger.running and lease_of(table, number) == self.lease
        return mine and table.attribute("id", number) == task.design_id

    # --- putting right what was lost -----------------------------------------------------------------------------

    def take_back(self) -> None:
        """Queue again what searches that ended left running."""
        for number in self.ledger.lost(self.store.table, self._gone()):
            self.fail(number, LOST, {"interruptions": 1})

    def _gone(self) -> Callable[[int, str], bool]:
        alive: dict[str, bool] = {}
        claimed = set(self.claimed.values())

        def gone(number: int, lease: str) -> bool:
            if lease == self.lease:  # not claimed: the answer to its creation was lost
                return number not in claimed
            if lease not in alive:
                alive[lease] = self.store.alive(lease)
            return not alive[lease]

        return gone

    def drop_needless(self) -> None:
        """End what waits though it is evaluated: its search had fallen silent, and ended the run all the same."""
        attribute = self.store.table.attribute
        for number in sorted(self.ledger.waiting):
            other = self.ledger.rungs[attribute("rung", number)].evaluated.get(attribute("id", number))
            if other is not None and self.claim(number):
                self.supersede(number, other)


def new_trial(record: Record, pool: Pool, row: int, rung: int, attributes: Mapping[str, Any]) -> NewTrial:
    """Return the trial of a pool's design at a rung, with further attributes."""
    design, costs = pool.design(row), pool.costs_of(row)
    return NewTrial(
        params=pool.params(row),
        choices={axis.name: record.choices[axis.name] for axis in pool.axes},
        attributes={
            "design": str(design),
            "id": design.id,
            "fidelity": record.rungs[rung],
            "rung": rung,
            "seed": record.seed,
            **costs,
            **attributes,
        },
        constraints=record.limits.constraints(costs, record.gflops),
    )
