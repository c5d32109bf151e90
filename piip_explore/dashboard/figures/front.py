"""Score against cost: all trials, the front, and what stands beside it without a score on this axis."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt
import pandas as pd
import plotly.graph_objects as go

from piip_explore.dashboard import text
from piip_explore.dashboard.figures import palette, style
from piip_explore.dashboard.figures.contents import MOST_POINTS, ChartAxis, Points, Strip

BINS = 160


def chart(points: Points, axes: tuple[ChartAxis, ChartAxis], strips: Sequence[Strip] = ()) -> go.Figure:
    """Draw score (y) against cost (x) with the front as a staircase.

    Every mark of a trial carries its number as `customdata`; densities and reference marks carry none.
    """
    figure = go.Figure()
    off = np.ones(len(points.x), dtype=bool)
    off[points.front] = False
    _cloud(figure, points, np.flatnonzero(off), axes)
    _tied(figure, points, axes)
    _front(figure, points, axes)
    _name_front(figure, points, axes)
    style.layout(figure, 540 + 24 * len(strips), *map(_titled, axes), showlegend=False)
    if strips:
        _strips(figure, list(reversed(strips)))
    return figure


def _titled(axis: ChartAxis) -> dict[str, str]:
    return {"title": text.plain(axis.label), "type": "log" if axis.log else "linear"}


def _cloud(figure: go.Figure, points: Points, rows: npt.NDArray[np.intp], axes: tuple[ChartAxis, ChartAxis]) -> None:
    if len(rows) > MOST_POINTS:
        figure.add_trace(_density(points, rows, axes))
        return
    marker = {**_dot(len(rows)), "color": palette.SKY, "line": {"width": 0}}
    figure.add_trace(_markers(points, rows, "trials", _card(axes), marker))


def _name_front(figure: go.Figure, points: Points, axes: tuple[ChartAxis, ChartAxis]) -> None:
    """Write its name beside the end of the front, in place of a legend."""
    if not len(points.front):
        return
    end = points.front[-1]
    x, y = (np.log10(v) if axis.log else v for v, axis in zip((points.x[end], points.y[end]), axes, strict=True))
    note = {"text": "Pareto front", "showarrow": False, "xanchor": "right", "yanchor": "bottom", "yshift": 8}
    figure.add_annotation(x=float(x), y=float(y), **note)


def _markers(
    points: Points, rows: npt.NDArray[np.intp], name: str, card: str, marker: Mapping[str, object]
) -> go.Scatter:
    return go.Scatter(
        x=_narrow(points.x[rows]),
        y=_narrow(points.y[rows]),
        mode="markers",
        name=name,
        customdata=points.trial[rows].astype(np.int32),
        text=points.label[rows],
        hovertemplate=card,
        marker=marker,
    )


def _dot(many: int) -> dict[str, float]:
    """Return size and opacity of one of many marks: thousands of large ones are a blot that hides the front."""
    return {"size": 8, "opacity": 0.8} if many <= 1000 else {"size": 5, "opacity": 0.45}


def _tied(figure: go.Figure, points: Points, axes: tuple[ChartAxis, ChartAxis]) -> None:
    if not len(points.tied):
        return
    marker = {"size": 8, "color": palette.BLUE, "symbol": "circle-open", "line": {"width": 1.5}}
    card = _card(axes, "within noise of the front")
    figure.add_trace(_markers(points, points.tied, "ties with the front", card, marker))


def _narrow(values: npt.NDArray[np.float64]) -> npt.NDArray[np.float32]:
    """Single precision is more than a screen shows, and half of what is sent."""
    return values.astype(np.float32)


def _card(axes: tuple[ChartAxis, ChartAxis], first: str = "") -> str:
    x, y = axes
    head = f"<b>{first}</b><br>" if first else ""
    return (
        f"{head}trial %{{customdata}}<br>{text.plain(y.label)}: %{{y:.4~g}}<br>{text.plain(x.label)}: %{{x:,.4~g}}"
        "<br>%{text}<extra></extra>"
    )


def _density(points: Points, rows: npt.NDArray[np.intp], axes: tuple[ChartAxis, ChartAxis]) -> go.Heatmap:
    edges = [_edges(values[rows], axis.log) for values, axis in zip((points.x, points.y), axes, strict=True)]
    counts, _, _ = np.histogram2d(points.x[rows], points.y[rows], bins=edges)
    return go.Heatmap(
        x=edges[0],
        y=edges[1],
        z=counts.T.astype(np.int32),
        zsmooth=False,
        colorscale=palette.DENSITY,
        showscale=False,
        name="trials per cell",
        hovertemplate="%{z} trials here: zoom by a filter to see them one by one<extra></extra>",
    )


def _edges(values: npt.NDArray[np.float64], log: bool) -> npt.NDArray[np.float64]:
    low, high = float(values.min()), float(values.max())
    if log and low > 0:
        return np.geomspace(low, high if high > low else low * 1.01, BINS + 1)
    return np.linspace(low, high if high > low else low + 1.0, BINS + 1)


def _front(figure: go.Figure, points: Points, axes: tuple[ChartAxis, ChartAxis]) -> None:
    rows = points.front
    error = points.error[rows]
    figure.add_trace(
        go.Scatter(
            x=points.x[rows],
            y=points.y[rows],
            mode="lines+markers",
            name="Pareto front",
            customdata=points.trial[rows],
            text=points.label[rows],
            hovertemplate=_card(axes, "on the front"),
            # What a design of the front reaches holds for every larger budget (smaller, where x is maximised).
            line={"shape": "vh" if axes[0].maximize else "hv", "color": palette.BLUE, "width": 2},
            marker={"size": 11, "color": palette.BLUE, "symbol": "diamond", "line": {"width": 1, "color": "white"}},
            error_y={
                "type": "data",
                "array": np.nan_to_num(error),
                "visible": bool((error > 0).any()),
                "color": palette.BLUE,
                "thickness": 1.2,
                "width": 3,
            },
        )
    )


def _strips(figure: go.Figure, strips: Sequence[Strip]) -> None:
    """Draw rows of marks below the chart, from the lowest up, on a vertical axis of their own."""
    bottom = 0.08 + 0.045 * len(strips)
    figure.update_layout(
        xaxis_anchor="y2",
        yaxis_domain=[bottom, 1],
        yaxis2={
            "domain": [0, bottom - 0.04],
            "anchor": "x",
            "fixedrange": True,
            "showgrid": False,
            "zeroline": False,
            "tickvals": list(range(len(strips))),
            "ticktext": [strip.name for strip in strips],
            "range": [-0.6, len(strips) - 0.4],
        },
    )
    for row, strip in enumerate(strips):
        figure.add_trace(
            go.Scatter(
                x=strip.x,
                y=np.full(len(strip.x), row),
                yaxis="y2",
                mode="markers",
                name=strip.name,
                showlegend=False,
                hovertext=list(strip.cards),
                hoverinfo="text",
                customdata=strip.trial,
                marker={"symbol": strip.symbol, "size": strip.size, "color": strip.color, "line": {"width": 1.5}},
            )
        )


def fronts(studies: Sequence[tuple[str, pd.DataFrame]], axes: tuple[ChartAxis, ChartAxis]) -> go.Figure:
    """Draw the fronts of several studies over each other; each frame has `trial`, `x`, `y` and `label`, sorted by x."""
    figure = go.Figure()
    for index, (name, front) in enumerate(studies):
        color, symbol = palette.series(index)
        figure.add_trace(
            go.Scatter(
                x=front["x"],
                y=front["y"],
                mode="lines+markers",
                name=text.plain(name, 60),
                customdata=front["trial"],
                text=front["label"],
                hovertemplate=_card(axes, text.plain(name, 60)),
                line={"shape": "vh" if axes[0].maximize else "hv", "color": color, "width": 2},
                marker={"size": 10, "color": color, "symbol": symbol},
            )
        )
    return style.layout(figure, 460, *map(_titled, axes))
