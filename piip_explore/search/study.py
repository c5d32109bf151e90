"""A study, live: which evaluation is next, and what became of each.

Every change goes to the storage before it counts. Whatever is killed, the storage then says what was finished, and
the next search puts back what was not.
"""

from __future__ import annotations

import os
import socket
import uuid
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from piip_explore.design import Design
from piip_explore.search import pareto, rungs
from piip_explore.search.evaluators import Outcome, Task
from piip_explore.search.ledger import Ledger, is_poison
from piip_explore.search.pool import Pool
from piip_explore.search.record import Record
from piip_explore.search.samplers import Observations, Sampler
from piip_explore.search.storage import COMPLETE, FAIL, PRUNED, RUNNING, WAITING, NewTrial, StudyStorage


@dataclass(frozen=True)
class Observed:
    """Results of the lowest rung, in the order in which they became known: rows of the pool, losses, errors."""

    numbers: set[int]
    rows: npt.NDArray[np.int64]
    losses: npt.NDArray[np.float64]
    standard_error: npt.NDArray[np.float64]

    @classmethod
    def none(cls, objectives: int) -> Observed:
        """Nothing is known yet."""
        return cls(set(), np.empty(0, dtype=np.int64), np.empty((0, objectives)), np.empty(0))

    def and_also(
        self, rows: npt.NDArray[np.int64], losses: npt.NDArray[np.float64], errors: npt.NDArray[np.float64]
    ) -> Observed:
        """Return this and more."""
        return Observed(
            self.numbers,
            np.concatenate((self.rows, rows)),
            np.concatenate((self.losses, losses)),
            np.concatenate((self.standard_error, errors)),
        )


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
        self.ledger = Ledger(len(record.rungs))
        self.claimed: dict[Task, int] = {}
        self._promotions: dict[tuple[int, int, int], list[str]] = {}
        self._start = [row for row in map(pool.row_of, start) if row is not None]
        self._rows = np.empty(0, dtype=np.int64)
        self._observed = Observed.none(len(record.objectives))
        self._taken = np.zeros(len(pool), dtype=bool)
        store.join(self.lease)
        store.refresh()
        self._take_in(None)

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
            found = self._promotion() or self._new_design()
            if found is None:
                return None
            row, rung = found
            number = self._create(row, rung, RUNNING, {"worker": self._worker(device)})
            return self._claimed(number, device)

    @property
    def done(self) -> bool:
        """Whether nothing is left to hand out, and nobody runs anything."""
        return not (self.ledger.running or self.ledger.waiting) and not (
            self._promotion() or self._new_design(dry=True)
        )

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

    def _promotion(self) -> tuple[int, int] | None:
        """Return the row and rung of a design that deserves a longer run."""
        for number in range(len(self.record.rungs) - 1, 0, -1):
            below, rung = self.ledger.rungs[number - 1], self.ledger.rungs[number]
            complete = not below.under_way and not self._rung_open(number - 1)
            quota = rungs.quota(self.record.rungs, number, min(self.budget, len(self.pool)))
            if not complete or len(rung) >= quota:
                continue
            for design_id in self._best_of(number - 1, quota):
                row = self._row(below.evaluated[design_id])
                if design_id not in rung and row is not None:
                    return row, number
        return None

    def _best_of(self, number: int, count: int) -> list[str]:
        """Return the ids of the best `count` designs of a complete rung."""
        rung = self.ledger.rungs[number]
        key = (number, len(rung.evaluated), count)
        if key not in self._promotions:
            ids = [design_id for design_id, trial in rung.evaluated.items() if self._row(trial) is not None]
            losses = self._losses([rung.evaluated[design_id] for design_id in ids])
            self._promotions[key] = rungs.promoted(ids, losses, count)
        return self._promotions[key]

    def _rung_open(self, number: int) -> bool:
        """Whether more designs are to come to a rung."""
        if number == 0:
            return self._new_design(dry=True) is not None
        below, rung = self.ledger.rungs[number - 1], self.ledger.rungs[number]
        quota = rungs.quota(self.record.rungs, number, min(self.budget, len(self.pool)))
        return len(rung) < min(quota, len(below.evaluated))

    def _new_design(self, dry: bool = False) -> tuple[int, int] | None:
        if len(self.ledger.rungs[0]) >= self.budget or self._taken.all():
            return None
        if dry:
            return -1, 0
        for row in self._start:
            if not self._taken[row]:
                return row, 0
        proposed = self.sampler.propose(self._observations())
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
        number = self._current(task)
        if number is None:
            return
        attributes: dict[str, Any] = {
            "standard_error": outcome.standard_error,
            "seconds": outcome.seconds,
            "peak_memory": outcome.peak_memory,
            "latency": outcome.latency,
            "memory": outcome.memory,
            "conditions": dict(outcome.conditions) or None,
            "metrics": dict(outcome.details) or None,
            "curve": [[seen, float(f"{loss:.4g}")] for seen, loss in outcome.curve] or None,
        }
        attributes = {name: value for name, value in attributes.items() if value is not None}
        values = self._values(number, outcome) if outcome.status == "ok" else None
        if values is not None and all(np.isfinite(values)):
            state = COMPLETE if task.fidelity == 1 else PRUNED
        else:
            state, values = FAIL, None
            reason = outcome.message or "an objective is not a number"
            attributes |= {"failure": f"{outcome.status}: {reason}", "final": True}
        self.store.finish(number, state, values, attributes, {})
        del self.claimed[task]
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
        number = self._current(task)
        if number is not None:
            self.store.release(number, {})
            del self.claimed[task]
            self._refresh()

    def _current(self, task: Task) -> int | None:
        """Return the number of a claimed task's running trial.

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

    def _create_again(self, task: Task) -> int:
        row = self.pool.row_of(Design.parse(task.design))
        assert row is not None
        attributes = {"worker": self._worker(task.device)}
        number = self._create(row, self.record.rungs.index(task.fidelity), RUNNING, attributes)
        self.claimed[task] = number
        return number

    def _take_back(self) -> None:
        """Queue again what searches left running that are no more. Called with the lock held."""
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
        """Fail what waits though it is evaluated: its search had fallen silent, and ended the run all the same."""
        for number in sorted(self.ledger.waiting):
            rung = self.ledger.rungs[self.store.table.attribute("rung", number)]
            if self.store.table.attribute("id", number) in rung.evaluated:
                self.store.claim(number, {"worker": self._worker("none")})
                self.store.finish(number, FAIL, None, {"failure": "evaluated by another trial meanwhile"}, {})
                self._refresh()

    def _fail(self, number: int, reason: str, deaths: int, interruptions: int, final: bool = False) -> None:
        """Queue a running trial's design again and fail the trial, in this order: a kill in between loses nothing."""
        attributes = self.store.table.attributes_of(number)
        if number not in self.ledger.retried and not final:
            final = is_poison(attributes, deaths, interruptions)
            if final:
                reason += "; given up after the last of several such failures"
            else:
                row = self._row(number)
                assert row is not None
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
        failure = {"failure": reason} | ({"final": True} if final else {})
        self.store.finish(number, FAIL, None, failure, {})
        self._refresh()

    def _values(self, number: int, outcome: Outcome) -> list[float]:
        attribute = self.store.table.attribute
        known = {
            "score": outcome.score,
            "gflops": attribute(self.record.gflops, number),
            "params": attribute("params", number),
            "latency": outcome.latency,
            "memory": outcome.memory,
        }
        return [float("nan") if known[name] is None else float(known[name]) for name in self.record.objectives]

    # --- what is known -------------------------------------------------------------------------------------------

    def _refresh(self) -> None:
        self._take_in(self.store.refresh())

    def _take_in(self, changed: set[int] | None) -> None:
        """Take in the trials that changed; None means all of them, from nothing."""
        table = self.store.table
        numbers = range(len(table)) if changed is None else sorted(changed)
        if changed is None:
            self._rows = np.empty(0, dtype=np.int64)
            self._taken[:] = False
            self._observed, self._promotions = Observed.none(len(self.record.objectives)), {}
        self.ledger.update(table, None if changed is None else numbers)
        self._locate(range(len(self._rows), len(table)))
        self._observe(numbers)
        if changed is None:
            self._restore_claims()

    def _locate(self, numbers: range) -> None:
        """Find the pool's rows of new trials: by their parameters, else (the space has grown) by their design."""
        if not numbers:
            return
        table = self.store.table
        rows = self.pool.find_params(table.params, numbers)
        for at in np.flatnonzero(rows < 0):
            text = table.attribute("design", numbers[at])
            row = None if text is None else self.pool.row_of(Design.parse(text))
            rows[at] = -1 if row is None else row
        self._rows = np.concatenate((self._rows, rows))

    def _observe(self, numbers: Iterable[int]) -> None:
        """Note which designs are taken, and the results of the lowest rung."""
        table, seen = self.store.table, self._observed.numbers
        news = []
        for number in numbers:
            row = self._rows[number]
            if row < 0 or table.attribute("rung", number) != 0:
                continue
            self._taken[row] = True
            if number not in seen and table.state[number] in (COMPLETE, PRUNED):
                seen.add(number)
                news.append(number)
        if news:
            errors = [table.attribute("standard_error", number, 0.0) for number in news]
            self._observed = self._observed.and_also(self._rows[news], self._losses(news), np.array(errors))

    def _restore_claims(self) -> None:
        """Write the claims anew that a storage has lost when its file was cut, so that nobody proposes them again."""
        for task in list(self.claimed):
            rung = self.ledger.rungs[self.record.rungs.index(task.fidelity)]
            if task.design_id not in rung:
                self._create_again(task)

    def _row(self, number: int) -> int | None:
        """Return the pool's row of a trial's design, None if the pool does not hold it."""
        row = int(self._rows[number])
        return None if row < 0 else row

    def _losses(self, numbers: list[int]) -> npt.NDArray[np.float64]:
        values = [self.store.table.values[number] for number in numbers]
        return pareto.to_losses(np.array(values, dtype=np.float64), self.record.directions)

    def _observations(self) -> Observations:
        under_way = list(self.ledger.rungs[0].under_way.values())
        pending = self._rows[under_way] if under_way else np.empty(0, dtype=np.int64)
        seen = self._observed
        return Observations(seen.rows, seen.losses, seen.standard_error, self._taken, pending[pending >= 0])
