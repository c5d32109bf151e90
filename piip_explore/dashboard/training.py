"""How runs trained, side by side: losses and metrics over samples seen, and pictures of what they predicted."""

from __future__ import annotations

import base64
import html
import math
from collections.abc import Mapping

import streamlit as st

from piip_explore.dashboard import plot, text
from piip_explore.dashboard.context import sentences
from piip_explore.dashboard.figures.study import curves
from piip_explore.dashboard.studies import Source
from piip_explore.dashboard.trials import Trials
from piip_explore.search import pictures

Curve = list[tuple[float, float]]

LEGEND = (
    "The first held-out images in grey, coloured by class: above what is annotated, below what the run predicted and "
    "how sure it was."
)

MISSING = (
    "There are no pictures here of what these runs predicted: older runs saved none, and a search on another machine "
    "keeps its pictures there."
)


def draw(source: Source, trials: Trials, runs: Mapping[str, int]) -> None:
    """Draw curves and pictures of runs, given as rows of the study by name; nothing where nothing was recorded."""
    found: dict[str, Mapping[str, Curve]] = {}
    for name, row in runs.items():
        with sentences():
            found[name] = recorded(trials, row)
    seen = {
        name: pictures.read(source.storage, source.name, row)
        for name, row in runs.items()
        if math.isfinite(trials.score[row])
    }
    if not any((*found.values(), *seen.values())):
        return
    st.header("Training")
    for column, label, key in zip(st.columns(2), labels(trials), ("curves", "metric_curves"), strict=True):
        known = {name: of_run[label] for name, of_run in found.items() if label in of_run}
        if known:
            with column:
                plot.draw(curves(known, label), key, f"{label} over samples seen")
    if any(seen.values()):
        st.caption(LEGEND)
        shown = [figure(picture, name) for name, picture in seen.items() if picture]
        st.html(f"<div class=piip-pictures>{''.join(shown)}</div>")
    elif seen and trials.record.evaluator.get("kind") == "proxy":
        st.caption(MISSING)


def labels(trials: Trials) -> tuple[str, str]:
    """Return what the curves of a study's runs are called: that of the loss, and that of the metric."""
    return "training loss (smoothed)", f"{text.one_line(trials.metric, 40)} on held-out images"


def recorded(trials: Trials, row: int) -> dict[str, Curve]:
    """Return the curves that a run has, by their labels.

    Raises:
        InputError: what is recorded is not pairs of numbers.
    """
    found = zip(labels(trials), (trials.curve(row), trials.curve(row, "metric")), strict=True)
    return {label: curve for label, curve in found if curve}


def figure(picture: bytes, name: str) -> str:
    """Return a picture of predictions as HTML that holds all of it."""
    shown = html.escape(text.one_line(name, 80))
    data = base64.b64encode(picture).decode()
    alt = f"What {shown} predicted of held-out images, below what is annotated"
    return f'<figure><img src="data:image/webp;base64,{data}" alt="{alt}"><figcaption>{shown}</figcaption></figure>'
