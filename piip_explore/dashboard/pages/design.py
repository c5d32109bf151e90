"""One design in full: its drawing, where its cost goes, what its trials found, and its exports."""

from __future__ import annotations

import numpy as np
import pandas as pd
import streamlit as st

from piip_explore import cost, published
from piip_explore.dashboard import address, exports, notes, plot, selection, text, training
from piip_explore.dashboard.context import Context, pinned
from piip_explore.dashboard.figures.cost import by_module
from piip_explore.dashboard.figures.drawing import drawing
from piip_explore.dashboard.figures.study import by_fidelity
from piip_explore.dashboard.published_marks import metrics_of
from piip_explore.dashboard.selection import Chosen
from piip_explore.dashboard.studies import Source
from piip_explore.dashboard.trials import Trials
from piip_explore.design import Design


def show(context: Context) -> None:
    """Draw the page."""
    st.title("Design")
    trials = pinned(context.source).trials if context.source else None
    chosen = _choose(trials)
    if chosen is None:
        st.info("Select a design on the **Explore** page, in **Space** or in **Published**, or write one above.")
        return
    design = chosen.design
    st.html(text.design(design))
    if context.source is not None and chosen.trial is not None:
        notes.field(context.source, chosen.trial)
    plot.draw(drawing(design), "drawing", f"Architecture of {design}", least=680)
    st.header("Where the cost goes")
    _cost(design, context.accounting)
    if context.source is not None and trials is not None:
        _measured(context.source, trials, chosen)
    st.header("Nearest published design")
    _nearest(design)
    st.header("Export")
    exports.offer(chosen, trials)


def _choose(trials: Trials | None) -> Chosen | None:
    """Draw the choice among the selected designs, and a field to write one."""
    left, right = st.columns(2)
    with right:
        selection.field("Write a design", "written", add=False)
    with left:
        found = {chosen.name: chosen for chosen in selection.selected(trials, [*address.picks(), *address.pinned()])}
        if not found:
            return None
        names = list(found)
        return found[st.selectbox("Selected designs", names, **address.one("design", names, names[0]))]


def _cost(design: Design, accounting: str) -> None:
    counted = cost.count(design, accounting)
    other = "built" if accounting == "published" else "published"
    with st.container(horizontal=True):
        st.metric(f"GFLOPs ({accounting})", text.number(counted.macs / 1e9, 4), border=True)
        st.metric(f"GFLOPs ({other})", text.number(cost.count(design, other).macs / 1e9, 4), border=True)
        st.metric("Parameters (M)", text.number(counted.params / 1e6, 4), border=True)
    bars = by_module(counted.by_module, f"GFLOPs ({accounting})")
    plot.draw(bars, "by_module", f"FLOPs and parameters of the parts of {design}", least=640)


MEMORY = ("memory of the proxy run (GiB)", "memory of a forward pass (GiB)")
"""Peaks: of the shrunken design in training, and of the full-scale design, where that is an objective."""


def _measured(source: Source, trials: Trials, chosen: Chosen) -> None:
    """Draw what the study's trials of this design found."""
    rows = np.flatnonzero(trials.designs == str(chosen.design))
    if chosen.trial is not None:
        rows = np.union1d(rows, [chosen.trial])
    if not len(rows):
        return
    st.header("What this study measured")
    records = [_record(trials, int(row)) for row in rows]
    frame = pd.DataFrame.from_records(records).dropna(axis=1, how="all")
    st.dataframe(frame, hide_index=True, column_config=_FORMATS)
    st.caption("Every score is listed with what it depends on: fidelity, seed, device, code version, kernel backend.")
    shares = [(float(trials.columns.fidelity[row]), float(trials.score[row])) for row in rows]
    reached = sorted(point for point in shares if np.isfinite(point[1]))
    if len({share for share, _ in reached}) > 1:
        title = text.one_line(trials.metric, 40)
        plot.draw(by_fidelity(reached, title), "by_fidelity", f"{title} over the share of a full run")
    training.draw(source, trials, {f"trial {row}": int(row) for row in rows})


_FORMATS = {
    name: st.column_config.NumberColumn(format=shown)
    for name, shown in {"seconds": "%.1f", "latency (ms)": "%.4g", **dict.fromkeys(MEMORY, "%.3g")}.items()
}


def _record(trials: Trials, row: int) -> dict[str, object]:
    attributes = trials.columns.attributes_of(row)
    depends_on = ("preset", "device", "kernel_backend", "code_version", "torch")
    return {
        "trial": row,
        "fidelity": attributes.get("fidelity"),
        "seed": attributes.get("seed"),
        text.one_line(trials.metric, 40): float(f"{trials.score[row]:.4g}"),
        "± standard error": trials.error[row],
        "seconds": attributes.get("seconds"),
        MEMORY[0]: trials.floats("peak_memory")[row] / 2**30,
        MEMORY[1]: trials.floats("memory")[row] / 2**30,
        "latency (ms)": attributes.get("latency"),
        "failure": attributes.get("failure"),
        **_metrics(attributes.get("metrics")),
        **{name.replace("_", " "): str(attributes[name]) for name in depends_on if name in attributes},
    }


def _metrics(recorded: object) -> dict[str, float]:
    """Return what a run records besides its score: further metrics of the task, samples per second."""
    found = recorded if isinstance(recorded, dict) else {}
    return {
        text.one_line(name, 40): float(f"{value:.4g}")
        for name, value in found.items()
        if isinstance(value, int | float)
    }


_DISTANCE = (
    "Summed over branches, from the highest resolution down: the difference of log2 resolution, and half that of log2 "
    "block weights; 3 for each extra or missing branch; 0.1 for each option that differs."
)


def _nearest(design: Design) -> None:
    row, difference = nearest(design, _published())
    how_far = f"distance {text.number(difference, 2)}" if difference else "the same design"
    st.markdown(f"{text.code(row['row'])} · {text.prose(row['source'])} · {how_far}", help=_DISTANCE)
    st.html(text.design(row["design"]))
    cost = [f"{row['gflops']:,g} GFLOPs"] if pd.notna(row["gflops"]) else []
    st.caption(
        "Published: " + ", ".join(metrics_of(row) + cost) + ". Full training runs; not comparable with a proxy score."
    )


_published = st.cache_data(show_spinner=False)(published.load)


def nearest(design: Design, rows: pd.DataFrame) -> tuple[pd.Series, float]:
    """Return the published row whose branches are most alike, and its distance (see `_DISTANCE`)."""
    distances = [_distance(design, Design.parse(str(other))) for other in rows["design"]]
    best = int(np.argmin(distances))
    return rows.iloc[best], float(distances[best])


def _distance(a: Design, b: Design) -> float:
    if a.id == b.id:
        return 0.0
    a, b = a.sorted(), b.sorted()
    distance = 3.0 * abs(len(a.branches) - len(b.branches))
    for one, other in zip(a.branches, b.branches, strict=False):
        distance += abs(np.log2(one.resolution / other.resolution))
        distance += abs(np.log2(one.spec.weights / other.spec.weights)) / 2
        distance += 0.5 * (type(one.spec) is not type(other.spec)) + 0.1 * (one.window != other.window)
    return distance + 0.1 * (a.interaction != b.interaction) + 0.1 * (a.merge != b.merge) + 0.01
