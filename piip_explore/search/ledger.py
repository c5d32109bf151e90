"""The books of a study: what is evaluated, what runs, what waits, and what may be queued again."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from piip_explore.search.storage.table import COMPLETE, FAIL, PRUNED, RUNNING, WAITING, Table

MAX_DEATHS = 3
"""Workers that may die on one design at one rung; after that it is poison (so it is queued again at most twice)."""

MAX_LOSSES = 6
"""The same, counting interruptions of the whole search too: a design may take the entire machine down."""


@dataclass
class Rung:
    """Designs (by id) at one fidelity, with the number of the trial that stands for each."""

    evaluated: dict[str, int] = field(default_factory=dict)
    failed: dict[str, int] = field(default_factory=dict)
    under_way: dict[str, int] = field(default_factory=dict)

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
        if state in (COMPLETE, PRUNED):
            rung.evaluated.setdefault(design_id, number)
        elif state == FAIL:
            if table.attribute("final", number):
                rung.failed[design_id] = number
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

    def lost(self, table: Table, gone: Callable[[int, str], bool]) -> list[int]:
        """Return the running trials that nobody runs: `gone` tells by a trial's number and lease."""
        leases = {number: (table.attribute("worker", number) or {}).get("lease", "") for number in sorted(self.running)}
        return [number for number, lease in leases.items() if gone(number, lease)]


def is_poison(attributes: dict[str, Any], deaths: int, interruptions: int) -> bool:
    """Whether a trial that was lost `deaths` + `interruptions` more times is not to be queued again."""
    all_deaths = int(attributes.get("deaths", 0)) + deaths
    losses = all_deaths + int(attributes.get("interruptions", 0)) + interruptions
    return all_deaths >= MAX_DEATHS or losses >= MAX_LOSSES
