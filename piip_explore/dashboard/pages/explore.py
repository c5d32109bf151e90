"""Score against cost: all trials of the study, the Pareto front, and what is selected on it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from piip_explore.dashboard import (
    address,
    brush,
    choices,
    filters,
    inspector,
    limits,
    notes,
    pins,
    plot,
    selection,
    tables,
    text,
)
from piip_explore.dashboard.context import Context, news, next_steps, pinned, sentences
from piip_explore.dashboard.figures.front import chart
from piip_explore.dashboard.plot import Budget, Marks, Prepared
from piip_explore.dashboard.sentence import contradiction, sentence
from piip_explore.dashboard.studies import Source
from piip_explore.dashboard.tradeoff import Tradeoff, inside, marks, strips
from piip_explore.dashboard.trials import Filters, Trials
from piip_explore.search.storage import Note

CHART = "front_chart"

_SELECTION = "selection"
"""The fragment that shows the selection: a step along the front reruns it alone."""

_COMPARE = "_compare"
"""Session state: whether a key asked for the Compare page; a callback cannot go there itself."""


def show(context: Context) -> None:
    """Draw the page."""
    if st.session_state.pop(_COMPARE, False):
        st.switch_page(context.pages["compare"])
    st.title("Explore")
    if context.source is None:
        next_steps(None)
        return
    if context.source.example:
        next_steps(context.source)
    pin = pinned(context.source)
    news(context.source)
    if not pin.trials.scored.any():
        st.info("No trial of this study has a score yet. The **Search** page shows its progress.")
        return
    headline = st.container()
    left, right = st.columns([2, 1])
    with left:
        x_name, y_name, log = filters.axes(context, pin.trials)
        written = notes.of(context.source)
        chosen, bounds = filters.filters(pin.trials, written, x_name)
        wanted = (pin.version, context.accounting, x_name, y_name, log, chosen, bounds, address.get("ranges"))
        tradeoff, figure = _tradeoff(context.source, wanted, pin.trials)
        if figure is None:
            if y_name == "expected":
                st.info(
                    "The metric of these trials cannot be predicted: no published row is like any of their designs. "
                    "Select a trial to read why, or choose another vertical axis."
                )
            else:
                st.info("No trial fits the filters, limits and ranges: remove some.")
            if address.get("ranges"):
                brush.clear_button("ranges")
            return
        budget = filters.budget(tradeoff)
        limit = None if budget is None or budget.value >= budget.high else budget.value
        _chart(tradeoff, figure, budget)
    with headline:
        st.markdown(text.prose(f"{sentence(tradeoff, limit)} {limits.sentence(tradeoff, x_name, bounds, limit)}"))
        objections = st.container()
        pins.tray()
    lines, below = st.container(), st.container()
    with right:
        _selection(context, tradeoff, budget, limit, written, below)
    with lines:
        _lines(pin.trials, context.accounting, chosen)
    if words := contradiction(tradeoff):
        objections.markdown(text.prose(words))


@st.fragment(key=_SELECTION)
def _selection(
    context: Context,
    tradeoff: Tradeoff,
    budget: Budget | None,
    limit: float | None,
    written: Mapping[int, Note],
    below: DeltaGenerator,
) -> None:
    """Draw the marks on the chart, the panel beside it, and the tables in the container `below`."""
    selected = [number for number in address.trials(address.picks()) if number < len(tradeoff.trials)]
    with sentences():
        colors = {int(token): color for token, color in pins.colors().items() if address.trials([token])}
        known = {number: color for number, color in colors.items() if number < len(tradeoff.trials)}
        plot.mark(CHART, Marks(marks(tradeoff, limit, selected, known), budget, tradeoff.front.tolist()))
        inspector.draw(context, tradeoff, limit, selected)
        with below:
            _tables(tradeoff, selected, written)
        inspector.expectation(tradeoff, selected)  # last: it takes seconds to load


def _lines(trials: Trials, accounting: str, chosen: Filters) -> None:
    """Draw the trials over their choices on request; a range kept on an axis narrows the whole page."""
    if not st.toggle("Choices as parallel coordinates", **address.one("lines", [False, True], False)):
        return
    rows = _all_lines(trials, chosen)[-choices.MOST_LINES :]
    dimensions = choices.of_trials(trials, rows, trials.floats(f"gflops_{accounting}"))
    alt = f"Choices of {text.count(len(rows), 'trial')}"
    ranges = brush.draw(dimensions, "score", "ranges", "trial_lines", alt)
    st.caption(
        f"The last {len(rows):,} full runs that fit the filters. Branch 1 has the largest image; the colour is the "
        "score. Drag along an axis to keep a range: chart, front and tables then show only the trials in it."
    )
    if ranges:
        brush.clear_button("ranges")


def _all_lines(trials: Trials, chosen: Filters) -> npt.NDArray[np.int64]:
    """Return the rows that can be drawn as lines: full runs of readable designs that fit the filters."""
    known = np.array([design in trials.features for design in trials.designs], dtype=bool)
    return np.flatnonzero(trials.scored & chosen.mask(trials) & known)


@st.cache_resource(max_entries=4, show_spinner=False)
def _tradeoff(source: Source, wanted: tuple[Any, ...], _trials: Trials) -> tuple[Tradeoff, Prepared | None]:
    """Return the tradeoff, and its figure if it shows any trial; all browsers share the last few."""
    _, accounting, x_name, y_name, log, chosen, bounds, _ = wanted
    tradeoff = filters.tradeoff(_trials, accounting, x_name, y_name, log, chosen)
    if bounds:
        tradeoff = tradeoff.narrowed(limits.within(_trials, bounds))
    ranges = brush.kept("ranges")
    if ranges:
        rows = _all_lines(_trials, chosen)
        inside = choices.within(choices.of_trials(_trials, rows, _trials.floats(f"gflops_{accounting}")), ranges)
        tradeoff = tradeoff.narrowed(rows[inside])
    if not tradeoff.shown.any():
        return tradeoff, None
    return tradeoff, plot.prepare(chart(tradeoff.points(), tradeoff.axes, strips(tradeoff, accounting)))


def _chart(tradeoff: Tradeoff, figure: Prepared, budget: Budget | None) -> None:
    count = int(tradeoff.shown.sum())

    def on_pick(event: dict[str, Any]) -> None:
        numbers = [int(number) for number in event["points"]]
        if tradeoff.dense:
            numbers += np.flatnonzero(tradeoff.shown & inside(event, tradeoff)).tolist()
        if not selection.select(numbers, add=bool(event["add"])):
            st.rerun(_SELECTION)

    def on_budget(value: float) -> None:
        address.put(budget=[value] if budget is not None and value < budget.high else [])

    def on_key(meaning: str) -> None:
        if meaning == "clear":
            address.select([])
        elif meaning == "pin" and address.picks():
            pins.toggle(address.picks()[0])
        elif meaning == "compare":
            st.session_state[_COMPARE] = True

    plot.draw(
        figure,
        CHART,
        f"{tradeoff.axes[1].label} against {tradeoff.axes[0].label} of {text.count(count, 'trial')}, "
        f"{len(tradeoff.front)} of them on the Pareto front",
        on_pick=on_pick,
        on_budget=on_budget,
        on_key=on_key,
    )
    tied = " · ○ within noise of it" if len(tradeoff.tied) else ""
    cloud = "shades: how many trials" if tradeoff.dense else "● other trials"
    st.caption(f"◆ Pareto front{tied} · {cloud} · below: runs without a score, and published designs by their cost")
    st.caption(text.prose(f"Searched with: {tradeoff.trials.conditions}"))


def _tables(tradeoff: Tradeoff, selected: list[int], written: Mapping[int, Note]) -> None:
    front, chosen = st.tabs([f"Pareto front ({len(tradeoff.front)})", f"Selected ({len(selected)})"])
    with front:
        if not plot.seen("tables", 400):
            return
        _table(tradeoff, tradeoff.front, written, "front_table", "Designs of the Pareto front")
    with chosen:
        if selected:
            _table(tradeoff, np.array(selected), written, "selected_table", "Selected designs")
        else:
            st.caption("Nothing is selected.")


def _table(tradeoff: Tradeoff, rows: npt.NDArray[np.int64], written: Mapping[int, Note], key: str, alt: str) -> None:
    tokens = [str(row) for row in rows]
    trials = tradeoff.trials
    figures = {label: values[rows] for label, values in trials.figures().items()}
    frame = pd.DataFrame({"trial": rows, **figures, "design": trials.designs[rows]}).dropna(axis=1, how="all")
    if any(row in written for row in rows.tolist()):
        frame["note"] = [text.one_line(written[row].text) if row in written else "" for row in rows.tolist()]
    formats: dict[str, Any] = {label: st.column_config.NumberColumn(format="%.4g") for label in figures}
    formats["design"] = st.column_config.TextColumn(width="large")
    tables.table(frame, tokens, key, alt, inspector.select, column_config=formats)
