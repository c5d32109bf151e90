"""A study's results for people and programs: text, JSON, CSV, Parquet."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from piip_explore.errors import InputError
from piip_explore.search import pareto
from piip_explore.search.columns import Columns
from piip_explore.search.storage import STATES

if TYPE_CHECKING:
    import pandas

_SHOWN = {"score": "score", "gflops": "GFLOPs", "params": "M params", "latency": "ms", "memory": "GiB"}
_SCALE = {"params": 1e-6, "memory": 2.0**-30}


def reference(columns: Columns) -> np.ndarray[Any, np.dtype[np.float64]]:
    """Return the point from which a study's hypervolume is measured: the worst of its full runs, per objective."""
    losses = columns.losses[columns.full]
    return losses.max(axis=0) if len(losses) else np.full(len(columns.objectives), np.nan)


def front_table(columns: Columns, within: Mapping[str, float] | None = None) -> pandas.DataFrame:
    """Return the front as a table, cheapest first, followed by nothing else.

    Columns: trial, design, the objectives, standard_error, crowding (distance to the neighbours on the front; infinite
    at its ends), knee (the one design farthest below the line between the ends), tied (trials off the front that no
    front design beats by more than noise and that this one dominates).
    """
    import pandas as pd

    rows = columns.front(within)
    losses = columns.losses[rows]
    knee = pareto.knee(losses)
    table = pd.DataFrame({"trial": columns.number[rows], "design": _attribute(columns, "design", rows)})
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


def _attribute(columns: Columns, name: str, rows: np.ndarray[Any, np.dtype[np.int64]]) -> list[Any]:
    if name not in columns.attributes:
        return [None] * len(rows)
    return list(columns.attributes[name].iloc[rows])


def front_text(columns: Columns, within: Mapping[str, float] | None = None) -> str:
    """Return the front as lines for a terminal, with what its numbers depend on."""
    table = front_table(columns, within)
    if not len(table):
        if not columns.full.any():
            return "No design is evaluated in full yet."
        limits = ", ".join(f"{name} {_number(bound)}" for name, bound in (within or {}).items())
        return f"None of the {columns.full.sum()} designs that are evaluated in full is within {limits}."
    noise = table["standard_error"].notna().any()
    heads = ["trial", *(_SHOWN.get(name, name) for name in columns.objectives), "", "design"]
    lines = [heads]
    for row in table.to_dict("records"):
        cells = [str(row["trial"])]
        for name in columns.objectives:
            text = _number(row[name] * _SCALE.get(name, 1.0))
            if name == "score" and noise:
                text += " ± " + ("?" if math.isnan(row["standard_error"]) else f"{row['standard_error']:.2g}")
            cells.append(text)
        marks = ["knee"] * row["knee"] + ([f"ties {','.join(map(str, row['tied']))}"] if row["tied"] else [])
        lines.append([*cells, " ".join(marks), row["design"] or ""])
    return _align(lines) + "\n" + conditions_text(columns)


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
        InputError: a bound that is no number above 0, or on what is no objective of the study.
    """
    bounds = {"gflops": max_gflops, "params": max_params}
    given = {name: bound for name, bound in bounds.items() if bound is not None}
    for name, bound in given.items():
        if not bound > 0:
            raise InputError(f"--max-{name} {bound:g}: expected a number above 0")
        if name not in columns.objectives:
            raise InputError(
                f"'{name}' is no objective of study '{columns.study}': {', '.join(columns.objectives)} are"
            )
    return given


def details(columns: Columns, what: str) -> list[dict[str, Any]]:
    """Return everything about a trial (by number) or about a design's trials (by text or id).

    Raises:
        InputError: the study has no such trial or design.
    """
    if what.isdecimal() and len(what) < 12:
        rows = np.flatnonzero(columns.number == int(what))
        if not len(rows):
            raise InputError(f"study '{columns.study}' has no trial {what}: it has {len(columns)} trials, from 0")
    else:
        from piip_explore.design import Design

        is_id = len(what) == 12 and set(what) <= set("0123456789abcdef")
        design_id = what if is_id else Design.parse(what).id
        rows = np.flatnonzero(np.array(_attribute(columns, "id", np.arange(len(columns)))) == design_id)
        if not len(rows):
            raise InputError(f"study '{columns.study}' has no trial of '{what}'")
    on_front = set(columns.front().tolist())
    return [_detail(columns, int(row), int(row) in on_front) for row in rows]


def _detail(columns: Columns, row: int, on_front: bool) -> dict[str, Any]:
    def present(frame: pandas.DataFrame) -> dict[str, Any]:
        values = {str(name): _plain(value) for name, value in frame.iloc[row].items()}
        return {name: value for name, value in values.items() if value is not None}

    times = {name: getattr(columns, name)[row] for name in ("started", "completed")}
    return {
        "trial": int(columns.number[row]),
        "state": STATES[columns.state[row]],
        "on_front": on_front,
        "values": {name: _plain(value) for name, value in zip(columns.objectives, columns.values[row], strict=True)},
        "params": present(columns.params),
        "attributes": present(columns.attributes),
        "constraints": present(columns.constraints),
        **{name: None if np.isnat(moment) else f"{moment}Z" for name, moment in times.items()},
    }


def details_text(trials: Sequence[Mapping[str, Any]]) -> str:
    """Return `details` as lines for a terminal."""
    lines = []
    for trial in trials:
        mark = ", on the front" if trial["on_front"] else ""
        lines.append(f"trial {trial['trial']} ({trial['state']}{mark})")
        flat = {"started": trial["started"], "completed": trial["completed"]}
        for part in ("attributes", "values", "params", "constraints"):
            flat |= {(f"{name} limit" if part == "constraints" else name): v for name, v in trial[part].items()}
        width = max(map(len, flat))
        for name, value in flat.items():
            if value is not None:
                lines.append(f"  {name.ljust(width)}  {f'{value:.6g}' if isinstance(value, float) else value}")
        lines.append("")
    return "\n".join(lines).rstrip()


def counts(columns: Columns) -> dict[str, int]:
    """Return how many trials are in each state."""
    return {name.lower(): int((columns.state == code).sum()) for code, name in enumerate(STATES)}


def summary(columns: Columns, within: Mapping[str, float] | None = None) -> dict[str, Any]:
    """Return the front and what it depends on as JSON-ready values."""
    front = [
        {name: _plain(value) for name, value in row.items()} for row in front_table(columns, within).to_dict("records")
    ]
    bound = reference(columns)
    return {
        "study": columns.study,
        "storage": columns.storage,
        "objectives": dict(zip(columns.objectives, columns.directions, strict=True)),
        "record": {name: value for name, value in columns.record.items() if name != "choices"},
        "trials": counts(columns),
        "hypervolume": pareto.hypervolume(columns.losses[columns.full], bound) if columns.full.any() else 0.0,
        "hypervolume_reference": [_plain(value) for value in pareto.to_losses(bound, columns.directions)[0]],
        "front": front,
    }


def history(columns: Columns) -> pandas.DataFrame:
    """Return the hypervolume of the full runs so far, after each of them, in the order in which they ended.

    Columns: trial, completed (UTC), gpu_hours (training time of all trials so far, rungs and failures too),
    hypervolume (from `reference`).
    """
    import pandas as pd

    order = np.argsort(columns.completed, kind="stable")
    seconds = np.zeros(len(columns))
    if "seconds" in columns.attributes:
        seconds = pd.to_numeric(columns.attributes["seconds"], errors="coerce").fillna(0.0).to_numpy(dtype=np.float64)
    hours = np.cumsum(seconds[order]) / 3600
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


def trials_table(columns: Columns) -> pandas.DataFrame:
    """Return all trials as one table: trial, state, objectives, parameters, attributes, constraints."""
    import pandas as pd

    table = pd.DataFrame({"trial": columns.number, "state": [STATES[code] for code in columns.state]})
    for place, name in enumerate(columns.objectives):
        table[name] = columns.values[:, place]
    table["started"], table["completed"] = columns.started, columns.completed
    frames = [table, columns.params.add_prefix("param:"), columns.attributes.add_prefix("attribute:")]
    return pd.concat([*frames, columns.constraints.add_prefix("constraint:")], axis=1)


def write_table(table: pandas.DataFrame, path: Path, force: bool = False) -> None:
    """Write a table as .csv, .parquet or .json, by the name's ending.

    Raises:
        InputError: another ending, a file that exists (without `force`), or one that cannot be written.
    """
    writers = {
        ".csv": lambda: table.to_csv(path, index=False),
        ".parquet": lambda: _flat(table).to_parquet(path, index=False),
        ".json": lambda: table.to_json(path, orient="records", date_format="iso", indent=1),
    }
    if path.suffix not in writers:
        raise InputError(f"--out {path}: expected a name that ends in {', '.join(writers)}")
    if path.exists() and not force:
        raise InputError(f"{path} exists: name another file, or pass --force to overwrite it")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        writers[path.suffix]()
    except OSError as error:
        raise InputError(f"cannot write {path}: {error.strerror or error}") from None


def _flat(table: pandas.DataFrame) -> pandas.DataFrame:
    """Nested values as JSON text: a Parquet column has one type."""
    nested = [name for name in table.columns if table[name].map(type).isin([dict, list]).any()]
    return table.assign(**{name: table[name].map(_json_text) for name in nested})


def _json_text(value: Any) -> Any:
    return json.dumps(value) if isinstance(value, dict | list) else value


def _plain(value: Any) -> Any:
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return None if type(value).__name__ in ("NAType", "NaTType") else value


def _number(value: float) -> str:
    return f"{value:.4g}" if abs(value) < 1000 else f"{value:.0f}"


def _align(lines: Sequence[Sequence[str]]) -> str:
    widths = [max(len(line[place]) for line in lines) for place in range(len(lines[0]))]
    padded = []
    for line in lines:
        cells = [c.rjust(w) for c, w in zip(line[:-2], widths, strict=False)]
        padded.append("  ".join([*cells, line[-2].ljust(widths[-2]), line[-1]]).rstrip())
    return "\n".join(padded)
