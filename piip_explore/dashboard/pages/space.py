"""A space before anything is trained: how many designs it has and what they cost."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import streamlit as st

from piip_explore.dashboard import spaces, text, view
from piip_explore.dashboard.context import Context
from piip_explore.dashboard.figures import style
from piip_explore.dashboard.figures.space import distribution, parallel, resolution_front
from piip_explore.dashboard.spaces import CountedSpace


def show(context: Context) -> None:
    """Draw the page."""
    st.title("Space")
    found = spaces.files(context.options.spaces)
    if not found:
        st.info("There are no space files here.")
        st.markdown("Open a folder of them with:")
        st.code("piip-explore dashboard --spaces FOLDER", language="bash")
        return
    name = st.selectbox("Space file", list(found), key="space", bind="query-params")
    path = found[name]
    counted = _counted(path, path.stat().st_mtime_ns, context.accounting)
    if counted.space.description:
        st.markdown(text.prose(counted.space.description))
    budget = _budget(counted)
    _figures(counted, budget, context)
    with st.expander("The file"):
        st.code(path.read_text(encoding="utf-8"), language="yaml")


@st.cache_resource(max_entries=3, show_spinner="Counting every design of the space")
def _counted(path: Path, changed: int, accounting: str) -> CountedSpace:
    return spaces.count(path, accounting)


def _budget(counted: CountedSpace) -> float | None:
    ends = budgets(float(counted.gflops.min()), float(counted.gflops.max()))
    chosen = st.select_slider(
        "Budget (GFLOPs)", ends, ends[-1], key="space_budget", bind="query-params", format_func="{:,g}".format
    )
    return None if chosen == ends[-1] else chosen


def budgets(low: float, high: float) -> list[float]:
    """Return round budgets that part a range, and one above it: 1, 1.2, 1.5, 2, ..."""
    steps = (1, 1.2, 1.5, 2, 2.5, 3, 4, 5, 6, 8)
    round_numbers = [step * 10.0**power for power in range(-3, 7) for step in steps]
    within = [number for number in round_numbers if low <= number < high]
    return [*within, next(number for number in round_numbers if number >= high)]


def _figures(counted: CountedSpace, budget: float | None, context: Context) -> None:
    left = counted.within(budget)
    with st.container(horizontal=True):
        st.metric("Designs", f"{len(counted):,}", border=True)
        st.metric(
            "Within the budget",
            f"{left:,}",
            f"{left / len(counted):.1%}",
            delta_color="off",
            delta_arrow="off",
            border=True,
        )
        st.metric("Least GFLOPs", text.number(float(counted.gflops.min())), border=True)
        st.metric("Most GFLOPs", text.number(float(counted.gflops.max())), border=True)
    st.plotly_chart(
        distribution(*counted.histogram, budget),
        key="distribution",
        config=style.CONFIG,
        alt=f"How many of {len(counted):,} designs cost how many GFLOPs",
    )
    sample = counted.sample(spaces.MOST_DRAWN)
    st.subheader("Cost against resolution")
    figure = resolution_front(
        counted.gflops, counted.resolution, counted.texts(counted.cheapest), counted.cheapest, sample
    )
    st.plotly_chart(figure, key="resolutions", config=style.CONFIG, alt="GFLOPs against the largest resolution")
    if len(sample) < len(counted):
        st.caption(f"The line is exact; the points are a random sample of {len(sample):,} of {len(counted):,} designs.")
    if not left:
        st.info("No design is within this budget.")
        return
    _lines(counted, budget, left, context)


def _lines(counted: CountedSpace, budget: float | None, left: int, context: Context) -> None:
    st.subheader("Designs within the budget")
    rows = counted.sample(spaces.MOST_LINES, budget)
    figure = parallel(counted.dimensions(rows), counted.cost(rows))
    st.plotly_chart(figure, key="lines", config=style.CONFIG, alt=f"Choices of {text.count(len(rows), 'design')}")
    shown = f"a random sample of {len(rows):,} of {left:,} designs" if len(rows) < left else f"all {left:,} designs"
    st.caption(f"Shown: {shown}. Branch 1 has the largest image. Drag along an axis to keep a range.")
    rows = rows[np.argsort(counted.gflops[rows], kind="stable")]
    designs = counted.texts(rows)
    st.dataframe(
        pd.DataFrame(
            {"design": designs, "GFLOPs": counted.gflops[rows], "params (M)": counted.table.params[rows] / 1e6}
        ),
        key="space_table",
        hide_index=True,
        column_config={name: st.column_config.NumberColumn(format="%.4g") for name in ("GFLOPs", "params (M)")},
        on_select=lambda: _on_rows(designs),
        selection_mode="multi-row",
    )
    if view.picks():
        context.link("design", "Open the selected design", icon=":material/schema:")


def _on_rows(designs: list[str]) -> None:
    rows = st.session_state["space_table"]["selection"]["rows"]
    if rows:
        view.select([designs[row] for row in rows if row < len(designs)])
