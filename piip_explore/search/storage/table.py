"""All trials of one study as growing columns: what every storage reads into."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

RUNNING, COMPLETE, PRUNED, FAIL, WAITING = range(5)
"""States of a trial, with Optuna's numbers."""

STATES = ("RUNNING", "COMPLETE", "PRUNED", "FAIL", "WAITING")


RECORD = "record"
"""The study's user attribute that holds all of its record; its entries are read as attributes of their own."""

RESULT = "result"
"""The user attribute that holds all that an evaluation found; its entries are read as attributes of their own."""


class Table:
    """Trials as lists, one entry per trial number: live, filled by a storage, read by the columns and the ledger.

    `values` holds a list of objectives or None; `started` and `completed` are ISO times in UTC without a zone, or
    None. `params`, `attributes` and `constraints` map a name to a list with None where a trial lacks it.
    """

    def __init__(self) -> None:
        self.study_attributes: dict[str, Any] = {}
        self.directions: list[str] = []
        self.state: list[int] = []
        self.values: list[Sequence[float] | None] = []
        self.started: list[str | None] = []
        self.completed: list[str | None] = []
        self.params: dict[str, list[Any]] = {}
        self.attributes: dict[str, list[Any]] = {}
        self.constraints: dict[str, list[Any]] = {}

    def __len__(self) -> int:
        return len(self.state)

    def append(
        self,
        state: int,
        values: Sequence[float] | None,
        started: str | None,
        completed: str | None,
        params: Mapping[str, Any],
        attributes: Mapping[str, Any],
        constraints: Mapping[str, Any],
    ) -> int:
        """Add a trial and return its number."""
        number = len(self.state)
        self.state.append(state)
        self.values.append(values)
        self.started.append(started)
        self.completed.append(completed)
        if RESULT in attributes:  # a trial that was copied
            attributes = {**attributes, **attributes[RESULT]}
            del attributes[RESULT]
        _append(self.params, params, number)
        _append(self.attributes, attributes, number)
        _append(self.constraints, constraints, number)
        return number

    def set_study_attribute(self, name: str, value: Any) -> None:
        """Set a user attribute of the study, or those of its record."""
        self.study_attributes.update(value if name == RECORD else {name: value})

    def set_attribute(self, name: str, number: int, value: Any) -> None:
        """Set a user attribute of a trial, or those of its result."""
        for key, entry in (value if name == RESULT else {name: value}).items():
            self.set(self.attributes, key, number, entry)

    def set(self, column: dict[str, list[Any]], name: str, number: int, value: Any) -> None:
        """Set one entry of `params`, `attributes` or `constraints`."""
        if name not in column:
            column[name] = [None] * len(self.state)
        column[name][number] = value

    def attribute(self, name: str, number: int, default: Any = None) -> Any:
        """Return the attribute `name` of trial `number`, `default` where it has none."""
        entries = self.attributes.get(name)
        value = entries[number] if entries is not None else None
        return default if value is None else value

    def attributes_of(self, number: int) -> dict[str, Any]:
        """Return all attributes of trial `number`."""
        return {name: entries[number] for name, entries in self.attributes.items() if entries[number] is not None}

    def params_of(self, number: int) -> dict[str, Any]:
        """Return all parameters of trial `number`."""
        return {name: entries[number] for name, entries in self.params.items() if entries[number] is not None}


def _append(columns: dict[str, list[Any]], row: Mapping[str, Any], number: int) -> None:
    for name, entries in columns.items():
        entries.append(row.get(name))
    if not row.keys() <= columns.keys():
        for name in row:  # not the difference of the keys, a set: columns come in the order in which they are written
            if name not in columns:
                columns[name] = [*[None] * number, row[name]]
