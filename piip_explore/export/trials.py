"""A study's trial as a design with its origin."""

from __future__ import annotations

from piip_explore.design import Design
from piip_explore.errors import InputError
from piip_explore.export.exporter import Origin
from piip_explore.search import columns, locate
from piip_explore.search.details import rows_of
from piip_explore.search.storage import COMPLETE


def trial_design(study: str | None, trial: int | str, storage: str | None) -> tuple[Design, Origin]:
    """Return a trial's design, its scores and what they depend on; `trial` is a number, `knee` or a design's id.

    Raises:
        InputError: no such study or trial, or it does not name a design.
    """
    found = columns.read(*locate.study(study, storage))
    rows = rows_of(found, str(trial))
    complete = rows[found.state[rows] == COMPLETE]
    row = int((complete if len(complete) else rows)[-1])
    design, origin = found.attributes_of(row).get("design"), Origin.of(found, row)
    if design is None:
        raise InputError(
            f"trial {origin.trial} of study '{found.study}' names no design: it was not made by piip-explore"
        )
    return Design.parse(design), origin
