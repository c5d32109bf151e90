"""The layout that all charts share."""

from __future__ import annotations

from typing import Any

import plotly.graph_objects as go

from piip_explore.dashboard.figures import palette

_UPLOAD = ["sendChartToCloud"]
"""The button that uploads a chart to Plotly."""
_SELECT = ["select2d", "lasso2d"]
"""The buttons that select, which does something in the dashboard alone."""


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
        modebar={"remove": _UPLOAD},
        **options,
    )
    figure.update_xaxes(gridcolor=palette.GRID, zeroline=False, automargin=True, **(x or {}))
    return figure.update_yaxes(gridcolor=palette.GRID, zeroline=False, automargin=True, **(y or {}))


def alone(figure: go.Figure) -> go.Figure:
    """Give a figure outside the dashboard a white page, which the dashboard leaves to its theme, and no dead button."""
    return figure.update_layout(template="plotly_white", modebar={"remove": [*_UPLOAD, *_SELECT]})
