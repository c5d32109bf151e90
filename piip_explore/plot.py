"""The dashboard's figures as functions, for notebooks and papers: each returns a Plotly figure.

They need what `pip install 'piip-explore[dashboard]'` installs. A study comes from `piip_explore.search.columns.read`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from piip_explore import cost
from piip_explore.dashboard import filters, report, trials
from piip_explore.dashboard.figures import study as of_study
from piip_explore.dashboard.figures import style
from piip_explore.dashboard.figures.cost import by_module
from piip_explore.design import Design
from piip_explore.errors import InputError
from piip_explore.search import importance as learning
from piip_explore.search.report import history

if TYPE_CHECKING:
    import plotly.graph_objects as go

    from piip_explore.search.columns import Columns

__all__ = ["front", "hypervolume", "importance", "parts"]


def front(study: Columns, max_gflops: float | None = None, accounting: str = "published") -> go.Figure:
    """Draw score against GFLOPs: all full runs, the Pareto front, its knee, and the best within a budget.

    Raises:
        InputError: no design is evaluated in full yet.
    """
    if not study.full.any():
        raise InputError(f"study '{study.study}' has no design that is evaluated in full yet: there is nothing to draw")
    tradeoff = filters.tradeoff(trials.of(study, {}), accounting, "gflops", "score", True, trials.Filters())
    return style.alone(report.front_figure(tradeoff, accounting, max_gflops, ()))


def hypervolume(study: Columns) -> go.Figure:
    """Draw the hypervolume of the front over the full runs, measured from the worst score and cost of all of them."""
    rows = history(study)
    return style.alone(of_study.hypervolume(rows.assign(done=np.arange(1, len(rows) + 1)), "done", "full runs"))


def importance(study: Columns) -> go.Figure:
    """Draw how much each choice matters for the score.

    Raises:
        InputError: too few full runs to learn from.
    """
    table = learning.importance(study)
    return style.alone(of_study.importance(dict(zip(table["axis"], table["score"], strict=True))))


def parts(design: Design | str, accounting: str = "published") -> go.Figure:
    """Draw multiply-adds and parameters of a design by its parts.

    Raises:
        InputError: the text is not that of a design.
    """
    known = Design.parse(design) if isinstance(design, str) else design
    return style.alone(by_module(cost.count(known, accounting).by_module, f"GFLOPs ({accounting})"))
