"""Reading studies as columns: 100,000 trials in seconds, where Optuna's objects take a minute.

    study = columns.read("studies/demo.journal", "demo")
    study.values[:, 0]                 # scores, NaN where a trial has none
    study.attributes["design"]         # a pandas column; `record` lists what there is
    study.front()                      # trial numbers of the Pareto front at full fidelity

To follow a study that runs, keep a `Reader` and call `refresh()`: it reads what is new and returns the columns, the
same object if nothing changed. `since=N` in `read` or `Columns.since(N)` keeps the trials numbered N and up;
`Columns.unfinished` is the lowest number that may still change, which is what to pass the next time.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from piip_explore.preset_names import PROXY_TASKS
from piip_explore.search import pareto
from piip_explore.search.storage import COMPLETE, RUNNING, STATES, WAITING, StorageURL, StudyStorage, Table

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Columns:
    """The trials of one study at one moment, a row per trial.

    Attributes:
        storage: where the study lives, without a password.
        study: its name.
        record: its user attributes (see `piip_explore.search.record`).
        objectives: names of the values: the record's, or `value0`, ... for a study of another program.
        directions: "maximize" or "minimize" per objective.
        number: trial numbers, (trials,).
        state: Optuna's numbers of the states (`storage.STATES` names them), (trials,).
        values: (trials, objectives), NaN where a trial has none.
        started: UTC, NaT where unknown, (trials,).
        completed: the same.
        params: a column per parameter.
        attributes: a column per user attribute; those in `conditions` have columns of their own.
        constraints: a column per constraint, feasible at or below 0, NaN where a trial has none.
    """

    storage: str
    study: str
    record: Mapping[str, Any] = field(repr=False)
    objectives: tuple[str, ...]
    directions: tuple[str, ...]
    number: npt.NDArray[np.int64] = field(repr=False)
    state: npt.NDArray[np.int8] = field(repr=False)
    values: Floats = field(repr=False)
    started: npt.NDArray[np.datetime64] = field(repr=False)
    completed: npt.NDArray[np.datetime64] = field(repr=False)
    params: pd.DataFrame = field(repr=False)
    attributes: pd.DataFrame = field(repr=False)
    constraints: pd.DataFrame = field(repr=False)

    def __len__(self) -> int:
        return len(self.number)

    @property
    def task(self) -> str:
        """What the designs are for: detection, segmentation or classification.

        Where the space names none of them, it is what the score judges, or else detection.
        """
        task = self.record.get("space", {}).get("task")
        if task in PROXY_TASKS:
            return str(task)
        score = str(self.record.get("evaluator", {}).get("metric", "")).lower()
        if "iou" in score or score == "likelihood":
            return "segmentation"
        return "classification" if "top" in score or "accuracy" in score else "detection"

    @cached_property
    def losses(self) -> Floats:
        """The values with every `maximize` column's sign flipped."""
        return pareto.to_losses(self.values, self.directions)

    @cached_property
    def fidelity(self) -> Floats:
        """Fidelity of every trial, 1 where none is recorded."""
        return np.nan_to_num(self.floats("fidelity"), nan=1.0)

    @cached_property
    def standard_error(self) -> Floats:
        """Standard error of the score, NaN where unknown."""
        return self.floats("standard_error")

    def floats(self, name: str) -> Floats:
        """Return a user attribute as numbers, NaN where a trial lacks it."""
        if name not in self.attributes:
            return np.full(len(self), np.nan)
        return pd.to_numeric(self.attributes[name], errors="coerce").to_numpy(dtype=np.float64)

    def attribute(self, name: str, rows: npt.NDArray[np.int64]) -> list[Any]:
        """Return a user attribute of some rows, None where there is none."""
        return list(self.attributes[name].iloc[rows]) if name in self.attributes else [None] * len(rows)

    def state_of(self, row: int) -> str:
        """Return the state of a trial in Optuna's word, such as COMPLETE."""
        return STATES[self.state[row]]

    def attributes_of(self, row: int) -> dict[str, Any]:
        """Return the user attributes that a trial has, as JSON can say them."""
        return plain_row(self.attributes, row)

    @cached_property
    def costs(self) -> Mapping[str, Floats]:
        """The costs that a study records of its trials, a value per row, NaN where a trial has none.

        `gflops` (under the study's accounting) and `mparams`; `latency_ms`, `memory_gb` and `energy_j` where they were
        measured.
        """
        found = {
            "gflops": self._cost(f"gflops_{self.record.get('accounting', 'published')}"),
            "mparams": self._cost("params") / 1e6,
        }
        measured = {"latency_ms": ("latency", 1.0), "memory_gb": ("memory", 1e9), "energy_j": ("energy", 1.0)}
        for name, (attribute, unit) in measured.items():
            values = self._cost(attribute)
            if not np.isnan(values).all():
                found[name] = values / unit
        return found

    def _cost(self, name: str) -> Floats:
        if name in self.objectives:
            values: Floats = self.values[:, self.objectives.index(name)]
            return values
        return self.floats(name)

    @cached_property
    def feasible(self) -> npt.NDArray[np.bool_]:
        """Whether a trial meets all its constraints."""
        if not len(self.constraints.columns):
            return np.ones(len(self), dtype=bool)
        bounds: Floats = self.constraints.to_numpy(dtype=np.float64)
        return np.asarray(~(bounds > 0).any(axis=1), dtype=np.bool_)

    @cached_property
    def full(self) -> npt.NDArray[np.bool_]:
        """Whether a trial is a complete, feasible run at full fidelity: those that fronts are made of."""
        return np.asarray((self.state == COMPLETE) & (self.fidelity == 1) & self.feasible, dtype=np.bool_)

    def within(self, bounds: Mapping[str, float] | None = None) -> npt.NDArray[np.int64]:
        """Return the row numbers of the full runs within bounds on objectives.

        A bound is the most where less is better, the least where more is.
        """
        rows = np.flatnonzero(self.full)
        for name, bound in (bounds or {}).items():
            column = self.objectives.index(name)
            sign = -1.0 if self.directions[column] == "maximize" else 1.0
            rows = rows[self.losses[rows, column] <= sign * bound]
        return rows

    def front(self, within: Mapping[str, float] | None = None) -> npt.NDArray[np.int64]:
        """Return the row numbers of the Pareto front of the full runs within bounds, ordered by the last objective."""
        rows = self.within(within)
        rows = rows[pareto.front(self.losses[rows])]
        return rows[np.argsort(self.losses[rows, -1], kind="stable")]

    @property
    def unfinished(self) -> int:
        """The lowest trial number that may still change: of the first unfinished trial, or of the next one."""
        still = np.flatnonzero((self.state == RUNNING) | (self.state == WAITING))
        end = int(self.number[-1]) + 1 if len(self) else 0
        return int(self.number[still[0]]) if len(still) else end

    def since(self, number: int) -> Columns:
        """Return the columns of the trials numbered `number` and up."""
        return self.select(np.flatnonzero(self.number >= number))

    def select(self, rows: npt.NDArray[np.int64]) -> Columns:
        """Return the columns of some rows."""
        arrays = {name: getattr(self, name)[rows] for name in ("number", "state", "values", "started", "completed")}
        frames = {
            name: getattr(self, name).iloc[rows].reset_index(drop=True)
            for name in ("params", "attributes", "constraints")
        }
        return replace(self, **arrays, **frames)


class Reader:
    """A study that is read again and again: every `refresh` reads only what is new.

    `store` is the study as it is stored, with its notes and leases.

    Raises:
        InputError: the storage cannot be read, or has no such study.
    """

    def __init__(self, storage: str | Path | StorageURL, study: str) -> None:
        self.store = StudyStorage(storage, study)
        self._columns: Columns | None = None
        self._news = 0
        self._built = 0

    def poll(self) -> int:
        """Read what is new, without making columns of it; return a number that changes whenever there was something."""
        before = dict(self.store.table.study_attributes)
        changed = self.store.refresh()
        if changed is None or changed or before != self.store.table.study_attributes:
            self._news += 1
        return self._news

    @property
    def finished(self) -> int:
        """How many trials had ended at the last poll."""
        return sum(state not in (RUNNING, WAITING) for state in self.store.table.state)

    def refresh(self) -> Columns:
        """Return the study's columns as they are now."""
        news = self.poll()
        if self._columns is None or news != self._built:
            self._columns = _columns(str(self.store.url), self.store.study, self.store.table)
            self._built = news
        return self._columns

    def close(self) -> None:
        """Close the storage."""
        self.store.leave()


def read(storage: str | Path | StorageURL, study: str, since: int = 0) -> Columns:
    """Read a study's trials numbered `since` and up.

    Raises:
        InputError: the storage cannot be read, or has no such study.
    """
    reader = Reader(storage, study)
    columns = reader.refresh()
    reader.close()
    return columns.since(since) if since else columns


def _columns(storage: str, study: str, table: Table) -> Columns:
    count = len(table)
    directions = tuple(table.directions)
    missing = [float("nan")] * len(directions)
    values = np.array([missing if row is None else row for row in table.values], dtype=np.float64)
    objectives: Sequence[str] = table.study_attributes.get("objectives") or [
        f"value{i}" for i in range(len(directions))
    ]
    attributes = {name: entries for name, entries in table.attributes.items() if name != "conditions"}
    attributes |= _flatten(table.attributes.get("conditions", []), taken=attributes)
    index = pd.RangeIndex(count)
    limits = {name: pd.Series(entries, dtype="float64") for name, entries in table.constraints.items()}
    return Columns(
        storage=storage,
        study=study,
        record=dict(table.study_attributes),
        objectives=tuple(objectives),
        directions=directions,
        number=np.arange(count, dtype=np.int64),
        state=np.array(table.state, dtype=np.int8),
        values=values.reshape(count, len(directions)),
        started=_times(table.started),
        completed=_times(table.completed),
        params=pd.DataFrame(dict(table.params), index=index),
        attributes=pd.DataFrame(attributes, index=index),
        constraints=pd.DataFrame(limits, index=index),
    )


def _flatten(entries: Sequence[Mapping[str, Any] | None], taken: Mapping[str, Any]) -> dict[str, list[Any]]:
    names = {name: None for entry in entries if entry for name in entry}
    return {name: [entry.get(name) if entry else None for entry in entries] for name in names if name not in taken}


def _times(texts: Sequence[str | None]) -> npt.NDArray[np.datetime64]:
    return np.array(["NaT" if text is None else text for text in texts], dtype="datetime64[us]")


def plain(value: Any) -> Any:
    """Return a value as JSON can say it: None for what is not a number."""
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return None if type(value).__name__ in ("NAType", "NaTType") else value


def plain_row(table: pd.DataFrame, row: int) -> dict[str, Any]:
    """Return what a row of a table has, as JSON can say it, by column."""
    values = {str(name): plain(value) for name, value in table.iloc[row].items()}
    return {name: value for name, value in values.items() if value is not None}
