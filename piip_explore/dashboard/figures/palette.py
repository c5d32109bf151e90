"""Colours and symbols that all charts share.

Colours are Okabe and Ito's, which colour-blind readers tell apart; wherever a colour carries a meaning, a symbol or a
label carries it too. Text colours are left to Streamlit, which knows whether the page is dark.
"""

from __future__ import annotations

BLUE, SKY, GREEN, ORANGE = "#0072B2", "#56B4E9", "#009E73", "#E69F00"
VERMILLION, PURPLE, YELLOW = "#D55E00", "#CC79A7", "#F0E442"
GREY = "#8A8F98"
"""Readable on white and on Streamlit's dark background."""

SERIES = (BLUE, ORANGE, GREEN, PURPLE, SKY, VERMILLION)
SYMBOLS = ("circle", "square", "diamond", "triangle-up", "cross", "x", "star", "pentagon")
SCALE = [[0.0, SKY], [0.5, GREY], [1.0, ORANGE]]
"""Little to much, to be seen on white and on black."""

GRID = "rgba(138, 143, 152, 0.25)"
DENSITY = [[0.0, "rgba(86, 180, 233, 0.0)"], [0.001, "rgba(86, 180, 233, 0.25)"], [0.3, SKY], [1.0, BLUE]]
"""Few to many, transparent where there are none."""


def series(index: int) -> tuple[str, str]:
    """Return colour and symbol of one of several things that are drawn over each other; the first 24 all differ."""
    return SERIES[index % len(SERIES)], SYMBOLS[index % len(SYMBOLS)]
