"""Reading an Optuna journal's operations into columns, and the outline of it that Optuna needs to write."""

from __future__ import annotations

import gc
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from enum import IntEnum
from typing import Any

from piip_explore.errors import InputError
from piip_explore.search.storage.journalfile import JournalFile, unreadable
from piip_explore.search.storage.reader.study import StudyReader, constraints, parameter
from piip_explore.search.storage.table import COMPLETE, FAIL, PRUNED, RUNNING, WAITING


class Operation(IntEnum):
    """Optuna's journal operations (`optuna.storages.journal`)."""

    CREATE_STUDY = 0
    DELETE_STUDY = 1
    STUDY_USER_ATTR = 2
    STUDY_SYSTEM_ATTR = 3
    CREATE_TRIAL = 4
    PARAM = 5
    STATE = 6
    INTERMEDIATE_VALUE = 7
    USER_ATTR = 8
    SYSTEM_ATTR = 9


_NOT_IN_OUTLINE = (Operation.PARAM, Operation.INTERMEDIATE_VALUE, Operation.USER_ATTR, Operation.SYSTEM_ATTR)
_WORKER = "outline"


class JournalReader(StudyReader):
    """One study of a journal file as columns: every `read` takes in the lines that are new."""

    def __init__(self, file: JournalFile, study: str) -> None:
        super().__init__(study)
        self._file = file
        self._start_over()

    def _start_over(self) -> None:
        self._forget()
        self.names = []
        self._studies: list[tuple[str, list[int]]] = []
        self._deleted: set[int] = set()
        self._trials: list[int] = []  # the study of each
        self._since_outline: list[dict[str, Any]] | None = None

    def read(self) -> bool:
        """Take in the lines that are new; return whether all was read anew, because the file was cut or replaced.

        Raises:
            InputError: the file cannot be read, or its study was deleted.
        """
        changed: set[int] = set()
        had_study = self.study_id is not None
        with self._file.news() as (anew, operations), no_collection():
            if anew:
                self._start_over()
            handlers, since = self._handlers(), self._since_outline
            for operation in operations:
                try:
                    handler = handlers.get(operation["op_code"])
                    number = None if handler is None else handler(operation)
                except (ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
                    raise unreadable(self._file.path, self._file.line) from error
                if number is not None:
                    changed.add(number)
                if since is not None and operation["op_code"] not in _NOT_IN_OUTLINE:
                    since.append(operation)
        self._gather(None if anew else changed)
        if had_study and self.study_id is None:
            raise InputError(f"study '{self._study}' in {self._file.path} was deleted")
        return anew

    def outline(self) -> Iterator[dict[str, Any]]:
        """Return operations that make the studies and the trials of the file, with the trials' states and no more.

        Optuna needs them to write. Of all operations it would make objects, which takes minutes for 100,000 trials.
        """
        self._since_outline = []
        for study, (name, directions) in enumerate(self._studies):
            if study in self._deleted:  # another study may have its name by now
                name = f"deleted {study}"
            yield {
                "op_code": Operation.CREATE_STUDY,
                "worker_id": _WORKER,
                "study_name": name,
                "directions": directions,
            }
        for trial, study in enumerate(self._trials):
            number = self.numbers.get(trial)
            state = COMPLETE if number is None else self.table.state[number]
            yield {
                "op_code": Operation.CREATE_TRIAL,
                "worker_id": _WORKER,
                "study_id": study,
                "state": state,
                "datetime_start": None,
            }
        for study in self._deleted:
            yield {"op_code": Operation.DELETE_STUDY, "worker_id": _WORKER, "study_id": study}

    def since_outline(self) -> list[dict[str, Any]]:
        """Return what has come since `outline`, or since the last call.

        Raises:
            InputError: the file was cut or replaced meanwhile.
        """
        if self._since_outline is None:
            raise InputError(f"'{self._file.path}' was cut or replaced while it was written: start the search again")
        found = list(self._since_outline)
        self._since_outline.clear()
        return found

    # --- what operations mean ------------------------------------------------------------------------------------

    def _handlers(self) -> dict[int, Any]:
        return {
            Operation.CREATE_STUDY: self._create_study,
            Operation.DELETE_STUDY: self._delete_study,
            Operation.STUDY_USER_ATTR: self._set_study_attribute,
            Operation.STUDY_SYSTEM_ATTR: self._set_study_system_attribute,
            Operation.CREATE_TRIAL: self._create_trial,
            Operation.PARAM: self._set_param,
            Operation.STATE: self._set_state,
            Operation.USER_ATTR: self._set_attribute,
            Operation.SYSTEM_ATTR: self._set_system_attribute,
        }

    def _create_study(self, log: Mapping[str, Any]) -> None:
        name = log["study_name"]
        if name in self.names:
            return
        if name == self._study:
            self.study_id = len(self._studies)
            self.table.directions = ["maximize" if code == 2 else "minimize" for code in log["directions"]]
        self.names.append(name)
        self._studies.append((name, log["directions"]))

    def _delete_study(self, log: Mapping[str, Any]) -> None:
        study = log["study_id"]
        if study in self._deleted or not 0 <= study < len(self._studies):
            return
        self._deleted.add(study)
        self.names.remove(self._studies[study][0])
        if study == self.study_id:
            self._forget()

    def _set_study_attribute(self, log: Mapping[str, Any]) -> None:
        if log["study_id"] == self.study_id:
            for name, value in log["user_attr"].items():
                self.table.set_study_attribute(name, value)

    def _set_study_system_attribute(self, log: Mapping[str, Any]) -> None:
        if log["study_id"] == self.study_id:
            for name, value in log["system_attr"].items():
                self.notes.put(name, value)

    def _create_trial(self, log: Mapping[str, Any]) -> int | None:
        study = log["study_id"]
        if study in self._deleted or not 0 <= study < len(self._studies):
            return None
        trial = len(self._trials)
        self._trials.append(study)
        if study != self.study_id:
            return None
        values = log.get("values")
        if values is None and log.get("value") is not None:
            values = [log["value"]]
        kinds = log.get("distributions", {})
        params = {name: parameter(kinds[name], stored) for name, stored in log.get("params", {}).items()}
        return self._append(
            trial,
            log.get("state", RUNNING),
            values,
            _utc(log.get("datetime_start")),
            _utc(log.get("datetime_complete")),
            params,
            log.get("user_attrs", {}),
            constraints(log.get("system_attrs", {})),
        )

    def _open_trial(self, log: Mapping[str, Any]) -> int | None:
        """Return the number of the study's trial that an operation may still change."""
        number = self.numbers.get(log["trial_id"])
        if number is None or self.table.state[number] in (COMPLETE, PRUNED, FAIL):
            return None
        return number

    def _set_param(self, log: Mapping[str, Any]) -> int | None:
        number = self._open_trial(log)
        if number is not None:
            value = parameter(log["distribution"], log["param_value_internal"])
            self.table.set(self.table.params, log["param_name"], number, value)
        return number

    def _set_state(self, log: Mapping[str, Any]) -> int | None:
        number = self._open_trial(log)
        if number is None:
            return None
        table, state = self.table, log["state"]
        if state == RUNNING:
            if table.state[number] == RUNNING:
                return None
            table.started[number] = _utc(log["datetime_start"])
        elif state != WAITING:
            table.completed[number] = _utc(log["datetime_complete"])
        table.state[number] = state
        if log["values"] is not None:
            table.values[number] = log["values"]
        return number

    def _set_attribute(self, log: Mapping[str, Any]) -> int | None:
        number = self._open_trial(log)
        if number is not None:
            for name, value in log["user_attr"].items():
                self.table.set_attribute(name, number, value)
        return number

    def _set_system_attribute(self, log: Mapping[str, Any]) -> int | None:
        number = self._open_trial(log)
        if number is not None:
            for name, value in constraints(log["system_attr"]).items():
                self.table.set(self.table.constraints, name, number, value)
        return number


@contextmanager
def no_collection() -> Iterator[None]:
    """Pause the garbage collector, which takes a third of the time that a million small lists take to make."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def _utc(text: str | None) -> str | None:
    """Drop the zone of a UTC time (Optuna's journals are in UTC)."""
    return None if text is None else text[:26].removesuffix("+00:00")
