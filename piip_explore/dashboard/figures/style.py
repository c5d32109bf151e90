"""The layout that all charts share."""

from __future__ import annotations

from typing import Any

import plotly.graph_objects as go

from piip_explore.dashboard.figures import palette


def layout(
    figure: go.Figure, height: int, x: dict[str, Any] | None = None, y: dict[str, Any] | None = None, **options: Any
) -> go.Figure:
    """Give a figure the common layout; `x` and `y` are properties of its axes."""
    figure.update_layout(
        height=height,
        template={},
        margin={"l": 8, "r": 8, "t": 32, "b": 8},
        hovermode="closest",
        hoverlabel={"align": "left", "namelength": -1},
        legend={"orientation": "h", "yanchor": "bottom", "y": 1.0, "x": 0, "itemsizing": "constant"},
        modebar={"remove": ["sendChartToCloud"]},  # a button that uploads the chart to Plotly
        **options,
    )
    figure.update_xaxes(gridcolor=palette.GRID, zeroline=False, automargin=True, **(x or {}))
    return figure.update_yaxes(gridcolor=palette.GRID, zeroline=False, automargin=True, **(y or {}))
