"""Score against cost: all trials of the study, the Pareto front, and what is selected on it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import streamlit as st

from piip_explore.dashboard import text, view
from piip_explore.dashboard.context import Context, news, next_steps, pinned
from piip_explore.dashboard.figures import style
from piip_explore.dashboard.figures.front import chart
from piip_explore.dashboard.scene import Scene, inside, marked, step, strips
from piip_explore.dashboard.trials import Filters, Floats, Trials, front_rows

_CHART = "front_chart"
_NAMES: dict[str, str] = {
    "score": "score",
    "gflops": "GFLOPs",
    "params": "parameters",
    "latency": "latency",
    "memory": "memory",
    "proxy_memory": "memory of the proxy run",
}


def show(context: Context) -> None:
    """Draw the page."""
    st.title("Front")
    if context.source is None:
        next_steps(None)
        return
    if context.source.example:
        next_steps(context.source)
    pin = pinned(context.source)
    trials = pin.trials
    news(context.source)
    if not trials.scored.any():
        st.info("No trial of this study has a score yet. The **Study** page shows its progress.")
        return
    scene = _scene(trials, context.accounting)
    if not scene.shown.any():
        st.info("No trial fits the filters: take some away.")
        return
    st.session_state["_scene"] = scene
    left, right = st.columns([3, 1])
    with left:
        _chart(scene, context.accounting)
    with right:
        _beside(scene, context)
    _tables(scene)


def _scene(trials: Trials, accounting: str) -> Scene:
    quantities = trials.quantities(accounting)
    names = list(quantities)
    with st.container(horizontal=True, vertical_alignment="bottom"):
        costs = [name for name in names if name != "score"]
        x_name = st.selectbox("Cost", costs, format_func=_NAMES.__getitem__, key="x", bind="query-params", width=160)
        others = [name for name in names if name != x_name]
        y_name = st.selectbox(
            "Against", others, format_func=_NAMES.__getitem__, key="y", bind="query-params", width=160
        )
        log = st.toggle("log cost", value=True, key="log", bind="query-params")
        with st.popover("Filters", icon=":material/filter_alt:"):
            filters = _filters(trials)
    shown = trials.scored & filters.mask(trials)
    (x_axis, x), (y_axis, y) = quantities[x_name], quantities[y_name]
    axes = (replace(x_axis, log=log), y_axis)
    shown &= np.isfinite(x) & np.isfinite(y)
    budget = _budget(x[shown], x_axis.label)
    return Scene(trials, axes, x, y, shown, front_rows(x, y, axes, shown), budget)


def _filters(trials: Trials) -> Filters:
    features = trials.features.values()
    resolutions = sorted({one.resolution for one in features})
    branches = st.multiselect(
        "Branches", sorted({one.branches for one in features}), key="branches", bind="query-params"
    )
    models = st.multiselect(
        "Models, all of", sorted({model for one in features for model in one.models}), key="models", bind="query-params"
    )
    if len(resolutions) > 1:
        ends = (resolutions[0], resolutions[-1])
        resolution = st.select_slider(
            "Largest resolution (px)", resolutions, ends, key="resolution", bind="query-params"
        )
    interactions = st.multiselect(
        "Exchanges", sorted({one.interactions for one in features}), key="exchanges", bind="query-params"
    )
    merges = st.multiselect("Merge", sorted({one.merge for one in features}), key="merge", bind="query-params")
    limits = resolution if len(resolutions) > 1 and resolution != ends else None
    return Filters(tuple(branches), tuple(models), limits, tuple(interactions), tuple(merges))


def _budget(x: Floats, label: str) -> float | None:
    """Draw the budget slider over a cost's values; None at its right end, which is no limit whatever the values are."""
    if not len(x) or x.min() >= x.max():
        return None
    span = float(x.max() - x.min())
    step, shown = (1.0, "%.0f") if span > 20 else (0.1, "%.1f") if span > 2 else (0.01, "%.2f")
    low, high = float(np.floor(x.min() / step) * step), float(np.ceil(x.max() / step) * step)
    before, now = st.session_state.get(_END), st.session_state.get("budget")
    if now is not None and now != high and (now == before or not low <= now <= high):
        st.session_state["budget"] = high  # it was no limit, or is one of another study or cost
    st.session_state[_END] = high
    chosen = st.slider(
        f"Budget: {label}",
        low,
        high,
        high,
        step,
        format=shown,
        key="budget",
        bind="query-params",
        help="The best design within this cost is pointed out; the right end is no limit.",
    )
    return None if chosen >= high else float(chosen)


_END = "_budget_end"
"""Session state: the right end of the budget slider at the last run."""


def _chart(scene: Scene, accounting: str) -> None:
    points = scene.points()
    figure = chart(points, scene.axes, strips(scene, accounting), marked(scene, points), scene.budget)
    st.plotly_chart(
        figure,
        key=_CHART,
        on_select=on_pick,
        config=style.CONFIG,
        alt=f"{scene.axes[1].label} against {scene.axes[0].label} of {text.count(len(points.trial), 'trial')}, "
        f"{len(scene.front)} of them on the Pareto front",
    )
    st.caption(text.prose(f"Searched with: {scene.trials.conditions}"))
    if scene.dense:
        st.caption(
            f"{len(points.trial):,} trials are drawn as a density, the {len(scene.front)} of the front one by one. "
            "Box and lasso select both."
        )


def on_pick() -> None:
    """Latch what was clicked, boxed or lassoed on the chart into the selection; an emptied one changes nothing."""
    event, scene = st.session_state[_CHART], st.session_state["_scene"]
    numbers = picked(event)
    if scene.dense:
        numbers += np.flatnonzero(scene.shown & inside(event, scene)).tolist()
    if numbers:
        view.select(numbers, add=bool(st.session_state.get("add")))


def picked(event: Mapping[str, Any]) -> list[int]:
    """Return the trial numbers of a selection event, each once, in the order of selection."""
    points = event["selection"]["points"]
    found = [point.get("customdata") for point in points]
    numbers = [value[0] if isinstance(value, list) else value for value in found]
    return list(dict.fromkeys(int(number) for number in numbers if number is not None))


def _beside(scene: Scene, context: Context) -> None:
    """Draw what is selected, and the figures that go with the front."""
    _walk(scene)
    _selected(scene, context)
    _pointed_out(scene)


def _pointed_out(scene: Scene) -> None:
    x, y = scene.axes
    with st.container(border=True, key="pointed_out"):
        for name, row in (("Best in the budget" if scene.budget else "Best", scene.best), ("Knee", scene.knee)):
            if row is not None:
                values = (
                    f"**{text.number(scene.y[row])}** {text.prose(y.unit)} at **{text.number(scene.x[row])}** {x.unit}"
                )
                st.markdown(f"{name}: {values}")
                st.button(f"Select trial {row}", key=f"select_{name}", on_click=view.select, args=([row],))
        st.markdown(
            f"Hypervolume of the front: **{text.number(scene.hypervolume())}**",
            help="The share that the front dominates of the rectangle between the worst and the best of what is shown.",
        )


def _walk(scene: Scene) -> None:
    """Draw the steps along the front, for points too close to click and for the keyboard."""
    with st.container(horizontal=True):
        st.button("Previous", icon=":material/chevron_left:", on_click=_step, args=(scene.front, -1), key="previous")
        st.button("Next", icon=":material/chevron_right:", on_click=_step, args=(scene.front, 1), key="next")
    st.toggle("Add to the selection", key="add", help="A click then adds a design instead of replacing the selection.")


def _step(front: npt.NDArray[np.int64], by: int) -> None:
    view.select([step(front, view.trials(view.picks()), by)])


def _selected(scene: Scene, context: Context) -> None:
    numbers = [number for number in view.trials(view.picks()) if number < len(scene.trials)]
    if not numbers:
        st.caption("Click a point, draw a lasso, step along the front, or select rows in the table below.")
        return
    first = numbers[0]
    trials = scene.trials
    with st.container(border=True, key="selected"):
        st.markdown(f"**Trial {first}**" + (f" and {len(numbers) - 1} more" if len(numbers) > 1 else ""))
        st.code(str(trials.designs[first]), language=None, wrap_lines=True)
        error = f" ± {text.number(trials.error[first], 2)}" if np.isfinite(trials.error[first]) else ""
        st.markdown(
            f"{text.prose(trials.metric)} **{text.number(trials.score[first])}**{error} · "
            f"**{text.number(trials.floats('gflops_published')[first])}** GFLOPs published, "
            f"**{text.number(trials.floats('gflops_built')[first])}** built · "
            f"**{text.number(trials.floats('params')[first] / 1e6)}** M parameters"
        )
        context.link("design", "Open the design", icon=":material/schema:")
        if len(numbers) > 1:
            context.link("compare", "Compare the selected", icon=":material/compare_arrows:")
        if len(view.picks()) == view.MOST_SELECTED:
            st.caption(f"The first {view.MOST_SELECTED} of what was selected are kept.")
        st.button("Clear the selection", on_click=view.select, args=([],))


def _tables(scene: Scene) -> None:
    front, selected = st.tabs(["Pareto front", "Selected"])
    with front:
        _table(scene, scene.front, "front_table")
    with selected:
        numbers = [number for number in view.trials(view.picks()) if number < len(scene.trials)]
        if numbers:
            st.dataframe(_rows(scene.trials, np.array(numbers)), hide_index=True, column_config=_columns(scene.trials))
        else:
            st.caption("Nothing is selected.")


def _table(scene: Scene, rows: npt.NDArray[np.int64], key: str) -> None:
    st.dataframe(
        _rows(scene.trials, rows),
        key=key,
        hide_index=True,
        column_config=_columns(scene.trials),
        on_select=lambda: _on_rows(rows, key),
        selection_mode="multi-row",
    )


def _on_rows(rows: npt.NDArray[np.int64], key: str) -> None:
    chosen = st.session_state[key]["selection"]["rows"]
    if chosen:
        view.select([int(rows[place]) for place in chosen if place < len(rows)])


def _columns(trials: Trials) -> dict[str, Any]:
    number = st.column_config.NumberColumn
    return {
        "trial": number("trial", format="%d"),
        "score": number(text.plain(trials.metric, 40), format="%.4g"),
        "error": number("± standard error", format="%.2g"),
        "gflops_published": number("GFLOPs published", format="%.4g"),
        "gflops_built": number("GFLOPs built", format="%.4g"),
        "params": number("params (M)", format="%.4g"),
        "design": st.column_config.TextColumn("design", width="large"),
    }


def _rows(trials: Trials, rows: npt.NDArray[np.integer]) -> pd.DataFrame:
    frame = pd.DataFrame(
        {
            "trial": rows,
            "score": trials.score[rows],
            "error": trials.error[rows],
            "gflops_published": trials.floats("gflops_published")[rows],
            "gflops_built": trials.floats("gflops_built")[rows],
            "params": trials.floats("params")[rows] / 1e6,
            "design": trials.designs[rows],
        }
    )
    return frame.dropna(axis=1, how="all")
