"""Reading Optuna's tables (schema 12) straight into columns: objects for 100,000 trials take a minute."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from piip_explore.search.storage.replay import constraints, external
from piip_explore.search.storage.table import COMPLETE, FAIL, PRUNED, STATES, Table

if TYPE_CHECKING:
    from optuna.trial import FrozenTrial
    from sqlalchemy.engine import Connection

_SCHEMA = 12
_FINISHED = (COMPLETE, PRUNED, FAIL)
_INFINITIES = {"INF_POS": float("inf"), "INF_NEG": float("-inf")}


class TrialTables:
    """A study's trials in Optuna's tables, read into `table`: at each call, what is new.

    Attributes:
        table: the trials so far.
        ids: the database's number of every trial, by its number in the study.
        numbers: the reverse.
    """

    def __init__(self, study: int) -> None:
        self._study = study
        self._distributions: dict[str, Any] = {}
        self._start_over()

    def _start_over(self) -> None:
        self.table = Table()
        self.ids: list[int] = []
        self.numbers: dict[int, int] = {}
        self._open: set[int] = set()

    @staticmethod
    def are_known(connection: Connection) -> bool:
        """Whether the database's tables are those that `read` knows."""
        from sqlalchemy import text

        return bool(connection.execute(text("SELECT schema_version FROM version_info")).scalar() == _SCHEMA)

    def read(self, connection: Connection) -> set[int]:
        """Read new trials, and again those that were not finished when they were last read; return their numbers."""
        from sqlalchemy import text

        where = "t.study_id = :study AND (t.trial_id > :last"
        if self._open:
            where += " OR t.trial_id IN (" + ",".join(str(self.ids[n]) for n in sorted(self._open)) + ")"
        bind = {"study": self._study, "last": self.ids[-1] if self.ids else -1}

        def query(columns: str, joined: str = "") -> Sequence[Any]:
            join = f" JOIN {joined} x ON x.trial_id = t.trial_id" if joined else ""
            statement = f"SELECT t.trial_id, {columns} FROM trials t{join} WHERE {where}) ORDER BY t.trial_id"
            return connection.execute(text(statement), bind).all()

        # The trials come first: one that ends while we read is then seen unfinished, and is read again.
        trials = query("t.state, t.datetime_start, t.datetime_complete")
        values = query("x.objective, x.value, x.value_type", "trial_values")
        params = query("x.param_name, x.param_value, x.distribution_json", "trial_params")
        attributes = query("x.key, x.value_json", "trial_user_attributes")
        limits = query("x.key, x.value_json", "trial_system_attributes")
        changed = {self._put(*row) for row in trials}
        table, numbers = self.table, self.numbers
        for trial, objective, value, kind in values:
            if trial in numbers:
                row = table.values[numbers[trial]]
                row = list(row) if row is not None else [float("nan")] * len(table.directions)
                row[objective] = _INFINITIES.get(kind, value)
                table.values[numbers[trial]] = row
        for trial, name, value, distribution in params:
            if trial in numbers:
                table.set(table.params, name, numbers[trial], external(self._distributions, distribution, value))
        for trial, name, value in attributes:
            if trial in numbers:
                table.set(table.attributes, name, numbers[trial], json.loads(value))
        for trial, name, value in limits:
            if trial in numbers and name.startswith("constraints"):
                for limit, bound in constraints({name: json.loads(value)}).items():
                    table.set(table.constraints, limit, numbers[trial], bound)
        return changed

    def _put(self, trial: int, state_name: str, started: Any, completed: Any) -> int:
        state = STATES.index(state_name)
        number = self.numbers.get(trial)
        if number is None:
            number = self._add(trial, state, None, _iso(started), _iso(completed), {}, {}, {})
        else:
            self.table.state[number] = state
            self.table.started[number], self.table.completed[number] = _iso(started), _iso(completed)
        (self._open.discard if state in _FINISHED else self._open.add)(number)
        return number

    def read_objects(self, trials: Sequence[FrozenTrial], attributes: Mapping[str, Any], directions: list[str]) -> None:
        """Read everything anew from Optuna's objects, for another schema."""
        self._start_over()
        self.table.study_attributes, self.table.directions = dict(attributes), directions
        for trial in trials:
            self._add(
                trial._trial_id,
                int(trial.state),
                trial.values,
                _utc(trial.datetime_start),
                _utc(trial.datetime_complete),
                trial.params,
                trial.user_attrs,
                constraints(trial.system_attrs),
            )

    def _add(
        self,
        trial: int,
        state: int,
        values: Sequence[float] | None,
        started: str | None,
        completed: str | None,
        *columns: Mapping[str, Any],
    ) -> int:
        number = self.table.append(state, values, started, completed, *columns)
        self.ids.append(trial)
        self.numbers[trial] = number
        return number


def _iso(moment: datetime | str | None) -> str | None:
    """Return a time of the tables, which are in UTC (SQLite returns it as text)."""
    if moment is None or isinstance(moment, str):
        return None if moment is None else moment.replace(" ", "T")
    return moment.replace(tzinfo=None).isoformat(timespec="microseconds")


def _utc(moment: datetime | None) -> str | None:
    """Return a time of Optuna's objects, which are in the local zone."""
    return None if moment is None else _iso(moment.astimezone(UTC))
