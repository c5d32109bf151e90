"""Where a design's FLOPs and parameters go."""

from __future__ import annotations

from collections.abc import Mapping

import plotly.graph_objects as go
from plotly.subplots import make_subplots

from piip_explore.dashboard import text
from piip_explore.dashboard.figures import style


def by_module(modules: Mapping[str, tuple[int, int]]) -> go.Figure:
    """Draw one bar per part of a design for its multiply-adds (G) and one for its parameters (M), with shares."""
    names = [text.plain(name) for name in modules]
    figure = make_subplots(rows=1, cols=2, shared_yaxes=True, horizontal_spacing=0.03)
    columns = (("GFLOPs", 1e9, style.BLUE), ("parameters (M)", 1e6, style.ORANGE))
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
    return style.layout(figure, 90 + 34 * len(names), showlegend=False, bargap=0.3)
