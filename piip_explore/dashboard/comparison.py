"""What there is to compare of several designs, as texts: a row per property, with the differences to the first."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd

from piip_explore import cost
from piip_explore.dashboard import text
from piip_explore.dashboard.selection import Chosen
from piip_explore.dashboard.trials import Trials
from piip_explore.search.storage import Note


def side_by_side(
    found: Mapping[str, Chosen], trials: Trials | None, notes: Mapping[int, Note] | None = None
) -> pd.DataFrame:
    """Return a row per property and a column per design; costs and scores say how far they are from the first's.

    Costs differ by shares, scores by points. `notes` are those on the study's trials; where there are some, they are
    the last row.
    """
    most = max(len(chosen.design.branches) for chosen in found.values())
    rows = pd.DataFrame({name: _properties(chosen, most) for name, chosen in found.items()})
    costs = {name: _costs(chosen) for name, chosen in found.items()}
    scores = {name: _scores(chosen, trials) for name, chosen in found.items()}
    first = next(iter(found))
    cells = {
        name: {cost: _share(value, costs[first][cost]) for cost, value in costs[name].items()}
        | {score: _points(value, scores[first][score]) for score, value in scores[name].items()}
        for name in found
    }
    table = pd.concat([rows, pd.DataFrame(cells)])
    said = [_note(chosen, notes or {}) for chosen in found.values()]
    if any(said):
        table.loc["note"] = [words or "–" for words in said]
    return table


def _note(chosen: Chosen, notes: Mapping[int, Note]) -> str:
    note = None if chosen.trial is None else notes.get(chosen.trial)
    return "" if note is None else text.one_line(note.text)


def _properties(chosen: Chosen, most: int) -> dict[str, str]:
    design = chosen.design.sorted()
    branches = [str(branch) for branch in design.branches]
    interaction = design.interaction
    return {
        **{f"branch {i + 1}": branches[i] if i < len(branches) else "–" for i in range(most)},
        "interactions": str(interaction.count) if interaction else "none",
        "direction": interaction.direction if interaction else "–",
        "attention": interaction.attention if interaction else "–",
        "merge": design.merge.kind,
        "weighting": design.merge.weighting,
        "branches merged": ", ".join(str(index + 1) for index in design.out),
    }


def _costs(chosen: Chosen) -> dict[str, float]:
    published, built = (cost.count(chosen.design, accounting) for accounting in ("published", "built"))
    return {
        "GFLOPs published": published.macs / 1e9,
        "GFLOPs built": built.macs / 1e9,
        "parameters (M)": published.params / 1e6,
    }


def _scores(chosen: Chosen, trials: Trials | None) -> dict[str, float]:
    if trials is None:
        return {}
    row = chosen.trial
    error, score = (float("nan") if row is None else float(column[row]) for column in (trials.error, trials.score))
    return {trials.metric: score, "± standard error": error}


def _share(value: float, first: float) -> str:
    shown = text.number(value, 4)
    return shown if value == first else f"{shown} ({text.signed(100 * (value / first - 1), 2)} %)"


def _points(value: float, first: float) -> str:
    differs = text.signed(value - first) if value != first else ""
    return text.number(value, 4) + (f" ({differs})" if differs else "")
