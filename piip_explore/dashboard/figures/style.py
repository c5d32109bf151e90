"""Colours, symbols and the layout that all charts share.

Colours are Okabe and Ito's, which colour-blind readers tell apart; wherever a colour carries a meaning, a symbol or a
label carries it too. Text colours are left to Streamlit, which knows whether the page is dark.
"""

from __future__ import annotations

from typing import Any

import plotly.graph_objects as go

BLUE, SKY, GREEN, ORANGE = "#0072B2", "#56B4E9", "#009E73", "#E69F00"
VERMILLION, PURPLE, YELLOW = "#D55E00", "#CC79A7", "#F0E442"
GREY = "#8A8F98"
"""Readable on white and on Streamlit's dark background."""

SERIES = (BLUE, ORANGE, GREEN, PURPLE, SKY, VERMILLION)
SYMBOLS = ("circle", "square", "diamond", "triangle-up", "cross", "x")
SCALE = [[0.0, SKY], [0.5, GREY], [1.0, ORANGE]]
"""Little to much, to be seen on white and on black."""

GRID = "rgba(138, 143, 152, 0.25)"
DENSITY = [[0.0, "rgba(86, 180, 233, 0.0)"], [0.001, "rgba(86, 180, 233, 0.25)"], [0.3, SKY], [1.0, BLUE]]
"""Few to many, transparent where there are none."""


def series(index: int) -> tuple[str, str]:
    """Return colour and symbol of one of several things that are drawn over each other."""
    return SERIES[index % len(SERIES)], SYMBOLS[index % len(SYMBOLS)]


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
    figure.update_xaxes(gridcolor=GRID, zeroline=False, automargin=True, **(x or {}))
    return figure.update_yaxes(gridcolor=GRID, zeroline=False, automargin=True, **(y or {}))
