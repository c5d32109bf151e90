"""Score against one choice at a time, the others of a design staying: a small chart per choice."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from piip_explore.dashboard import text
from piip_explore.dashboard.figures import palette, style
from piip_explore.search.slices import Slice

_ACROSS = 3


def slice_plots(slices: Sequence[Slice], names: Sequence[str]) -> go.Figure:
    """Draw slices, a line per design with a band around it; `names` are the designs'. All share the scale of the score.

    The design's own choice is the large mark on its line.
    """
    down = -(-len(slices) // _ACROSS)
    titles = [text.plain(one.axis, 40) for one in slices]
    figure = make_subplots(down, _ACROSS, subplot_titles=titles, shared_yaxes="all", vertical_spacing=0.5 / (down + 1))
    for place, one in enumerate(slices):
        row, column = place // _ACROSS + 1, place % _ACROSS + 1
        for design, name in enumerate(names):
            for trace in _lines(one, design, text.plain(name, 60), legend=place == 0):
                figure.add_trace(trace, row=row, col=column)
    style.layout(figure, 60 + 230 * down, {"type": "category"}, showlegend=len(names) > 1)
    return figure.update_layout(legend={"y": 1 + 40 / (60 + 230 * down)}, margin={"t": 70})


def _lines(one: Slice, design: int, name: str, *, legend: bool) -> list[go.Scatter]:
    color, symbol = palette.series(design)
    values = [text.plain(value, 40) for value in one.values]
    score, spread = one.score[design], one.spread[design]
    sizes = np.full(len(values), 5)
    sizes[one.place[design]] = 13
    hover = f"<b>{name}</b><br>{text.plain(one.axis, 40)} %{{x}}: %{{y:.4~g}}<extra></extra>"
    band = go.Scatter(
        x=[*values, *values[::-1]],
        y=[*(score + spread), *(score - spread)[::-1]],
        fill="toself",
        fillcolor=color,
        opacity=0.15,
        line={"width": 0},
        hoverinfo="skip",
        showlegend=False,
        legendgroup=name,
    )
    line = go.Scatter(
        x=values,
        y=score,
        mode="lines+markers",
        name=name,
        legendgroup=name,
        showlegend=legend,
        line={"color": color, "width": 2},
        marker={"size": sizes, "color": color, "symbol": symbol, "opacity": 1},
        hovertemplate=hover,
    )
    return [band, line]
