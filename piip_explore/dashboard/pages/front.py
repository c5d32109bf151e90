"""Score against cost: all trials of the study, the Pareto front, and what is selected on it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import streamlit as st

from piip_explore.dashboard import text, view
from piip_explore.dashboard.context import Context, news, no_study, pinned
from piip_explore.dashboard.figures import style
from piip_explore.dashboard.figures.front import MOST_POINTS, Axis, Marked, Points, Strip, chart
from piip_explore.dashboard.references import published_strips
from piip_explore.dashboard.trials import Filters, Floats, Trials, front_rows
from piip_explore.search import pareto

_CHART = "front_chart"
_NAMES: dict[str, str] = {
    "score": "score",
    "gflops": "GFLOPs",
    "params": "parameters",
    "latency": "latency",
    "memory": "memory",
}


@dataclass(frozen=True)
class Scene:
    """What the chart shows: the quantities of both axes, who is drawn, the front, and the budget on x."""

    trials: Trials
    axes: tuple[Axis, Axis]
    x: Floats
    y: Floats
    shown: npt.NDArray[np.bool_]
    front: npt.NDArray[np.int64]
    budget: float | None

    @property
    def dense(self) -> bool:
        """Whether there are too many trials to draw one by one."""
        return int(self.shown.sum()) > MOST_POINTS

    @property
    def within(self) -> npt.NDArray[np.int64]:
        """The front's rows within the budget."""
        return self.front if self.budget is None else self.front[self.x[self.front] <= self.budget]

    @property
    def best(self) -> int | None:
        """The row with the best y within the budget."""
        if not len(self.within):
            return None
        values = self.y[self.within]
        return int(self.within[np.argmax(values) if self.axes[1].maximize else np.argmin(values)])

    @property
    def knee(self) -> int | None:
        """The row where the front bends most."""
        row = pareto.knee(self.losses(self.front)) if len(self.front) > 2 else None
        return None if row is None else int(self.front[row])

    def losses(self, rows: npt.NDArray[np.integer]) -> Floats:
        """Return both axes of rows as losses."""
        directions = ["maximize" if axis.maximize else "minimize" for axis in self.axes]
        return pareto.to_losses(np.column_stack([self.x[rows], self.y[rows]]), directions)


def show(context: Context) -> None:
    """Draw the page."""
    st.title("Front")
    if context.source is None:
        no_study()
        return
    pin = pinned(context.source)
    trials = pin.trials
    news(context.source)
    if not trials.scored.any():
        st.info("No trial of this study has a score yet. The **Study** page shows its progress.")
        return
    scene = _scene(trials, context.accounting)
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
    shown = trials.scored & trials.feasible
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
    shown = shown & filters.mask(trials)
    (x_axis, x), (y_axis, y) = quantities[x_name], quantities[y_name]
    axes = (replace(x_axis, log=log), y_axis)
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
    """Draw the budget slider in the unit of x; None at its right end."""
    if not len(x) or x.min() >= x.max():
        return None
    low, high = np.floor(x.min()), np.ceil(x.max())
    step = 1.0 if high - low > 20 else 0.1 if high - low > 2 else 0.01
    chosen = st.slider(
        f"Budget: {label}",
        float(low),
        float(high),
        float(high),
        step,
        key="budget",
        bind="query-params",
        help="The best design within this cost is pointed out; the right end is no limit.",
    )
    return None if chosen >= high else chosen


def _chart(scene: Scene, accounting: str) -> None:
    rows = np.flatnonzero(scene.shown & np.isfinite(scene.x) & np.isfinite(scene.y))
    figure = chart(_points(scene, rows), scene.axes, _strips(scene, accounting), _marked(scene, rows), scene.budget)
    st.plotly_chart(
        figure,
        key=_CHART,
        on_select=on_pick,
        config=style.CONFIG,
        alt=f"{scene.axes[1].label} against {scene.axes[0].label} of {text.count(len(rows), 'trial')}, "
        f"{len(scene.front)} of them on the Pareto front",
    )
    if scene.dense:
        st.caption(
            f"{len(rows):,} trials are drawn as a density; the {len(scene.front)} of the front are drawn one by one. "
            "Box and lasso select trials in both."
        )


def _points(scene: Scene, rows: npt.NDArray[np.int64]) -> Points:
    place = np.searchsorted(rows, scene.front)
    trials = scene.trials
    labels = np.full(len(rows), "", dtype=object)
    named = place if scene.dense else np.arange(len(rows))
    labels[named] = trials.labels(rows[named])
    error = trials.error[rows] if scene.y is trials.score else np.full(len(rows), np.nan)
    return Points(rows, scene.x[rows], scene.y[rows], error, labels, place)


def _marked(scene: Scene, rows: npt.NDArray[np.int64]) -> list[Marked]:
    marks = []
    if scene.knee is not None:
        marks.append(Marked("knee", int(np.searchsorted(rows, scene.knee)), "circle-open", style.ORANGE))
    if scene.budget is not None and scene.best is not None:
        marks.append(Marked("best in budget", int(np.searchsorted(rows, scene.best)), "square-open", style.VERMILLION))
    return marks


def _strips(scene: Scene, accounting: str) -> list[Strip]:
    """Return what has a cost but no score on this axis: runs that gave none, and published designs."""
    symbols = {"infeasible": "x-thin-open", "failed": "x-open", "shorter runs": "circle-open", "running": "star-open"}
    strips = []
    for name, mask in scene.trials.unscored.items():
        rows = np.flatnonzero(mask & np.isfinite(scene.x))[-MOST_POINTS // 10 :]
        if len(rows):
            cards = [
                f"trial {row} ({name})<br>{label}" for row, label in zip(rows, scene.trials.labels(rows), strict=True)
            ]
            strips.append(Strip(name, scene.x[rows], cards, rows, style.VERMILLION, symbols[name]))
    drawn = scene.x[scene.shown]
    if scene.axes[0].label.startswith("GFLOPs") and len(drawn):
        strips += published_strips(accounting, float(drawn.min()) / 2, float(drawn.max()) * 2)
    return strips


def on_pick() -> None:
    """Latch what was clicked, boxed or lassoed on the chart into the selection; an emptied one changes nothing."""
    event, scene = st.session_state[_CHART], st.session_state["_scene"]
    numbers = picked(event)
    if scene.dense:
        numbers += np.flatnonzero(scene.shown & inside(event, scene.x, scene.y, scene.axes)).tolist()
    if numbers:
        view.select(numbers, add=bool(st.session_state.get("add")))


def picked(event: Mapping[str, Any]) -> list[int]:
    """Return the trial numbers of a selection event, each once, in the order of selection."""
    points = event["selection"]["points"]
    found = [point.get("customdata") for point in points]
    numbers = [value[0] if isinstance(value, list) else value for value in found]
    return list(dict.fromkeys(int(number) for number in numbers if number is not None))


def inside(event: Mapping[str, Any], x: Floats, y: Floats, axes: tuple[Axis, Axis]) -> npt.NDArray[np.bool_]:
    """Return which points lie in the boxes and lassos of a selection event, in data units."""
    mask = np.zeros(len(x), dtype=bool)
    for box in event["selection"].get("box", ()):
        (x0, x1), (y0, y1) = sorted(box["x"]), sorted(box["y"])
        mask |= (x >= x0) & (x <= x1) & (y >= y0) & (y <= y1)
    px, py = (np.log10(values) if axis.log else values for values, axis in zip((x, y), axes, strict=True))
    for lasso in event["selection"].get("lasso", ()):
        corners = [
            np.log10(lasso[name]) if axis.log else np.asarray(lasso[name])
            for name, axis in zip("xy", axes, strict=True)
        ]
        mask |= _in_polygon(px, py, *corners)
    return mask


def _in_polygon(x: Floats, y: Floats, corner_x: Floats, corner_y: Floats) -> npt.NDArray[np.bool_]:
    """Even-odd rule: a ray to the right crosses the outline an odd number of times."""
    odd = np.zeros(len(x), dtype=bool)
    for x0, y0, x1, y1 in zip(corner_x, corner_y, np.roll(corner_x, 1), np.roll(corner_y, 1), strict=True):
        if y0 != y1:
            odd ^= ((y0 > y) != (y1 > y)) & (x < (x1 - x0) * (y - y0) / (y1 - y0) + x0)
    return odd


def _beside(scene: Scene, context: Context) -> None:
    """Draw the figures that go with the front, and what is selected."""
    x, y = scene.axes
    st.metric(
        "Hypervolume of the front",
        text.number(_hypervolume(scene)),
        border=True,
        help="The share of the rectangle between the worst and the best of the front's own axes that it dominates.",
    )
    for name, row in (("Best in budget" if scene.budget else "Best", scene.best), ("Knee", scene.knee)):
        if row is not None:
            value = f"{text.number(scene.y[row])} at {text.number(scene.x[row])}"
            st.metric(name, value, border=True, help=text.prose(f"{y.label} at {x.label}"))
            st.button(f"Select trial {row}", key=f"select_{name}", on_click=view.select, args=([row],))
    _walk(scene)
    _selected(scene, context)


def _hypervolume(scene: Scene) -> float:
    rows = np.flatnonzero(scene.shown & np.isfinite(scene.x) & np.isfinite(scene.y))
    losses = scene.losses(rows)
    low, high = losses.min(axis=0), losses.max(axis=0)
    span = np.where(high > low, high - low, 1.0)
    return pareto.hypervolume((scene.losses(scene.front) - low) / span, [1.0, 1.0])


def _walk(scene: Scene) -> None:
    """Draw the steps along the front, for points too close to click and for the keyboard."""
    with st.container(horizontal=True):
        st.button("Previous", icon=":material/chevron_left:", on_click=_step, args=(scene.front, -1), key="previous")
        st.button("Next", icon=":material/chevron_right:", on_click=_step, args=(scene.front, 1), key="next")
    st.toggle("Add to the selection", key="add", help="A click then adds a design instead of replacing the selection.")


def _step(front: npt.NDArray[np.int64], by: int) -> None:
    view.select([step(front, view.trials(view.picks()), by)])


def step(front: npt.NDArray[np.int64], selected: list[int], by: int) -> int:
    """Return the trial `by` steps along the front from the selected one; from elsewhere, the front's nearer end."""
    place = np.flatnonzero(front == selected[0]) if selected else np.array([], dtype=np.int64)
    if not len(place):
        return int(front[0] if by > 0 else front[-1])
    return int(front[np.clip(place[0] + by, 0, len(front) - 1)])


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
        st.button("Clear the selection", on_click=view.select, args=([],))


def _tables(scene: Scene) -> None:
    front, selected = st.tabs(["Pareto front", "Selected"])
    with front:
        _table(scene, scene.front, "front_table")
    with selected:
        numbers = [number for number in view.trials(view.picks()) if number < len(scene.trials)]
        if numbers:
            st.dataframe(_rows(scene.trials, np.array(numbers)), hide_index=True, column_config=COLUMNS)
        else:
            st.caption("Nothing is selected.")


def _table(scene: Scene, rows: npt.NDArray[np.int64], key: str) -> None:
    st.dataframe(
        _rows(scene.trials, rows),
        key=key,
        hide_index=True,
        column_config=COLUMNS,
        on_select=lambda: _on_rows(rows, key),
        selection_mode="multi-row",
    )


def _on_rows(rows: npt.NDArray[np.int64], key: str) -> None:
    chosen = st.session_state[key]["selection"]["rows"]
    if chosen:
        view.select([int(rows[place]) for place in chosen if place < len(rows)])


COLUMNS = {
    "trial": st.column_config.NumberColumn("trial", format="%d"),
    "score": st.column_config.NumberColumn("score", format="%.4g"),
    "error": st.column_config.NumberColumn("± standard error", format="%.2g"),
    "gflops_published": st.column_config.NumberColumn("GFLOPs published", format="%.4g"),
    "gflops_built": st.column_config.NumberColumn("GFLOPs built", format="%.4g"),
    "params": st.column_config.NumberColumn("params (M)", format="%.4g"),
    "design": st.column_config.TextColumn("design", width="large"),
}


def _rows(trials: Trials, rows: npt.NDArray[np.integer]) -> pd.DataFrame:
    return pd.DataFrame(
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
