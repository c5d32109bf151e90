"""A space before anything is trained: how many designs it has and what they cost."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import streamlit as st

from piip_explore.dashboard import address, brush, choices, limits, plot, spaces, tables, text
from piip_explore.dashboard.context import Context
from piip_explore.dashboard.figures.space import distribution, resolution_front
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
    names = list(found)
    name = st.selectbox("Space file", names, **address.one("space", names, names[0]))
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
    ends = limits.round_steps(float(counted.gflops.min()), float(counted.gflops.max()))
    chosen = st.select_slider(
        "Budget (GFLOPs)", ends, format_func="{:,g}".format, **address.one("space_budget", ends, ends[-1])
    )
    return None if chosen == ends[-1] else chosen


def _figures(counted: CountedSpace, budget: float | None, context: Context) -> None:
    left = len(counted.within(budget))
    with st.container(horizontal=True):
        st.metric("Designs", f"{len(counted):,}", border=True)
        st.metric("Within the budget", f"{left:,} ({left / len(counted):.1%})", border=True)
        st.metric("Least GFLOPs", text.number(float(counted.gflops.min())), border=True)
        st.metric("Most GFLOPs", text.number(float(counted.gflops.max())), border=True)
    bars = distribution(*counted.histogram, budget)
    plot.draw(bars, "distribution", f"How many of {len(counted):,} designs cost how many GFLOPs")
    sample = counted.sample(spaces.MOST_DRAWN)
    st.header("Cost against resolution")
    figure = resolution_front(
        counted.gflops, counted.resolution, counted.texts(counted.cheapest), counted.cheapest, sample
    )
    plot.draw(figure, "resolutions", "GFLOPs against the largest resolution")
    if len(sample) < len(counted):
        st.caption(f"The line is exact; the points are a random sample of {len(sample):,} of {len(counted):,} designs.")
    if not left:
        st.info("No design is within this budget.")
        return
    _lines(counted, budget, left, context)


def _lines(counted: CountedSpace, budget: float | None, left: int, context: Context) -> None:
    st.header("Designs within the budget")
    rows = counted.sample(choices.MOST_LINES, budget)
    dimensions = counted.dimensions(rows)
    alt = f"Choices of {text.count(len(rows), 'design')}"
    ranges = brush.draw(dimensions, "GFLOPs", "space_ranges", "lines", alt)
    shown = f"a random sample of {len(rows):,} of {left:,} designs" if len(rows) < left else f"all {left:,} designs"
    st.caption(f"Shown: {shown}. Branch 1 has the largest image. Drag along an axis to keep a range.")
    if ranges:
        inside = choices.within(dimensions, ranges)
        st.markdown(
            f"**{int(inside.sum()):,}** of the {len(rows):,} designs shown are in the ranges on "
            f"{text.prose(', '.join(ranges))}; the table lists these."
        )
        brush.clear_button("space_ranges")
        rows = rows[inside]
    rows = rows[np.argsort(counted.gflops[rows], kind="stable")]
    designs = counted.texts(rows)
    tables.table(
        pd.DataFrame(
            {"design": designs, "GFLOPs": counted.gflops[rows], "params (M)": counted.table.params[rows] / 1e6}
        ),
        designs,
        "space_table",
        "Designs within the budget",
        column_config={name: st.column_config.NumberColumn(format="%.4g") for name in ("GFLOPs", "params (M)")},
    )
    if address.picks():
        context.link("design", "Open the selected design", icon=":material/schema:")
