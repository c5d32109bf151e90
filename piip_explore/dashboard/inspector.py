"""What the Explore page shows of one trial beside the chart.

The page draws it in a fragment: a button here runs only the fragment again, unless its callback reruns the whole page.
"""

from __future__ import annotations

import html
from collections.abc import Iterable, Sequence

import numpy as np
import streamlit as st

from piip_explore.dashboard import address, expected, notes, pins, plot, selection, text
from piip_explore.dashboard.context import Context, sentences
from piip_explore.dashboard.figures.miniature import miniature
from piip_explore.dashboard.figures.study import beside
from piip_explore.dashboard.tradeoff import Tradeoff
from piip_explore.dashboard.trials import Trials
from piip_explore.design import Design
from piip_explore.errors import InputError

_MOST_CURVES = 30
"""Grey curves of the front beside the selected one."""


def draw(context: Context, tradeoff: Tradeoff, limit: float | None, selected: Sequence[int]) -> None:
    """Draw the first of the selected trials: its architecture, figures, loss, and what to do with it.

    `limit` is the budget on x.
    """
    with st.container(border=True, key="inspector"):
        _walk(tradeoff, limit, selected)
        if not selected:
            st.caption(
                "Click a point, draw a box or a lasso, walk the front with the arrow keys, or tick rows below. "
                "Shift adds to the selection."
            )
            return
        _trial(context, tradeoff, selected)


def select(tokens: Iterable[object]) -> None:
    """Select trials; rerun the whole page only if the menu's count of compared designs changes."""
    if selection.select(tokens):
        st.rerun()


def _pin(token: str) -> None:
    pins.toggle(token)
    st.rerun()  # the tray and the marks of the chart show pins


def _walk(tradeoff: Tradeoff, limit: float | None, selected: Sequence[int]) -> None:
    """Draw buttons that step along the front, where points are too close to click, and that select best and knee."""
    with st.container(horizontal=True):
        for name, icon, by in (("Previous", "chevron_left", -1), ("Next", "chevron_right", 1)):
            to = step(tradeoff.front, selected, by)
            st.button(name, icon=f":material/{icon}:", on_click=select, args=([to],), key=name.lower())
        for name, row in (("Best", tradeoff.best(limit)), ("Knee", tradeoff.knee)):
            if row is not None:
                st.button(name, on_click=select, args=([row],), key=name.lower(), help=f"Select trial {row}")
        if selected:
            st.button("Clear the selection", on_click=select, args=([],), type="tertiary")


def step(front: np.ndarray[tuple[int], np.dtype[np.int64]], selected: Sequence[int], by: int) -> int:
    """Return the trial `by` steps along the front from the selected one; from elsewhere, the front's nearer end."""
    place = np.flatnonzero(front == selected[0]) if selected else np.array([], dtype=np.int64)
    if not len(place):
        return int(front[0] if by > 0 else front[-1])
    return int(front[np.clip(place[0] + by, 0, len(front) - 1)])


def _trial(context: Context, tradeoff: Tradeoff, selected: Sequence[int]) -> None:
    trials, row = tradeoff.trials, selected[0]
    st.markdown(f"**Trial {row}**" + (f" and {len(selected) - 1} more" if len(selected) > 1 else ""))
    st.html(text.design(trials.designs[row]))
    design = _design(trials, row)
    if design is not None:
        st.html(miniature(design))
    st.html(_figures(tradeoff, row))
    with sentences():
        _loss(tradeoff, row)
    with st.container(horizontal=True):
        token = str(row)
        label = "Unpin" if token in address.pinned() else "Pin"
        st.button(label, icon=":material/push_pin:", on_click=_pin, args=(token,), key="pin_it")
        context.link("design", "Open the design", icon=":material/schema:")
        if len(selected) > 1 or address.pinned():
            context.link("compare", "Compare", icon=":material/compare_arrows:")
    if context.source is not None:
        notes.field(context.source, row)
    if len(address.picks()) == address.MOST_SELECTED:
        st.caption(f"Only the first {address.MOST_SELECTED} selected designs are kept.")


def expectation(tradeoff: Tradeoff, selected: Sequence[int]) -> None:
    """Draw what full training is expected to give the first selected trial, and how that compares with the knee."""
    design = _design(tradeoff.trials, selected[0]) if selected else None
    if design is None:
        return
    metric = expected.metric_of(tradeoff.trials)
    with st.container(border=True, key="expected"):
        st.markdown(text.prose(expected.sentence(design, metric)))
        knee = None if tradeoff.knee in (None, *selected[:1]) else tradeoff.knee
        other = None if knee is None else _design(tradeoff.trials, knee)
        if other is not None:
            words = expected.order((f"trial {selected[0]}", design), (f"the knee, trial {knee}", other), metric)
            if words:
                st.caption(text.prose(words))


def _design(trials: Trials, row: int) -> Design | None:
    try:
        return Design.parse(str(trials.designs[row]))
    except InputError:
        return None  # the Design page says what is wrong with it


def _figures(tradeoff: Tradeoff, row: int) -> str:
    """Return five figures of a trial as a table, with their difference to the knee."""
    trials, knee = tradeoff.trials, tradeoff.knee
    compared = knee is not None and knee != row
    lines = []
    for name, values in trials.figures().items():
        differs = text.signed(values[row] - values[knee]) if compared else ""
        lines.append(
            f"<tr><th scope=row>{html.escape(name)}</th><td>{text.number(values[row])}</td><td>{differs}</td></tr>"
        )
    head = f"than the knee, trial {knee}" if compared else "the knee" if knee == row else ""
    return (
        f"<table class=piip-figures><thead><tr><th scope=col>figure</th><th scope=col>trial {row}</th>"
        f"<th scope=col>{head or 'difference'}</th></tr></thead><tbody>{''.join(lines)}</tbody></table>"
    )


def _loss(tradeoff: Tradeoff, row: int) -> None:
    curve = tradeoff.trials.curve(row)
    if not curve:
        return
    others = []
    for other in tradeoff.front[:_MOST_CURVES]:
        try:
            others.append(tradeoff.trials.curve(int(other)))
        except InputError:
            continue  # said where that trial is selected
    figure = beside(curve, [other for other in others if other])
    plot.draw(figure, "loss", f"Training loss of trial {row} over samples seen, over those of the front")
