"""What a study writes about an evaluation and reads back: new trials, tasks, ends."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from piip_explore.search.evaluators import EvaluationTask, Outcome, Place
from piip_explore.search.pool import Pool
from piip_explore.search.record import Record, outcome_attributes
from piip_explore.search.storage import COMPLETE, FAIL, PRUNED, NewTrial, Table


def new_trial(record: Record, pool: Pool, row: int, rung: int, attributes: Mapping[str, Any]) -> NewTrial:
    """Return the trial of a pool's design at a rung, with further attributes."""
    design, costs = pool.design(row), pool.costs_of(row)
    return NewTrial(
        params=pool.params(row),
        choices={axis.name: record.choices[axis.name] for axis in pool.axes},
        attributes={
            "design": str(design),
            "id": design.id,
            "fidelity": record.rungs[rung],
            "rung": rung,
            "seed": record.seed,
            **costs,
            **attributes,
        },
        constraints=record.limits.constraints(costs, record.gflops),
    )


def task(table: Table, number: int, place: Place, checkpoints: Path) -> EvaluationTask:
    """Return the evaluation that a trial asks for."""
    return EvaluationTask(
        trial=number,
        design=table.attribute("design", number),
        design_id=table.attribute("id", number),
        fidelity=table.attribute("fidelity", number),
        seed=table.attribute("seed", number),
        place=place,
        checkpoints=checkpoints,
    )


def end(record: Record, table: Table, number: int, outcome: Outcome) -> tuple[int, list[float] | None, dict[str, Any]]:
    """Return the state, the values and the attributes with which an outcome ends a trial."""
    attributes = outcome_attributes(outcome)
    values = record.values(outcome, table.attributes_of(number))
    if outcome.status == "ok" and all(np.isfinite(values)):
        return COMPLETE if table.attribute("fidelity", number) == 1 else PRUNED, values, attributes
    reason = outcome.message or "an objective is not a number"
    return FAIL, None, attributes | {"failure": f"{outcome.status}: {reason}", "final": True}
