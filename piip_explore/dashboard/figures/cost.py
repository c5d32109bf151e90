"""Where a design's FLOPs and parameters go."""

from __future__ import annotations

from collections.abc import Mapping

import plotly.graph_objects as go
from plotly.subplots import make_subplots

from piip_explore.dashboard import text
from piip_explore.dashboard.figures import palette, style


def by_module(modules: Mapping[str, tuple[int, int]], label: str) -> go.Figure:
    """Draw one bar per part of a design for its multiply-adds (G) and one for its parameters (M), with shares.

    `label` names the axis of the multiply-adds, with the accounting.
    """
    names = [text.plain(name) for name in modules]
    figure = make_subplots(rows=1, cols=2, shared_yaxes=True, horizontal_spacing=0.03)
    columns = ((label, 1e9, palette.BLUE), ("parameters (M)", 1e6, palette.ORANGE))
    for column, (title, unit, color) in enumerate(columns):
        values = [counts[column] / unit for counts in modules.values()]
        total = sum(values) or 1.0
        shown = [f"{text.number(value)} ({value / total:.0%})" for value in values]
        figure.add_trace(
            go.Bar(
                x=values,
                y=names,
                orientation="h",
                name=title,
                marker_color=color,
                text=shown,
                textposition="auto",
                hovertemplate="%{y}<br>%{x:,.4~g}<extra>" + title + "</extra>",
                cliponaxis=False,
            ),
            row=1,
            col=column + 1,
        )
        figure.update_xaxes(title=title, row=1, col=column + 1)
    figure.update_yaxes(autorange="reversed")
    return style.layout(figure, 80 + 34 * len(names), showlegend=False, bargap=0.3)


def side_by_side(designs: Mapping[str, Mapping[str, tuple[int, int]]], label: str) -> go.Figure:
    """Draw a stacked bar of GFLOPs per design: its branches from the first to the last, its interactions, and the rest.

    `label` names the axis, with the accounting.
    """
    figure = go.Figure()
    parts = {name: _parts(modules) for name, modules in designs.items()}
    labels = sorted({label for part in parts.values() for label in part}, key=_ORDER.__getitem__)
    for name in labels:
        figure.add_trace(
            go.Bar(
                y=list(range(len(parts))),
                x=[part.get(name, (0.0, ""))[0] / 1e9 for part in parts.values()],
                customdata=[part.get(name, (0.0, ""))[1] for part in parts.values()],
                orientation="h",
                name=name,
                marker_color=_COLORS[name],
                hovertemplate=f"{name}<br>%{{customdata}}<br>%{{x:,.4~g}} GFLOPs<extra></extra>",
            )
        )
    style.layout(figure, 110 + 36 * len(parts), barmode="stack", bargap=0.35, legend_traceorder="normal")
    figure.update_xaxes(title=label)
    # Places instead of names: two long names may be equal where they are cut.
    names = [text.plain(name, 40) for name in parts]
    figure.update_yaxes(autorange="reversed", tickvals=list(range(len(parts))), ticktext=names)
    return figure


_BRANCHES = [f"branch {number}" for number in range(1, 7)]
_COLORS = dict(
    zip([*_BRANCHES, "interactions", "merge and heads"], [*palette.SERIES, palette.YELLOW, palette.GREY], strict=True)
)
_ORDER = {label: place for place, label in enumerate(_COLORS)}


def _parts(modules: Mapping[str, tuple[int, int]]) -> dict[str, tuple[float, str]]:
    """Sum multiply-adds over the kinds of parts, with the names of what is in each."""
    found: dict[str, tuple[float, str]] = {}
    branches = 0
    for name, (macs, _) in modules.items():
        if name.startswith("interactions "):
            label = "interactions"
        elif name in ("merge", "pyramid", "heads"):
            label = "merge and heads"
        else:
            label = _BRANCHES[min(branches, len(_BRANCHES) - 1)]
            branches += 1
        before, names = found.get(label, (0.0, ""))
        shown = "" if label == "interactions" else text.plain(name)
        found[label] = (before + macs, f"{names}, {shown}" if names and shown else names or shown)
    return found
