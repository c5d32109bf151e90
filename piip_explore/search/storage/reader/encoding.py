"""How Optuna stores parameters and constraints, in journals and in databases alike."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache
from typing import Any

CONSTRAINT = "constraints:"
"""Prefix of the system attributes in which Optuna 5 keeps a trial's constraints."""

METRIC_NAMES = "study:metric_names"
"""The study's system attribute in which Optuna keeps the names of the objectives."""


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
