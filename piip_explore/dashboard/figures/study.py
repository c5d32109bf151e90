"""How a search goes: hypervolume over time, and which choices matter."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd
import plotly.graph_objects as go

from piip_explore.dashboard import text
from piip_explore.dashboard.figures import style

MOST_STEPS = 2000


def hypervolume(history: pd.DataFrame, over: str, label: str) -> go.Figure:
    """Draw the hypervolume over a column of `history`; steps that change nothing are left out of long studies."""
    if len(history) > MOST_STEPS:
        changed = history["hypervolume"].diff().fillna(1.0) != 0
        changed.iloc[-1] = True
        history = history[changed].tail(MOST_STEPS)
    figure = go.Figure(
        go.Scatter(
            x=history[over],
            y=history["hypervolume"],
            customdata=history["trial"],
            mode="lines",
            line={"shape": "hv", "color": style.BLUE, "width": 2},
            fill="tozeroy",
            fillcolor="rgba(86, 180, 233, 0.15)",
            hovertemplate="trial %{customdata}<br>hypervolume %{y:.4~g}<extra></extra>",
        )
    )
    style.layout(figure, 300, showlegend=False)
    figure.update_xaxes(title=label)
    figure.update_yaxes(title="hypervolume", rangemode="tozero")
    return figure


def importance(shares: Mapping[str, float]) -> go.Figure:
    """Draw how much each choice matters for the score; the shares add up to 1."""
    ordered = sorted(shares.items(), key=lambda item: item[1])
    figure = go.Figure(
        go.Bar(
            x=[share for _, share in ordered],
            y=[text.plain(name, 40) for name, _ in ordered],
            orientation="h",
            marker_color=style.BLUE,
            text=[f"{share:.0%}" for _, share in ordered],
            hovertemplate="%{y}: %{x:.1%}<extra></extra>",
        )
    )
    style.layout(figure, 90 + 26 * len(ordered), showlegend=False)
    figure.update_xaxes(title="importance for the score (shares of all choices)", tickformat=".0%")
    return figure


def curves(runs: Mapping[str, list[tuple[float, float]]]) -> go.Figure:
    """Draw training losses over samples seen, a line per run."""
    figure = go.Figure()
    for index, (name, points) in enumerate(runs.items()):
        color = style.SERIES[index % len(style.SERIES)]
        figure.add_trace(
            go.Scatter(
                x=[seen for seen, _ in points],
                y=[loss for _, loss in points],
                mode="lines+markers",
                name=text.plain(name, 40),
                line={"color": color, "width": 2},
                marker={"size": 5, "symbol": style.SYMBOLS[index % len(style.SYMBOLS)]},
                hovertemplate="%{x:,} samples: %{y:.4~g}<extra></extra>",
            )
        )
    style.layout(figure, 300, showlegend=len(runs) > 1)
    figure.update_xaxes(title="samples seen")
    figure.update_yaxes(title="training loss (smoothed)")
    return figure
