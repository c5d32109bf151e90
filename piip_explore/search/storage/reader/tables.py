"""Reading Optuna's tables (schema 12) straight into columns: objects for 100,000 trials take a minute."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import text
from sqlalchemy.engine import Connection

from piip_explore.errors import InputError
from piip_explore.search.storage.reader.notes import PREFIX
from piip_explore.search.storage.reader.study import StudyReader, constraints, parameter
from piip_explore.search.storage.table import COMPLETE, FAIL, PRUNED, STATES

_SCHEMA = 12
_FINISHED = (COMPLETE, PRUNED, FAIL)
_INFINITIES = {"INF_POS": float("inf"), "INF_NEG": float("-inf")}


class TablesReader(StudyReader):
    """One study in Optuna's tables as columns: every `read` takes in what is new.

    `run` calls a function with a connection, again if the server was away.
    """

    def __init__(self, run: Callable[[Callable[[Connection], None]], None], study: str) -> None:
        super().__init__(study)
        self._run = run
        self._open: set[int] = set()

    def read(self) -> bool:
        """Take in what is new; tables are never read anew.

        Raises:
            InputError: the server is lost, its tables are another version's, or the study was deleted.
        """
        self._run(self._read)
        return False

    def _read(self, connection: Connection) -> None:
        version = connection.execute(text("SELECT schema_version FROM version_info")).scalar()
        if version != _SCHEMA:
            raise InputError(
                f"the database holds Optuna's tables of version {version}, expected {_SCHEMA}: use Optuna 5"
            )
        studies = connection.execute(text("SELECT study_id, study_name FROM studies ORDER BY study_id")).all()
        self.names = [name for _, name in studies]
        found = next((number for number, name in studies if name == self._study), None)
        if self.study_id not in (None, found):
            raise InputError(f"study '{self._study}' was deleted")
        self.study_id = found
        if found is not None:
            self._read_study(connection)
            self._gather(self._read_trials(connection))

    def _read_study(self, connection: Connection) -> None:
        bind = {"study": self.study_id}
        directions = text("SELECT direction FROM study_directions WHERE study_id = :study ORDER BY objective")
        self.table.directions = [word.lower() for word in connection.execute(directions, bind).scalars()]
        attributes = text(
            "SELECT key, value_json FROM study_user_attributes WHERE study_id = :study ORDER BY study_user_attribute_id"
        )
        for name, value in connection.execute(attributes, bind):
            self.table.set_study_attribute(name, json.loads(value))
        notes = text(
            "SELECT key, value_json FROM study_system_attributes WHERE study_id = :study AND starts_with(key, :prefix)"
        )
        for name, value in connection.execute(notes, {**bind, "prefix": PREFIX}):
            self.notes.put(name, json.loads(value))

    def _read_trials(self, connection: Connection) -> set[int]:
        """Read new trials, and again those that were not finished when they were last read; return their numbers."""
        where = "t.study_id = :study AND (t.trial_id > :last"
        if self._open:
            where += " OR t.trial_id IN (" + ",".join(str(self.ids[n]) for n in sorted(self._open)) + ")"
        bind = {"study": self.study_id, "last": self.ids[-1] if self.ids else -1}

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
        for trial, name, stored, distribution in params:
            if trial in numbers:
                table.set(table.params, name, numbers[trial], parameter(distribution, stored))
        for trial, name, value in attributes:
            if trial in numbers:
                table.set_attribute(name, numbers[trial], json.loads(value))
        for trial, name, value in limits:
            if trial in numbers and name.startswith("constraints"):
                for limit, bound in constraints({name: json.loads(value)}).items():
                    table.set(table.constraints, limit, numbers[trial], bound)
        return changed

    def _put(self, trial: int, state_name: str, started: datetime | None, completed: datetime | None) -> int:
        state, times = STATES.index(state_name), (_iso(started), _iso(completed))
        number = self.numbers.get(trial)
        if number is None:
            number = self._append(trial, state, None, *times, {}, {}, {})
        else:
            self.table.state[number] = state
            self.table.started[number], self.table.completed[number] = times
        (self._open.discard if state in _FINISHED else self._open.add)(number)
        return number


def widen(connection: Connection, study_id: int, choices: Mapping[str, str]) -> None:
    """Give a study's trials the choices of an extended space, which Optuna refuses to mix with fewer choices.

    A value is stored as its number among the choices, and a space grows at the end of each list of choices
    (`search.extend` sees to that), so the stored numbers keep their meaning. `choices` are JSON texts of Optuna's
    distributions, by parameter.
    """
    statement = text(
        "UPDATE trial_params SET distribution_json = :new WHERE param_name = :name AND distribution_json <> :new "
        "AND trial_id IN (SELECT trial_id FROM trials WHERE study_id = :study)"
    )
    for name, distribution in choices.items():
        connection.execute(statement, {"new": distribution, "name": name, "study": study_id})


def _iso(moment: datetime | None) -> str | None:
    """Return a time of the tables, which are in UTC."""
    return None if moment is None else moment.replace(tzinfo=None).isoformat(timespec="microseconds")
