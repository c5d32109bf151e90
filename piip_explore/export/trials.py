"""A study's trial as a design with its origin."""

from __future__ import annotations

import math

from piip_explore.design import Design
from piip_explore.errors import InputError
from piip_explore.export.exporter import Origin
from piip_explore.search import columns, locate
from piip_explore.search.details import rows_of
from piip_explore.search.storage import COMPLETE, STATES

_UNSAID = ("design", "id", "worker", "curve", "metric_curve")
"""Attributes of a trial that are not conditions of its scores."""


def trial_design(study: str | None, trial: int | str, storage: str | None) -> tuple[Design, Origin]:
    """Return a trial's design, its scores and what they depend on; `trial` is a number, `knee` or a design's id.

    Raises:
        InputError: no such study or trial, or it does not name a design.
    """
    return of_trial(columns.read(*locate.study(study, storage)), trial)


def of_trial(found: columns.Columns, trial: int | str) -> tuple[Design, Origin]:
    """Return the same as `trial_design`, from a study that is already read.

    Raises:
        InputError: no such trial, or it does not name a design.
    """
    rows = rows_of(found, str(trial))
    complete = rows[found.state[rows] == COMPLETE]
    row = int((complete if len(complete) else rows)[-1])
    number, attributes = int(found.number[row]), found.attributes_of(row)
    if "design" not in attributes:
        raise InputError(f"trial {number} of study '{found.study}' names no design: it was not made by piip-explore")
    values = zip(found.objectives, found.values[row].tolist(), strict=True)
    scores = {name: value for name, value in values if math.isfinite(value)}
    conditions = {"state": STATES[found.state[row]], "accounting": found.record.get("accounting")}
    conditions |= {name: value for name, value in attributes.items() if name not in _UNSAID}
    return Design.parse(attributes["design"]), Origin(found.study, number, scores, conditions)
