"""A study's results for people and programs: text, JSON, CSV, Parquet."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from piip_explore.errors import InputError
from piip_explore.files import write_named
from piip_explore.search import expected, failures, pareto
from piip_explore.search.columns import Columns, plain
from piip_explore.search.storage import STATES
from piip_explore.terminal import aligned, printable

_UNITS = {
    "gflops": ("GFLOPs", 1.0),
    "params": ("M params", 1e-6),
    "latency": ("ms", 1.0),
    "memory": ("GiB", 2.0**-30),
    "energy": ("J", 1.0),
}
_TIES_SHOWN = 3


def reference(columns: Columns) -> np.ndarray[Any, np.dtype[np.float64]]:
    """Return the point from which a study's hypervolume is measured: the worst of its full runs, per objective."""
    losses = columns.losses[columns.full]
    return losses.max(axis=0) if len(losses) else np.full(len(columns.objectives), np.nan)


def front_table(columns: Columns, within: Mapping[str, float] | None = None) -> pd.DataFrame:
    """Return the front as a table, cheapest first, followed by nothing else.

    Columns: trial, design, the objectives, standard_error, crowding (distance to the neighbours on the front; infinite
    at its ends), knee (the one design farthest below the line between the ends), tied (trials off the front that no
    front design beats by more than noise and that this one dominates).
    """
    rows = columns.front(within)
    losses = columns.losses[rows]
    knee = pareto.knee(losses)
    table = pd.DataFrame({"trial": columns.number[rows], "design": columns.attribute("design", rows)})
    for place, name in enumerate(columns.objectives):
        table[name] = columns.values[rows, place]
    table["standard_error"] = columns.standard_error[rows]
    table["crowding"] = pareto.crowding(losses)
    table["knee"] = np.arange(len(rows)) == (-1 if knee is None else knee)
    table["tied"] = _ties(columns, rows)
    return table


def _ties(columns: Columns, front: np.ndarray[Any, np.dtype[np.int64]]) -> list[list[int]]:
    if "score" not in columns.objectives or np.isnan(columns.standard_error).all():
        return [[] for _ in front]
    full = np.flatnonzero(columns.full)
    score = columns.objectives.index("score")
    tied = full[pareto.tied(columns.losses[full], columns.standard_error[full], score)]
    return [
        [int(columns.number[row]) for row in tied if (columns.losses[member] <= columns.losses[row]).all()]
        for member in front
    ]


def front_text(columns: Columns, within: Mapping[str, float] | None = None, metric: str | None = None) -> str:
    """Return the front as lines for a terminal, with what its numbers depend on.

    Beside the scores of a proxy stands what full training is expected to give, where anything is expected; `metric`
    asks for one in particular, beside any scores.

    Raises:
        InputError: there is no such metric.
    """
    table = front_table(columns, within)
    if not len(table):
        if not columns.full.any():
            return "No design is evaluated in full yet."
        limits = ", ".join(f"{name} {_number(bound)}" for name, bound in (within or {}).items())
        return f"None of the {columns.full.sum()} designs that are evaluated in full is within {limits}."
    beside = expected.beside(columns, within, metric)
    noise = table["standard_error"].notna().any()
    lines = [["trial", *(_head(name) for name in columns.objectives), *beside.head, "", "design"]]
    for row, *told in zip(table.to_dict("records"), *beside.cells, strict=True):
        cells = [str(row["trial"])]
        for name in columns.objectives:
            text = _number(row[name] * unit(name)[1])
            if name == "score" and noise:
                text += " ± " + ("?" if math.isnan(row["standard_error"]) else f"{row['standard_error']:.2g}")
            cells.append(text)
        marks = ["knee"] * row["knee"] + ([_ties_text(row["tied"])] if row["tied"] else [])
        lines.append([*cells, *told, " ".join(marks), row["design"] or ""])
    return printable("\n".join([*aligned(lines, left=2), conditions_text(columns), *beside.remarks]))


def unit(objective: str) -> tuple[str, float]:
    """Return the unit in which people read an objective, empty if it has none, and the factor to it."""
    return _UNITS.get(objective.partition("@")[0], ("", 1.0))


def _head(objective: str) -> str:
    name, at, profile = objective.partition("@")
    return (unit(name)[0] or name) + at + profile


def _ties_text(trials: Sequence[int]) -> str:
    more = f" +{len(trials) - _TIES_SHOWN}" if len(trials) > _TIES_SHOWN else ""
    return f"ties {','.join(map(str, trials[:_TIES_SHOWN]))}{more}"


def conditions_text(columns: Columns) -> str:
    """Return one line with what a study's numbers depend on."""
    record = columns.record
    parts = []
    if "gflops" in columns.objectives and "accounting" in record:
        parts.append(f"full-scale GFLOPs, {record['accounting']} accounting")
    evaluator = record.get("evaluator", {})
    if evaluator.get("kind") == "proxy":
        parts.append(f"score: {evaluator.get('metric')} of the proxy preset {evaluator.get('preset')}")
    elif evaluator:
        parts.append(f"score: {evaluator.get('kind')}")
    parts.append(f"fidelity {record.get('rungs', [1.0])[-1]:g}, seed {record.get('seed', 0)}")
    for name, label in (("device", "device"), ("code_version", "code"), ("kernel_backend", "kernel")):
        if name in columns.attributes:
            found = sorted(map(str, columns.attributes[name][columns.full].dropna().unique()))
            parts += [f"{label} {' and '.join(found)}"] if found else []
    return "; ".join(parts)


def budget(columns: Columns, max_gflops: float | None, max_params: float | None) -> dict[str, float]:
    """Return the bounds that `--max-gflops` and `--max-params` set on a study's objectives.

    Raises:
        InputError: a bound that is not a number above 0, or on something that is not an objective of the study.
    """
    bounds = {"gflops": max_gflops, "params": max_params}
    given = {name: bound for name, bound in bounds.items() if bound is not None}
    for name, bound in given.items():
        if not bound > 0:
            raise InputError(f"--max-{name} {bound:g}: expected a number above 0")
        if name not in columns.objectives:
            raise InputError(
                f"'{name}' is not an objective of study '{columns.study}': {', '.join(columns.objectives)} are"
            )
    return given


def counts(columns: Columns) -> dict[str, int]:
    """Return how many trials are in each state."""
    return {name.lower(): int((columns.state == code).sum()) for code, name in enumerate(STATES)}


def summary(columns: Columns, front: pd.DataFrame | None = None) -> dict[str, Any]:
    """Return the front, or a table of it with more columns, and what it depends on as JSON-ready values."""
    front = front_table(columns) if front is None else front
    bound = reference(columns)
    return {
        "study": columns.study,
        "storage": columns.storage,
        "objectives": dict(zip(columns.objectives, columns.directions, strict=True)),
        "record": {name: value for name, value in columns.record.items() if name != "choices"},
        "trials": counts(columns),
        "failures": [asdict(failure) for failure in failures.failures(columns)],
        "hypervolume": pareto.hypervolume(columns.losses[columns.full], bound) if columns.full.any() else 0.0,
        "hypervolume_reference": [plain(value) for value in pareto.to_losses(bound, columns.directions)[0]],
        "front": [{name: plain(value) for name, value in row.items()} for row in front.to_dict("records")],
    }


def history(columns: Columns) -> pd.DataFrame:
    """Return the hypervolume of the full runs so far, after each of them, in the order in which they ended.

    Columns: trial, completed (UTC), gpu_hours (training time of all trials so far, rungs and failures too),
    hypervolume (from `reference`).
    """
    order = np.argsort(columns.completed, kind="stable")
    hours = np.cumsum(np.nan_to_num(columns.floats("seconds")[order])) / 3600
    full = columns.full[order]
    rows = order[full]
    return pd.DataFrame(
        {
            "trial": columns.number[rows],
            "completed": columns.completed[rows],
            "gpu_hours": hours[full],
            "hypervolume": pareto.hypervolume_history(columns.losses[rows], reference(columns)),
        }
    )


def trials_table(columns: Columns) -> pd.DataFrame:
    """Return all trials as one table: trial, state, objectives, parameters, attributes, constraints."""
    table = pd.DataFrame({"trial": columns.number, "state": [STATES[code] for code in columns.state]})
    for place, name in enumerate(columns.objectives):
        table[name] = columns.values[:, place]
    table["started"], table["completed"] = columns.started, columns.completed
    frames = [table, columns.params.add_prefix("param:"), columns.attributes.add_prefix("attribute:")]
    return pd.concat([*frames, columns.constraints.add_prefix("constraint:")], axis=1)


def write_table(table: pd.DataFrame, path: Path, force: bool = False) -> None:
    """Write a table as .csv, .parquet or .json, by the name's ending.

    Raises:
        InputError: another ending, a file that exists (without `force`), or one that cannot be written.
    """
    writers = {
        ".csv": lambda file: table.to_csv(file, index=False),
        ".parquet": lambda file: _flat(table).to_parquet(file, index=False),
        ".json": lambda file: table.to_json(file, orient="records", date_format="iso", indent=1),
    }
    if path.suffix not in writers:
        raise InputError(f"--out {path}: expected a name that ends in {', '.join(writers)}")
    if path.exists() and not force:
        raise InputError(f"{path} exists: name another file, or pass --force to overwrite it")
    write_named(path, writers[path.suffix])


def _flat(table: pd.DataFrame) -> pd.DataFrame:
    """Nested values as JSON text: a Parquet column has one type."""
    nested = [name for name in table.columns if table[name].map(type).isin([dict, list]).any()]
    return table.assign(**{name: table[name].map(_json_text) for name in nested})


def _json_text(value: Any) -> Any:
    return json.dumps(value) if isinstance(value, dict | list) else value


def _number(value: float) -> str:
    return f"{value:.4g}" if abs(value) < 1000 else f"{value:.0f}"
