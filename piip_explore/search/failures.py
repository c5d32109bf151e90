"""Why designs of a study failed: counted, with one example each."""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np

from piip_explore.search.blame import LOST
from piip_explore.search.columns import Columns
from piip_explore.search.storage import COMPLETE, FAIL, PRUNED
from piip_explore.terminal import printable

_SHOWN = 5


@dataclass(frozen=True)
class Failure:
    """Trials that failed for the same reason, as the first of them says it."""

    reason: str
    trials: tuple[int, ...]


def failures(columns: Columns) -> list[Failure]:
    """Return why designs have failed that have no result, most frequent reason first; a design counts once."""
    if "failure" not in columns.attributes or "id" not in columns.attributes:
        return []
    ids, reasons = columns.attributes["id"], columns.attributes["failure"]
    done = set(ids[np.isin(columns.state, (COMPLETE, PRUNED))])
    last: dict[str, int] = {}
    for row in np.flatnonzero((columns.state == FAIL) & reasons.notna().to_numpy()):
        if ids.iloc[row] not in done and _of_the_design(columns, int(row)):
            last[ids.iloc[row]] = int(row)
    groups: dict[str, list[int]] = {}
    for at in last.values():
        groups.setdefault(_kind(str(reasons.iloc[at])), []).append(at)
    found = [
        Failure(str(reasons.iloc[rows[0]]), tuple(int(columns.number[row]) for row in rows)) for rows in groups.values()
    ]
    return sorted(found, key=lambda failure: -len(failure.trials))


def _of_the_design(columns: Columns, row: int) -> bool:
    """Whether a trial failed because of what it evaluated, not because its search ended or another was faster."""
    for name in ("superseded_by", "interruptions"):
        if name in columns.attributes and columns.attributes[name].notna().iloc[row]:
            return False
    return LOST not in str(columns.attributes["failure"].iloc[row])


def _kind(reason: str) -> str:
    """Return a reason without what differs from design to design: names in quotes, and numbers."""
    return re.sub(r"[0-9.]+", "N", re.sub(r"'[^']*'", "''", reason))


def text(columns: Columns) -> str:
    """Return the failures as lines, empty where there are none."""
    found = failures(columns)
    if not found:
        return ""
    count = sum(len(failure.trials) for failure in found)
    lines = [f"{count} design{'s' * (count > 1)} failed:"]
    for failure in found[:_SHOWN]:
        numbers = ", ".join(map(str, failure.trials[:_SHOWN])) + ", ..." * (len(failure.trials) > _SHOWN)
        lines.append(f"  {len(failure.trials)} x {failure.reason} (trial{'s' * (len(failure.trials) > 1)} {numbers})")
    if len(found) > _SHOWN:
        lines.append(f"  and {len(found) - _SHOWN} other reasons: see `piip-explore trials`")
    return printable("\n".join(lines))
