"""How far the proxy's ranking can be trusted."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from piip_explore.dashboard import text
from piip_explore.dashboard.figures import palette, style


def accuracy(table: pd.DataFrame) -> go.Figure:
    """Draw accuracies with their intervals, a row per question and a mark per predictor.

    `table` has `question`, `predictor`, `accuracy`, `low`, `high` (percent) and `pairs`.
    """
    questions = list(dict.fromkeys(table["question"]))
    predictors = list(dict.fromkeys(table["predictor"]))
    figure = go.Figure()
    for index, predictor in enumerate(predictors):
        some = table[table["predictor"] == predictor]
        shift = 0.6 * ((index + 0.5) / len(predictors) - 0.5)
        color, symbol = palette.series(index)
        figure.add_trace(
            go.Scatter(
                x=some["accuracy"],
                y=[questions.index(question) + shift for question in some["question"]],
                mode="markers",
                name=text.plain(predictor, 30),
                customdata=np.stack([some["low"], some["high"], some["pairs"]], axis=1),
                error_x={
                    "type": "data",
                    "symmetric": False,
                    "array": some["high"] - some["accuracy"],
                    "arrayminus": some["accuracy"] - some["low"],
                    "color": color,
                    "thickness": 1.5,
                },
                marker={"size": 10, "color": color, "symbol": symbol},
                hovertemplate="%{x:.0f} % (%{customdata[0]:.0f} to %{customdata[1]:.0f})<br>%{customdata[2]} pairs",
            )
        )
    figure.add_vline(50, line_dash="dot", line_color=palette.GREY)
    counts = table.drop_duplicates("question").set_index("question")["pairs"]
    labels = [f"{text.plain(question, 40)}<br>({text.count(int(counts[question]), 'pair')})" for question in questions]
    share = {"title": "pairs ordered right (%); the dotted line is a coin flip", "range": [-2, 102]}
    rows = {"tickvals": list(range(len(questions))), "ticktext": labels, "range": [len(questions) - 0.5, -0.5]}
    return style.layout(figure, 110 + 26 * len(questions) * max(2, len(predictors)), share, rows)


def agreement(rows: pd.DataFrame, statistics: Mapping[str, Any]) -> go.Figure:
    """Draw proxy scores against published results, a series per table with its Kendall tau."""
    figure = go.Figure()
    for index, (table, some) in enumerate(rows.groupby("table", sort=False)):
        color, symbol = palette.series(index)
        found = statistics["proxy"]["tables"].get(str(table), {})
        tau = f", tau {found['tau']:.2f}" if "tau" in found else ""
        figure.add_trace(
            go.Scatter(
                x=some["proxy"],
                y=some["published"],
                mode="markers",
                name=text.plain(table, 40) + tau,
                text=text.cards(some["row"], some["design"]),
                marker={"size": 10, "color": color, "symbol": symbol},
                hovertemplate="%{text}<br>proxy %{x:.4~g}, published %{y:.4~g}<extra></extra>",
            )
        )
    return style.layout(figure, 420, {"title": "proxy score"}, {"title": "published metric"}, showlegend=True)
