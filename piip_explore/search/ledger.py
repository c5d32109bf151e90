"""What a study's storage says: of its trials, and of the designs of a pool.

The ledger tells what is evaluated, what runs, what waits, and what may be queued again.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from piip_explore.design import Design
from piip_explore.search import pareto
from piip_explore.search.pool import Pool
from piip_explore.search.record import Record
from piip_explore.search.samplers import Observations
from piip_explore.search.storage import COMPLETE, FAIL, PRUNED, RUNNING, WAITING, StudyStorage, Table

INFEASIBLE = "infeasible: "
"""How the failure of a design begins that cannot be trained at all."""


@dataclass
class Rung:
    """Designs (by id) at one fidelity, with the number of the trial that stands for each."""

    evaluated: dict[str, int] = field(default_factory=dict)
    failed: dict[str, int] = field(default_factory=dict)
    under_way: dict[str, int] = field(default_factory=dict)
    infeasible: set[str] = field(default_factory=set)
    """Failed ones that nothing can train: they do not use up a study's budget."""

    longest: float = 0.0
    """Seconds of the longest evaluation so far."""

    def __contains__(self, design_id: str) -> bool:
        return design_id in self.evaluated or design_id in self.failed or design_id in self.under_way

    def __len__(self) -> int:
        return len(self.evaluated) + len(self.failed) + len(self.under_way)


class Ledger:
    """Reads a table's trials; `update` after every refresh of the storage."""

    def __init__(self, rungs: int) -> None:
        self._count = rungs
        self.clear()

    def clear(self) -> None:
        """Forget everything."""
        self.rungs = [Rung() for _ in range(self._count)]
        self.running: set[int] = set()
        self.waiting: set[int] = set()
        self.retried: set[int] = set()
        self.seconds = 0.0
        self._counted: set[int] = set()

    def update(self, table: Table, changed: Iterable[int]) -> None:
        """Take in the trials that changed, in the order of their numbers."""
        for number in changed:
            self._take(table, number)

    def _take(self, table: Table, number: int) -> None:
        self.running.discard(number)
        self.waiting.discard(number)
        design_id, rung_number = table.attribute("id", number), table.attribute("rung", number)
        if design_id is None or rung_number is None or rung_number >= len(self.rungs):
            return  # not a trial of ours
        rung, state = self.rungs[rung_number], table.state[number]
        retry_of = table.attribute("retry_of", number)
        if retry_of is not None:
            self.retried.add(retry_of)
        if rung.under_way.get(design_id) == number or state in (COMPLETE, PRUNED):
            rung.under_way.pop(design_id, None)
        if state != FAIL and rung.failed.get(design_id, number) < number:  # it was queued again by hand
            del rung.failed[design_id]
            rung.infeasible.discard(design_id)
        if state in (COMPLETE, PRUNED):
            rung.evaluated.setdefault(design_id, number)
            rung.longest = max(rung.longest, table.attribute("seconds", number, 0.0))
        elif state == FAIL:
            if table.attribute("final", number):
                rung.failed[design_id] = number
                if str(table.attribute("failure", number, "")).startswith(INFEASIBLE):
                    rung.infeasible.add(design_id)
        else:
            (self.running if state == RUNNING else self.waiting).add(number)
            current = rung.under_way.get(design_id, -1)
            rung.under_way[design_id] = max(current, number)
        if state not in (RUNNING, WAITING) and number not in self._counted:
            self._counted.add(number)
            self.seconds += table.attribute("seconds", number, 0.0)

    def stands_for(self, rung: int, design_id: str) -> int | None:
        """Return the number of the trial that has evaluated a design at a rung, or is to evaluate it."""
        books = self.rungs[rung]
        return books.evaluated.get(design_id, books.under_way.get(design_id))

    def queue(self, table: Table, without: Container[int]) -> tuple[list[int], list[int]]:
        """Return the waiting trials in the order in which to evaluate them, and those that come after all else.

        These are the ones whose search ended repeatedly, or their worker was killed: such a design may take the machine
        down. `without` are trials to leave out.
        """

        def ended(number: int) -> int:
            return int(table.attribute("interruptions", number, 0) + table.attribute("kills", number, 0))

        queue = sorted(
            (number for number in self.waiting if number not in without),
            key=lambda number: (ended(number) + len(table.attribute("crashes", number, ())), number),
        )
        return [number for number in queue if ended(number) < 2], [number for number in queue if ended(number) >= 2]

    def rival(self, table: Table, number: int) -> int | None:
        """Return the trial of another search that came first with the same design at its rung, None if none has."""
        design_id, rung = table.attribute("id", number), table.attribute("rung", number)
        standing = self.rungs[rung].evaluated.get(design_id)

        def rivals(other: int) -> bool:
            same = (table.attribute("id", other), table.attribute("rung", other)) == (design_id, rung)
            return same and other < number and lease_of(table, other) != lease_of(table, number)

        return standing if standing is not None else min(filter(rivals, self.running | self.waiting), default=None)

    def lost(self, table: Table, gone: Callable[[int, str], bool]) -> list[int]:
        """Return the running trials that nobody runs: `gone` tells by a trial's number and lease."""
        return [number for number in sorted(self.running) if gone(number, lease_of(table, number))]


def lease_of(table: Table, number: int) -> str:
    """Return the lease of the search that runs or ran a trial, empty where none is known."""
    return str((table.attribute("worker", number) or {}).get("lease", ""))


class PoolState:
    """Follows a storage: `refresh` takes in what is new.

    Attributes:
        ledger: what is evaluated, what runs, what waits.
        taken: mask of the pool's designs that have a trial at the lowest rung, (designs,).
    """

    def __init__(self, store: StudyStorage, record: Record, pool: Pool) -> None:
        self.store, self.record, self.pool = store, record, pool
        self.ledger = Ledger(len(record.rungs))
        self.taken = np.zeros(len(pool), dtype=bool)
        self._forget()
        store.refresh()
        self._take_in(range(len(store.table)))

    def _forget(self) -> None:
        self.ledger.clear()
        self.taken[:] = False
        self._rows = np.empty(0, dtype=np.int64)
        self._seen: set[int] = set()
        self._observed = np.empty(0, dtype=np.int64)
        self._losses = np.empty((0, len(self.record.objectives)))
        self._errors = np.empty(0)

    def refresh(self) -> bool:
        """Take in the trials that changed; return whether all was read anew, because the storage was cut."""
        changed = self.store.refresh()
        if changed is None:
            self._forget()
        self._take_in(range(len(self.store.table)) if changed is None else sorted(changed))
        return changed is None

    def _take_in(self, numbers: Sequence[int]) -> None:
        self.ledger.update(self.store.table, numbers)
        self._locate(range(len(self._rows), len(self.store.table)))
        self._observe(numbers)

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
        """Note which designs are taken, and the results of the lowest rung, in the order in which they came."""
        table = self.store.table
        news = []
        for number in numbers:
            row = self._rows[number]
            if row < 0 or table.attribute("rung", number) != 0:
                continue
            self.taken[row] = True
            if number not in self._seen and table.state[number] in (COMPLETE, PRUNED):
                self._seen.add(number)
                news.append(number)
        if news:
            errors = [table.attribute("standard_error", number, 0.0) for number in news]
            self._observed = np.concatenate((self._observed, self._rows[news]))
            self._losses = np.concatenate((self._losses, self.losses(news)))
            self._errors = np.concatenate((self._errors, errors))

    def row(self, number: int) -> int | None:
        """Return the pool's row of a trial's design, None if the pool does not hold it."""
        row = int(self._rows[number])
        return None if row < 0 else row

    def losses(self, numbers: Sequence[int]) -> npt.NDArray[np.float64]:
        """Return the values of finished trials, every objective to be minimised."""
        values = [self.store.table.values[number] for number in numbers]
        return pareto.to_losses(np.array(values, dtype=np.float64), self.record.directions)

    def observations(self) -> Observations:
        """Return what a sampler may know."""
        under_way = list(self.ledger.rungs[0].under_way.values())
        pending = self._rows[under_way] if under_way else np.empty(0, dtype=np.int64)
        return Observations(self._observed, self._losses, self._errors, self.taken, pending[pending >= 0])
