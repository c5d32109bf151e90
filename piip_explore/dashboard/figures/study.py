"""How a search goes: hypervolume over time, and which choices matter."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd
import plotly.graph_objects as go

from piip_explore.dashboard import text
from piip_explore.dashboard.figures import palette, style

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
            line={"shape": "hv", "color": palette.BLUE, "width": 2},
            fill="tozeroy",
            fillcolor="rgba(86, 180, 233, 0.15)",
            hovertemplate="trial %{customdata}<br>hypervolume %{y:.4~g}<extra></extra>",
        )
    )
    return style.layout(
        figure, 300, {"title": label}, {"title": "hypervolume", "rangemode": "tozero"}, showlegend=False
    )


def importance(shares: Mapping[str, float]) -> go.Figure:
    """Draw how much each choice matters for the score; the shares add up to 1."""
    ordered = sorted(shares.items(), key=lambda item: item[1])
    figure = go.Figure(
        go.Bar(
            x=[share for _, share in ordered],
            y=[text.plain(name, 40) for name, _ in ordered],
            orientation="h",
            marker_color=palette.BLUE,
            text=[f"{share:.0%}" for _, share in ordered],
            hovertemplate="%{y}: %{x:.1%}<extra></extra>",
        )
    )
    axis = {"title": "importance for the score (shares of all choices)", "tickformat": ".0%"}
    return style.layout(figure, 90 + 26 * len(ordered), axis, showlegend=False)


def curves(runs: Mapping[str, list[tuple[float, float]]], label: str) -> go.Figure:
    """Draw what runs say of themselves over samples seen, a line per run: their loss, or a metric."""
    figure = go.Figure()
    for index, (name, points) in enumerate(runs.items()):
        color, symbol = palette.series(index)
        marker = {"size": 5, "symbol": symbol}
        figure.add_trace(_line(points, color, _SEEN, "lines+markers", name=text.plain(name, 40), marker=marker))
    axes = {"title": "samples seen"}, {"title": text.plain(label)}
    return style.layout(figure, 300, *axes, showlegend=len(runs) > 1)


def by_fidelity(points: Sequence[tuple[float, float]], metric: str) -> go.Figure:
    """Draw what a design reached after shares of a full run, a mark per run, each with a schedule of its own."""
    card = "%{x:.3~g} of a full run: %{y:.4~g}<extra></extra>"
    figure = go.Figure(_line(points, palette.BLUE, card, "lines+markers", marker={"size": 8}))
    shares = {"title": "share of a full run", "type": "log", "tickvals": sorted({share for share, _ in points})}
    return style.layout(figure, 260, shares, {"title": text.plain(metric, 40)}, showlegend=False)


def beside(curve: Sequence[tuple[float, float]], others: Sequence[Sequence[tuple[float, float]]]) -> go.Figure:
    """Draw one training loss over those of others in grey."""
    figure = go.Figure()
    if others:  # one trace with gaps: thirty take a tenth of a second to make
        points = [point for other in others for point in (*other, (float("nan"), float("nan")))]
        figure.add_trace(_line(points, "rgba(138, 143, 152, 0.5)", None, line_width=1, hoverinfo="skip"))
    figure.add_trace(_line(curve, palette.BLUE, _SEEN, line_width=2.5))
    style.layout(figure, 180, {"title": "samples seen", "nticks": 4}, {"title": "loss", "nticks": 4}, showlegend=False)
    return figure.update_layout(margin={"t": 8})


_SEEN = "%{x:,} samples: %{y:.4~g}<extra></extra>"


def _line(
    points: Sequence[tuple[float, float]], color: str, card: str | None, mode: str = "lines", **options: Any
) -> go.Scatter:
    x, y = [x for x, _ in points], [y for _, y in points]
    return go.Scatter(x=x, y=y, mode=mode, hovertemplate=card, line_color=color, **options)


STATE_COLORS = {
    "full run": palette.BLUE,
    "shorter run": palette.SKY,
    "failed": palette.VERMILLION,
    "running": palette.ORANGE,
}
_PATTERNS = {"failed": "x", "running": "/"}


def timeline(bars: pd.DataFrame) -> go.Figure:
    """Draw who ran what when: a bar per row of `lane`, `start`, `end`, `what`, `trial` and `design`."""
    figure = go.Figure()
    lanes = sorted(set(bars["lane"]), reverse=True)
    for what, color in STATE_COLORS.items():
        some = bars[bars["what"] == what]
        if not len(some):
            continue
        seconds = (some["end"] - some["start"]).dt.total_seconds()
        figure.add_trace(
            go.Bar(
                base=some["start"],
                x=1000 * seconds,
                y=[text.plain(lane, 60) for lane in some["lane"]],
                orientation="h",
                name=what,
                marker={"color": color, "pattern": {"shape": _PATTERNS.get(what, "")}, "line": {"width": 0.5}},
                customdata=some["trial"],
                text=some["design"],
                textposition="none",
                hovertext=[f"{value:,.0f} s" for value in seconds],
                hovertemplate=f"trial %{{customdata}}: {what}, %{{hovertext}}<br>%{{text}}<extra></extra>",
            )
        )
    order = {"categoryorder": "array", "categoryarray": [text.plain(lane, 60) for lane in lanes]}
    when = {"type": "date", "title": "UTC"}
    return style.layout(figure, 110 + 30 * len(lanes), when, order, barmode="overlay", bargap=0.25)
