"""All trials of a study as lines: what became of each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from piip_explore.search.columns import Columns, plain
from piip_explore.search.storage import FAIL
from piip_explore.terminal import aligned, printable


def trials(columns: Columns, failed: bool = False) -> list[dict[str, Any]]:
    """Return what became of each trial, in order: trial, state, fidelity, objectives, seconds, design, failure."""
    rows = np.flatnonzero(columns.state == FAIL) if failed else np.arange(len(columns))
    designs, seconds, reasons = (columns.attribute(name, rows) for name in ("design", "seconds", "failure"))
    return [
        {
            "trial": int(columns.number[row]),
            "state": columns.state_of(int(row)).lower(),
            "fidelity": float(columns.fidelity[row]),
            **{name: plain(value) for name, value in zip(columns.objectives, columns.values[row], strict=True)},
            "seconds": plain(seconds[place]),
            "design": plain(designs[place]),
            "failure": plain(reasons[place]),
        }
        for place, row in enumerate(rows)
    ]


def trials_text(rows: Sequence[Mapping[str, Any]]) -> str:
    """Return the rows of `trials` as lines for a terminal; a failure stands under its trial."""
    if not rows:
        return "no trials"
    names = [name for name in rows[0] if name not in ("design", "failure")]
    cells = [["GFLOPs" if name == "gflops" else name for name in names] + ["design"]]
    cells += [[_cell(row[name]) for name in names] + [str(row["design"] or "")] for row in rows]
    lines = aligned(cells, left=1)
    for place, row in reversed(list(enumerate(rows, start=1))):
        if row["failure"]:
            lines.insert(place + 1, f"{'':{max(len(line[0]) for line in cells)}}  {row['failure']}")
    return printable("\n".join(lines))


def _cell(value: Any) -> str:
    if value is None:
        return "-"
    return f"{value:.4g}" if isinstance(value, float) else str(value)
