"""What a study's storage says of the designs of a pool: their trials' rows, which are taken, and what they scored."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import numpy.typing as npt

from piip_explore.design import Design
from piip_explore.search import pareto
from piip_explore.search.ledger import Ledger
from piip_explore.search.pool import Pool
from piip_explore.search.record import Record
from piip_explore.search.samplers import Observations
from piip_explore.search.storage import COMPLETE, PRUNED, StudyStorage


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
