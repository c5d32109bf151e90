"""The choices that decide which trials the Explore page shows: quantities on the axes, filters, the budget's range."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import streamlit as st

from piip_explore.dashboard import address, expected, limits
from piip_explore.dashboard.context import Context
from piip_explore.dashboard.limits import Limits
from piip_explore.dashboard.notes import tagged, tags
from piip_explore.dashboard.plot import Budget
from piip_explore.dashboard.tradeoff import Tradeoff
from piip_explore.dashboard.trials import Filters, Floats, Trials, front_rows
from piip_explore.search.storage import Note

_NAMES: dict[str, str] = {
    "score": "score",
    "gflops": "GFLOPs",
    "params": "parameters",
    "latency": "latency",
    "memory": "memory",
    "energy": "energy",
    "proxy_memory": "memory of the proxy run",
    "expected": "expected metric",
}


def axes(context: Context, trials: Trials) -> tuple[str, str, bool]:
    """Draw the choice of x, y and whether x is logarithmic; return the three.

    A link beside it leads to how far the vertical axis can be trusted.
    """
    names = list(trials.quantities(context.accounting))
    costs = [name for name in names if name != "score"]
    x_name = next((word for word in address.get("x") if word in costs), costs[0])
    others = [*(name for name in names if name != x_name), "expected"]
    with st.container(horizontal=True, vertical_alignment="bottom"):
        y_name = st.selectbox(
            "Vertical", others, format_func=_NAMES.__getitem__, width=150, **address.one("y", others, others[0])
        )
        x_name = st.selectbox(
            "Horizontal", costs, format_func=_NAMES.__getitem__, width=150, **address.one("x", costs, costs[0])
        )
        log = st.toggle("logarithmic", **address.one("log", [False, True], True))
        if y_name in ("score", "expected"):
            context.link("validity", f"How far to trust the {_NAMES[y_name]}", icon=":material/fact_check:")
    return x_name, y_name, log


def filters(trials: Trials, notes: Mapping[int, Note], x_name: str) -> tuple[Filters, Limits]:
    """Draw the filters and the limits on costs that are not on x; the folded box says how many are set.

    If notes have tags, there is a filter for them.
    """
    names = ("branches", "models", "resolution", "interactions", "merge", "tags", *limits.names())
    count = sum(bool(address.get(name)) for name in names)
    label = f"Filters and limits ({count} set)" if count else "Filters and limits"
    with st.expander(label, icon=":material/filter_alt:", expanded=count > 0, key="filters"):
        return replace(_filters(trials), trials=_tags(notes)), limits.draw(trials, x_name)


def _tags(notes: Mapping[int, Note]) -> frozenset[int] | None:
    known = sorted({tag for note in notes.values() for tag in tags(note.text)})
    chosen = st.multiselect("Tags, all of", known, **address.many("tags", known)) if known else []
    return tagged(notes, chosen) if chosen else None


def _filters(trials: Trials) -> Filters:
    features = trials.features.values()
    branches = sorted({len(one.sizes) for one in features})
    models = sorted({model for one in features for model in one.models})
    resolutions = sorted({one.resolution for one in features})
    interactions = sorted({one.interactions for one in features})
    merges = sorted({one.merge for one in features})
    columns = st.columns(5)
    chosen = [
        columns[0].multiselect("Branches", branches, **address.many("branches", branches)),
        columns[1].multiselect("Models, all of", models, **address.many("models", models)),
        columns[2].multiselect("Interactions", interactions, **address.many("interactions", interactions)),
        columns[3].multiselect("Merge", merges, **address.many("merge", merges)),
    ]
    sizes = None
    if len(resolutions) > 1:
        sizes = columns[4].select_slider(
            "Largest resolution (px)", resolutions, **address.span("resolution", resolutions)
        )
        sizes = None if sizes == (resolutions[0], resolutions[-1]) else sizes
    return Filters(tuple(chosen[0]), tuple(chosen[1]), sizes, tuple(chosen[2]), tuple(chosen[3]))


def tradeoff(trials: Trials, accounting: str, x_name: str, y_name: str, log: bool, chosen: Filters) -> Tradeoff:
    """Return what the chart shows of the trials that fit the filters."""
    quantities = trials.quantities(accounting)
    x_axis, x = quantities[x_name]
    error: Floats | None
    if y_name == "expected":
        y_axis, y, error = expected.columns(trials)
    else:
        y_axis, y = quantities[y_name]
        error = trials.error if y_name == "score" else None
    both = (replace(x_axis, log=log), y_axis)
    shown = trials.scored & chosen.mask(trials) & np.isfinite(x) & np.isfinite(y)
    return Tradeoff(trials, both, x, y, shown, front_rows(x, y, both, shown), error)


def budget(tradeoff: Tradeoff) -> Budget | None:
    """Return the budget that the address names within what is shown; None where all cost the same."""
    x = tradeoff.x[tradeoff.shown]
    if not len(x) or x.min() >= x.max():
        return None
    span = float(x.max() - x.min())
    step = 1.0 if span > 20 else 0.1 if span > 2 else 0.01
    low, high = float(np.floor(x.min() / step) * step), float(np.ceil(x.max() / step) * step)
    value = address.number("budget", low, high)
    return Budget(high if value is None else value, low, high, step, tradeoff.axes[0].unit)
