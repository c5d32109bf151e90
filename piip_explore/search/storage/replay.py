"""Replaying an Optuna journal's operations into columns."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from enum import IntEnum
from typing import Any

from piip_explore.search.storage.table import COMPLETE, FAIL, PRUNED, RUNNING, WAITING, Table

CONSTRAINT = "constraints:"
"""Prefix of the system attributes in which Optuna 5 keeps a trial's constraints."""

METRIC_NAMES = "study:metric_names"
"""The study's system attribute in which Optuna keeps the names of the objectives."""


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


class Replay:
    """The state of one study (and the names of all) after the operations applied so far."""

    def __init__(self, study: str) -> None:
        self.study = study
        self.table = Table()
        self.studies: dict[str, int] = {}
        self.study_id: int | None = None
        self.trial_ids: list[int] = []
        self.created_by: dict[str, int] = {}
        self._studies_created = 0
        self._trials_created = 0
        self._numbers: dict[int, int] = {}
        self._distributions: dict[str, Any] = {}
        self._choices: dict[str, list[Any]] = {}
        self._handlers = {
            Operation.CREATE_STUDY: self._create_study,
            Operation.DELETE_STUDY: self._delete_study,
            Operation.STUDY_USER_ATTR: self._set_study_attribute,
            Operation.CREATE_TRIAL: self._create_trial,
            Operation.PARAM: self._set_param,
            Operation.STATE: self._set_state,
            Operation.USER_ATTR: self._set_attribute,
            Operation.SYSTEM_ATTR: self._set_system_attribute,
        }

    def apply(self, log: Mapping[str, Any]) -> int | None:
        """Apply one operation; return the number of the study's trial that it changed, if any."""
        handler = self._handlers.get(log["op_code"])
        return handler(log) if handler is not None else None

    def _create_study(self, log: Mapping[str, Any]) -> None:
        name = log["study_name"]
        if name in self.studies:
            return
        self.studies[name] = self._studies_created
        if name == self.study:
            self.study_id = self._studies_created
            self.table.directions = ["maximize" if code == 2 else "minimize" for code in log["directions"]]
        self._studies_created += 1

    def _delete_study(self, log: Mapping[str, Any]) -> None:
        self.studies = {name: study for name, study in self.studies.items() if study != log["study_id"]}
        if log["study_id"] == self.study_id:
            self.table, self.study_id, self.trial_ids, self._numbers = Table(), None, [], {}

    def _set_study_attribute(self, log: Mapping[str, Any]) -> None:
        if log["study_id"] == self.study_id:
            self.table.study_attributes.update(log["user_attr"])

    def _create_trial(self, log: Mapping[str, Any]) -> int | None:
        if log["study_id"] not in self.studies.values():
            return None
        trial_id = self._trials_created
        self._trials_created += 1
        if log["study_id"] != self.study_id:
            return None
        distributions = log.get("distributions", {})
        values = log.get("values")
        if values is None and log.get("value") is not None:
            values = [log["value"]]
        number = self.table.append(
            log.get("state", RUNNING),
            values,
            _utc(log.get("datetime_start")),
            _utc(log.get("datetime_complete")),
            self._values(log.get("params", {}), distributions),
            log.get("user_attrs", {}),
            constraints(log.get("system_attrs", {})),
        )
        self._numbers[trial_id] = number
        self.trial_ids.append(trial_id)
        self.created_by[log["worker_id"]] = number
        return number

    def _open_trial(self, log: Mapping[str, Any]) -> int | None:
        """Return the number of the study's trial that an operation may still change."""
        number = self._numbers.get(log["trial_id"])
        if number is None or self.table.state[number] in (COMPLETE, PRUNED, FAIL):
            return None
        return number

    def _set_param(self, log: Mapping[str, Any]) -> int | None:
        number = self._open_trial(log)
        if number is not None:
            value = self._external(log["distribution"], log["param_value_internal"])
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
                self.table.set(self.table.attributes, name, number, value)
        return number

    def _set_system_attribute(self, log: Mapping[str, Any]) -> int | None:
        number = self._open_trial(log)
        if number is not None:
            for name, value in constraints(log["system_attr"]).items():
                self.table.set(self.table.constraints, name, number, value)
        return number

    def _values(self, params: Mapping[str, float], distributions: Mapping[str, str]) -> dict[str, Any]:
        """Return parameters' values from their stored forms."""
        values: dict[str, Any] = {}
        for name, value in params.items():
            choices = self._choices.get(distributions[name])
            values[name] = self._external(distributions[name], value) if choices is None else choices[int(value)]
        return values

    def _external(self, distribution: str, value: float) -> Any:
        result = external(self._distributions, distribution, value)
        choices = self._distributions[distribution]["attributes"].get("choices")
        if choices is not None:
            self._choices[distribution] = choices
        return result


def external(cache: dict[str, Any], distribution: str, value: float) -> Any:
    """Return a parameter's value from its stored form; `cache` holds the distributions already parsed."""
    parsed = cache.get(distribution)
    if parsed is None:
        parsed = cache[distribution] = json.loads(distribution)
    attributes = parsed["attributes"]
    if "choices" in attributes:
        return attributes["choices"][int(value)]
    return int(value) if parsed["name"].startswith("Int") else value


def categorical(choices: Sequence[Any]) -> str:
    """Return the JSON text of Optuna's categorical distribution over `choices`."""
    return json.dumps({"name": "CategoricalDistribution", "attributes": {"choices": list(choices)}})


def constraints(system_attributes: Mapping[str, Any]) -> dict[str, float]:
    """Return the constraints among a trial's system attributes, by name (Optuna 5, and Optuna 4's list)."""
    found = {str(i): value for i, value in enumerate(system_attributes.get("constraints") or ())}
    for name, value in system_attributes.items():
        if name.startswith(CONSTRAINT):
            found[name.removeprefix(CONSTRAINT)] = value
    return found


def _utc(text: str | None) -> str | None:
    """Drop the zone of a UTC time (Optuna's journals are in UTC)."""
    return None if text is None else text[:26].removesuffix("+00:00")
