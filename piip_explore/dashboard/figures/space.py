"""A space before anything is trained: what its designs cost."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import plotly.graph_objects as go

from piip_explore.dashboard import text
from piip_explore.dashboard.figures import palette, style
from piip_explore.dashboard.figures.contents import Dimension

_GFLOPS = {"title": "GFLOPs (log)", "type": "log"}


def distribution(counts: npt.NDArray[np.integer], edges: npt.NDArray[np.floating], budget: float | None) -> go.Figure:
    """Draw how many designs (`counts`) cost how many GFLOPs (between `edges`), within and above a budget."""
    centres = np.sqrt(edges[:-1] * edges[1:])
    within = centres <= (np.inf if budget is None else budget)
    figure = go.Figure()
    for name, mask, color in (("within the budget", within, palette.BLUE), ("above it", ~within, palette.GREY)):
        if mask.any():
            figure.add_trace(
                go.Bar(
                    x=centres[mask],
                    y=counts[mask],
                    width=np.diff(edges)[mask],
                    name=name,
                    marker_color=color,
                    hovertemplate="about %{x:,.3~g} GFLOPs: %{y:,} designs<extra></extra>",
                )
            )
    if budget is not None:
        figure.add_vline(budget, line_dash="dash", line_color=palette.VERMILLION)
    return style.layout(figure, 320, _GFLOPS, {"title": "designs"}, bargap=0, showlegend=budget is not None)


def resolution_front(
    gflops: npt.NDArray[np.floating],
    resolution: npt.NDArray[np.integer],
    texts: Sequence[str],
    front: npt.NDArray[np.integer],
    sample: npt.NDArray[np.integer],
) -> go.Figure:
    """Draw the cheapest design for each input resolution (pixels); `front` are its rows with `texts`, cheapest first.

    Of the other designs the rows of `sample` are drawn.
    """
    figure = go.Figure()
    figure.add_trace(
        go.Scatter(
            x=gflops[sample].astype(np.float32),
            y=resolution[sample].astype(np.int16),
            mode="markers",
            name="designs",
            hovertemplate="%{x:,.4~g} GFLOPs at %{y} px<extra></extra>",
            marker={"size": 5, "color": palette.SKY, "opacity": 0.5},
        )
    )
    figure.add_trace(
        go.Scatter(
            x=gflops[front],
            y=resolution[front],
            mode="lines+markers",
            name="least cost for a resolution",
            text=[text.plain(line) for line in texts],
            hovertemplate="%{text}<br>%{x:,.4~g} GFLOPs<extra></extra>",
            line={"shape": "hv", "color": palette.BLUE, "width": 2},
            marker={"size": 10, "symbol": "diamond", "color": palette.BLUE},
        )
    )
    return style.layout(figure, 380, _GFLOPS, {"title": "largest resolution (px)"})


def parallel(dimensions: Sequence[Dimension], color: str) -> go.Figure:
    """Draw designs as lines over their choices; `color` is the label of the axis that colours them."""
    axes = [{"label": text.plain(one.label, 30), "values": one.values, **_ticks(one)} for one in dimensions]
    (coloring,) = (dimension for dimension in dimensions if dimension.label == color)
    bar = {"title": text.plain(color), **_ticks(coloring)}
    line = {"color": coloring.values, "colorscale": palette.SCALE, "showscale": True, "colorbar": bar}
    figure = go.Figure(go.Parcoords(dimensions=axes, line=line))
    style.layout(figure, 440)
    figure.update_layout(margin={"l": 110, "r": 20, "t": 64, "b": 24})
    return figure


def _ticks(dimension: Dimension) -> dict[str, list[Any]]:
    if dimension.ticks is None:
        return {}
    names = [text.plain(name, 18) for name in dimension.ticks.values()]
    return {"tickvals": list(dimension.ticks), "ticktext": names}
