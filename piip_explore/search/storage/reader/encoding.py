"""How Optuna stores parameters and constraints, in journals and in databases alike."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

CONSTRAINT = "constraints:"
"""Prefix of the system attributes in which Optuna 5 keeps a trial's constraints."""

METRIC_NAMES = "study:metric_names"
"""The study's system attribute in which Optuna keeps the names of the objectives."""


class Parameters:
    """Parameters' values from their stored forms; a study has few distributions, and each is parsed once."""

    def __init__(self) -> None:
        self._choices: dict[str, list[Any] | None] = {}
        self._integer: dict[str, bool] = {}

    def values(self, stored: Mapping[str, float], distributions: Mapping[str, str]) -> dict[str, Any]:
        """Return the values of a trial's parameters."""
        known, values = self._choices, {}
        for name, number in stored.items():
            choices = known.get(distributions[name])
            values[name] = self.value(distributions[name], number) if choices is None else choices[int(number)]
        return values

    def value(self, distribution: str, stored: float) -> Any:
        """Return a parameter's value; `distribution` is the JSON text of Optuna's distribution."""
        if distribution not in self._choices:
            parsed = json.loads(distribution)
            self._choices[distribution] = parsed["attributes"].get("choices")
            self._integer[distribution] = parsed["name"].startswith("Int")
        choices = self._choices[distribution]
        if choices is not None:
            return choices[int(stored)]
        return int(stored) if self._integer[distribution] else stored


def constraints(system_attributes: Mapping[str, Any]) -> dict[str, float]:
    """Return the constraints among a trial's system attributes, by name (Optuna 5, and Optuna 4's list)."""
    found = {str(i): value for i, value in enumerate(system_attributes.get("constraints") or ())}
    for name, value in system_attributes.items():
        if name.startswith(CONSTRAINT):
            found[name.removeprefix(CONSTRAINT)] = value
    return found
