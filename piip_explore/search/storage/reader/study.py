"""One study as columns: what reading a journal and reading a database have in common."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache
from typing import Any

from piip_explore.search.storage.reader.notes import Notes
from piip_explore.search.storage.table import Table

CONSTRAINT = "constraints:"
"""Prefix of the system attributes in which Optuna 5 keeps a trial's constraints."""

METRIC_NAMES = "study:metric_names"
"""The study's system attribute in which Optuna keeps the names of the objectives."""


class StudyReader:
    """The study of one name in a storage.

    Attributes:
        table: the trials so far.
        study_id: the storage's number of the study, None while there is none of this name.
        names: the studies in the storage.
        ids: the storage's number of every trial, by its number in the study.
        numbers: the reverse.
        notes: notes on trials.
        changed: numbers of the trials that reads have found changed, until they are reported; None: all of them.
    """

    def __init__(self, study: str) -> None:
        self._study = study
        self.names: list[str] = []
        self.changed: set[int] | None = set()
        self._forget()

    def _forget(self) -> None:
        """Begin anew with what the study holds."""
        self.study_id: int | None = None
        self.table, self.notes = Table(), Notes()
        self.ids: list[int] = []
        self.numbers: dict[int, int] = {}

    def _append(self, trial: int, *columns: Any) -> int:
        """Add a trial to the table, which takes `columns`; return its number in the study."""
        number = self.table.append(*columns)
        self.ids.append(trial)
        self.numbers[trial] = number
        return number

    def _gather(self, changed: set[int] | None) -> None:
        """Add the trials that a read has found changed; None: everything was read anew."""
        self.changed = None if changed is None or self.changed is None else self.changed | changed


def parameter(distribution: str, stored: float) -> Any:
    """Return a parameter's value from its stored form; `distribution` is the JSON text of Optuna's distribution."""
    choices, integer = _parsed(distribution)
    if choices is not None:
        return choices[int(stored)]
    return int(stored) if integer else stored


@cache
def _parsed(distribution: str) -> tuple[list[Any] | None, bool]:
    """Return the choices of a distribution, None for a range, and whether that is of integers; a study has few."""
    parsed = json.loads(distribution)
    return parsed["attributes"].get("choices"), parsed["name"].startswith("Int")


def constraints(system_attributes: Mapping[str, Any]) -> dict[str, float]:
    """Return the constraints among a trial's system attributes, by name (Optuna 5, and Optuna 4's list)."""
    found = {str(i): value for i, value in enumerate(system_attributes.get("constraints") or ())}
    for name, value in system_attributes.items():
        if name.startswith(CONSTRAINT):
            found[name.removeprefix(CONSTRAINT)] = value
    return found
