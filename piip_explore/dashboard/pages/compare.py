"""Designs side by side, and the fronts of several studies over each other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pandas as pd
import streamlit as st

from piip_explore import cost
from piip_explore.dashboard import address, expected, notes, plot, selection, text, training
from piip_explore.dashboard.comparison import side_by_side
from piip_explore.dashboard.context import Context, pinned, sentences
from piip_explore.dashboard.figures.contents import ChartAxis
from piip_explore.dashboard.figures.cost import side_by_side as side_by_side_bars
from piip_explore.dashboard.figures.drawing import Scale, drawing
from piip_explore.dashboard.figures.front import fronts
from piip_explore.dashboard.figures.slices import slice_plots
from piip_explore.dashboard.selection import Chosen
from piip_explore.dashboard.trials import Trials, front_rows
from piip_explore.errors import InputError
from piip_explore.search.compare import compare
from piip_explore.search.slices import slices

MOST = 4
"""Designs that fit side by side."""

MOST_SLICES = 6
"""Choices that are drawn, those that move the score most."""


def show(context: Context) -> None:
    """Draw the page."""
    st.title("Compare")
    _designs(context)
    st.header("Fronts of studies")
    _fronts(context)


def _designs(context: Context) -> None:
    trials = pinned(context.source).trials if context.source else None
    selection.field("Add a design", "added", add=True)
    found = {chosen.name: chosen for chosen in selection.selected(trials, address.compared())}
    if len(found) > MOST:
        tied = address.many("side", list(found), MOST)
        names = st.multiselect(f"Designs, up to {MOST}", list(found), max_selections=MOST, **tied) or list(found)[:MOST]
        found = {name: found[name] for name in names}
    if len(found) < 2:
        st.info(
            "Pin or select two to four designs. On the **Explore** page, click one (Shift adds more), draw a lasso, or "
            "tick rows of the table; or write a design above."
        )
        return
    table = side_by_side(found, trials, notes.of(context.source) if context.source else None)
    st.dataframe(table.style.apply(_marked, axis=1), row_height=32, height="content")
    st.caption("Marked rows differ between the designs; parentheses hold the difference from the first.")
    expectations = st.container()
    modules = {name: cost.count(chosen.design, context.accounting).by_module for name, chosen in found.items()}
    bars = side_by_side_bars(modules, f"GFLOPs ({context.accounting})")
    plot.draw(bars, "modules", "FLOPs of the designs by part")
    scale = Scale.of([chosen.design for chosen in found.values()])
    for name, chosen in found.items():
        if chosen.trial is not None:
            st.markdown(f"**{text.prose(name)}**")
        st.html(text.design(chosen.design))
        plot.draw(
            drawing(chosen.design, scale), f"drawing_{chosen.design.id}", f"Architecture of {chosen.design}", least=680
        )
    rows = {name: chosen.trial for name, chosen in found.items() if chosen.trial is not None}
    if context.source is not None and trials is not None and rows:
        training.draw(context.source, trials, rows)
        _slices(rows, trials)
    with expectations:
        _expected(found, expected.metric_of(trials))  # last: it takes seconds to load


def _expected(found: Mapping[str, Chosen], metric: str) -> None:
    """Draw what full training is expected to give the designs, and which of them is expected to be better."""
    (first, mine), *others = found.items()
    lines = [
        f"**{text.prose(name)}**: {text.prose(expected.sentence(one.design, metric))}" for name, one in found.items()
    ]
    orders = [expected.order((first, mine.design), (name, other.design), metric) for name, other in others]
    st.markdown("\n".join(f"- {line}" for line in [*lines, *(text.prose(words) for words in orders if words)]))


def _slices(rows: Mapping[str, int], trials: Trials) -> None:
    """Draw on request how each choice alone would change the score of the trials' designs."""
    if not st.toggle("What one choice would change", **address.one("slices", [False, True], False)):
        return
    with sentences(), st.spinner("Learning what the choices do"):
        cuts, trust = slices(trials.columns, list(rows.values()))
        plot.draw(slice_plots(cuts[:MOST_SLICES], list(rows)), "slice_plots", "Score against one choice at a time")
        st.caption(
            "Predictions of a random forest, fitted to the study's full runs, for designs that differ from these in "
            "one choice. Large marks are the designs themselves; bands show how far its trees disagree. "
            f"{text.trust(trust)}"
        )


def _marked(row: pd.Series) -> list[str]:
    """Mark a row whose cells differ; the blue is readable on both backgrounds."""
    return ["background-color: rgba(86, 180, 233, 0.28)" if row.nunique() > 1 else ""] * len(row)


def _fronts(context: Context) -> None:
    others = [label for label in context.sources if context.source and label != context.source.label]
    if not others or context.source is None:
        st.caption("There is no other study here to compare with. Give `--storage` several times to open more.")
        return
    chosen = st.multiselect("Over this study's front, draw those of", others, **address.many("with", others))
    studies = []
    for label in (context.source.label, *chosen):
        try:
            studies.append((label, pinned(context.sources[label]).trials))
        except InputError as error:
            st.warning(text.prose(f"{label}: {error}"))
    if len(studies) < 2:
        return
    _numbers(studies)
    lines = [(label, _front(trials, context.accounting)) for label, trials in studies]
    axes = (
        ChartAxis(f"GFLOPs ({context.accounting})", log=True),
        ChartAxis(f"proxy score: {studies[0][1].metric}", maximize=True),
    )
    plot.draw(fronts(lines, axes), "fronts", f"Pareto fronts of {len(lines)} studies")


def _front(trials: Trials, accounting: str) -> pd.DataFrame:
    x, y = trials.floats(f"gflops_{accounting}"), trials.score
    rows = front_rows(x, y, (ChartAxis("x"), ChartAxis("y", maximize=True)), trials.scored)
    return pd.DataFrame({"trial": rows, "x": x[rows], "y": y[rows], "label": trials.labels(rows)})


def _numbers(studies: Sequence[tuple[str, Trials]]) -> None:
    """Draw how the first study compares with each other one, in its own objectives."""
    (first, mine), *others = studies
    for label, theirs in others:
        try:
            found = compare(mine.columns, theirs.columns)
        except InputError as error:
            st.warning(text.prose(error), icon=":material/balance:")
            continue
        for difference in found.differences:
            st.warning(text.prose(difference), icon=":material/balance:")
        shares = [f"{volume / found.together:.1%}" if found.together else "–" for volume in found.hypervolume]
        st.markdown(
            f"{text.code(first)} reaches **{shares[0]}** and {text.code(label)} **{shares[1]}** of the hypervolume of "
            f"both fronts together. The second study dominates or equals **{found.covered[0]:.0%}** of the first's "
            f"front, and the first **{found.covered[1]:.0%}** of the second's."
        )
