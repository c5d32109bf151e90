"""One trial or design of a study in full, for people and programs."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from piip_explore.errors import InputError
from piip_explore.search import pareto
from piip_explore.search.columns import Columns, plain, plain_row
from piip_explore.search.report import unit
from piip_explore.terminal import printable

_SAID = {"design", "id", "fidelity", "rung", "seed", "gflops_published", "gflops_built", "params", "worker"} | {
    *("standard_error", "seconds", "peak_memory", "latency", "memory", "energy", "metrics", "curve", "metric_curve"),
    *("failure", "final"),
    *("device", "preset", "preset_hash", "code_version", "kernel_backend", "torch", "crashes"),
}
"""Attributes that have lines of their own."""


def rows_of(columns: Columns, what: str) -> np.ndarray[Any, np.dtype[np.int64]]:
    """Return the rows that a person means: a trial's number, `knee`, or a design's text, id or the beginning of one.

    Raises:
        InputError: the study has no such trial or design, or more than one id begins so.
    """
    if what == "knee":
        front = columns.front()
        knee = pareto.knee(columns.losses[front])
        if knee is None:
            raise InputError(f"the front of study '{columns.study}' has no knee: it needs three designs")
        return front[[knee]]
    ids = np.array(columns.attribute("id", np.arange(len(columns))), dtype=object)
    if re.fullmatch("[0-9]{1,11}", what):
        rows = np.flatnonzero(columns.number == int(what))
        if not len(rows):
            raise InputError(f"study '{columns.study}' has no trial {what}: it has {len(columns)} trials, from 0")
        return rows
    if re.fullmatch("[0-9a-f]{4,12}", what):
        found = sorted({str(name) for name in ids if name is not None and str(name).startswith(what)})
        if len(found) > 1:
            raise InputError(f"'{what}' begins {len(found)} ids of study '{columns.study}': {', '.join(found[:5])}")
        rows = np.flatnonzero(ids == found[0]) if found else np.empty(0, dtype=np.int64)
    else:
        from piip_explore.design import Design

        rows = np.flatnonzero(ids == Design.parse(what).id)
    if not len(rows):
        raise InputError(f"study '{columns.study}' has no trial of '{what}'")
    return rows


def details(columns: Columns, what: str) -> list[dict[str, Any]]:
    """Return everything about the trials that `what` means (see `rows_of`).

    Raises:
        InputError: the study has no such trial or design.
    """
    on_front = set(columns.front().tolist())
    return [_detail(columns, int(row), int(row) in on_front) for row in rows_of(columns, what)]


def _detail(columns: Columns, row: int, on_front: bool) -> dict[str, Any]:
    times = {name: getattr(columns, name)[row] for name in ("started", "completed")}
    return {
        "trial": int(columns.number[row]),
        "state": columns.state_of(row),
        "on_front": on_front,
        "values": {name: plain(value) for name, value in zip(columns.objectives, columns.values[row], strict=True)},
        "params": plain_row(columns.params, row),
        "attributes": columns.attributes_of(row),
        "constraints": plain_row(columns.constraints, row),
        **{name: None if np.isnat(moment) else f"{moment}Z" for name, moment in times.items()},
    }


def details_text(trials: Sequence[Mapping[str, Any]]) -> str:
    """Return `details` as lines for a terminal."""
    blocks = []
    for trial in trials:
        mark = ", on the front" if trial["on_front"] else ""
        lines = list(_lines(trial))
        width = max((len(name) for name, _ in lines), default=0)
        head = f"trial {trial['trial']} ({trial['state'].lower()}{mark})"
        blocks.append("\n".join([head, *(f"  {name.ljust(width)}  {value}" for name, value in lines)]))
    return printable("\n\n".join(blocks))


def _lines(trial: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield what there is to say of a trial, by name."""
    said = trial["attributes"]
    for name in ("design", "id", "failure"):
        if name in said:
            yield name, str(said[name])
    for name, value in trial["values"].items():
        if value is not None:
            error = said.get("standard_error") if name == "score" else None
            yield name, _amount(name, value) + ("" if error is None else f" ± {error:.2g}")
    if "gflops_published" in said and "gflops_built" in said:
        yield "counted", f"{said['gflops_published']:.4g} GFLOPs as published, {said['gflops_built']:.4g} as built"
    if "params" in said and "params" not in trial["values"]:
        yield "parameters", f"{said['params'] / 1e6:.4g} M"
    yield from _run_lines(said)
    for name, value in trial["params"].items():
        yield name, str(value)
    for name, value in trial["constraints"].items():
        yield f"{name} limit", "met" if value <= 0 else f"exceeded by {_amount(name, value)}"
    for name, value in said.items():
        if name not in _SAID:
            yield name, _plain_text(value)
    if trial["started"]:
        yield "from", _moment(trial["started"])
    if trial["completed"]:
        yield "to", _moment(trial["completed"])


def _run_lines(said: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield what is known of the run: how long, how much, on what, under which conditions."""
    parts = [f"{said['seconds']:.1f} s"] if "seconds" in said else []
    parts += [f"fidelity {said['fidelity']:.3g}"] if "fidelity" in said else []
    parts += [f"seed {said['seed']}"] if "seed" in said else []
    parts += [f"peak memory {said['peak_memory'] / 2**20:,.0f} MiB"] if "peak_memory" in said else []
    if parts:
        yield "run", ", ".join(parts)
    if "worker" in said:
        worker = said["worker"]
        yield "worker", f"{worker.get('device', '?')} of {worker.get('host', '?')}, process {worker.get('pid', '?')}"
    labels = {"preset": "preset", "device": "device", "code_version": "code", "kernel_backend": "kernel"}
    under = [f"{label} {said[name]}" for name, label in (labels | {"torch": "torch"}).items() if name in said]
    if under:
        yield "under", ", ".join(under)
    for name, value in (said.get("metrics") or {}).items():
        yield name, _plain_text(value)
    if said.get("curve"):
        (first, high), (last, low) = said["curve"][0], said["curve"][-1]
        yield "training loss", f"{high:.4g} after {first:,} images, {low:.4g} after {last:,}"
    if said.get("metric_curve"):
        yield "on the way", ", ".join(f"{value:.4g} after {seen:,} images" for seen, value in said["metric_curve"])
    for reason in said.get("crashes") or ():
        yield "crashed with", str(reason)


def _amount(name: str, value: float) -> str:
    words, scale = unit(name)
    return f"{value * scale:.4g} {words}".rstrip()


def _plain_text(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {_plain_text(part)}" for name, part in value.items())
    if isinstance(value, list):
        return ", ".join(map(_plain_text, value))
    return str(value)


def _moment(text: str) -> str:
    return text.partition(".")[0].rstrip("Z").replace("T", " ") + " UTC"
