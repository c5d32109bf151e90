"""The papers' results, drawn on the papers' own axes."""

from __future__ import annotations

import pandas as pd
import plotly.graph_objects as go

from piip_explore.dashboard import text
from piip_explore.dashboard.figures import palette, style


def results(rows: pd.DataFrame, metric: str, label: str) -> go.Figure:
    """Draw a published metric against GFLOPs; `rows` has `row`, `design`, `gflops`, `branches` and the metric."""
    figure = go.Figure()
    kinds = (
        ("single branch", rows["branches"] == 1, palette.ORANGE, "square"),
        ("pyramid", rows["branches"] > 1, palette.BLUE, "diamond"),
    )
    for name, mask, color, symbol in kinds:
        some = rows[mask]
        figure.add_trace(
            go.Scatter(
                x=some["gflops"],
                y=some[metric],
                mode="markers",
                name=name,
                customdata=some["design"],
                text=text.cards(some["row"], some["design"]),
                hovertemplate="%{text}<br>" + label + " %{y}<br>%{x:,} GFLOPs<extra></extra>",
                marker={"size": 11, "color": color, "symbol": symbol},
            )
        )
    return style.layout(figure, 420, {"title": "GFLOPs (log)", "type": "log"}, {"title": label})
