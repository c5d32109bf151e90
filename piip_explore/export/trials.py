"""A study's trial as a design with its origin."""

from __future__ import annotations

from piip_explore.design import Design
from piip_explore.errors import InputError
from piip_explore.export.exporter import Origin
from piip_explore.search import columns, locate, report

_UNSAID = ("design", "id", "worker", "curve")
"""Attributes of a trial that are no conditions of its scores."""


def trial_design(study: str | None, trial: int, storage: str | None) -> tuple[Design, Origin]:
    """Return a trial's design, its scores and what they depend on.

    Raises:
        InputError: there is no such study or trial, or it names no design.
    """
    return of_trial(columns.read(*locate.study(study, storage)), trial)


def of_trial(found: columns.Columns, trial: int) -> tuple[Design, Origin]:
    """Return what `trial_design` does, of a study that is read already.

    Raises:
        InputError: there is no such trial, or it names no design.
    """
    (details,) = report.details(found, str(trial))
    attributes = details["attributes"]
    if "design" not in attributes:
        raise InputError(f"trial {trial} of study '{found.study}' names no design: it was not made by piip-explore")
    scores = {name: value for name, value in details["values"].items() if value is not None}
    conditions = {"state": details["state"], "accounting": found.record.get("accounting")}
    conditions |= {name: value for name, value in attributes.items() if name not in _UNSAID}
    return Design.parse(attributes["design"]), Origin(found.study, trial, scores, conditions)
