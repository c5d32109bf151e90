"""Designs side by side, and the fronts of several studies over each other."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd
import streamlit as st

from piip_explore.dashboard import selection, text
from piip_explore.dashboard.context import Context, pinned
from piip_explore.dashboard.figures import style
from piip_explore.dashboard.figures.cost import side_by_side as side_by_side_bars
from piip_explore.dashboard.figures.drawing import drawing
from piip_explore.dashboard.figures.front import Axis, fronts
from piip_explore.dashboard.selection import Chosen
from piip_explore.dashboard.trials import Trials, front_rows
from piip_explore.errors import InputError
from piip_explore.search.compare import compare

MOST = 4
"""Designs that fit side by side."""


def show(context: Context) -> None:
    """Draw the page."""
    st.title("Compare")
    _designs(context)
    st.subheader("Fronts of studies")
    _fronts(context)


def _designs(context: Context) -> None:
    trials = pinned(context.source).trials if context.source else None
    selection.field("Add a design", "added", add=True)
    found = {chosen.name: chosen for chosen in selection.selected(trials)}
    if len(found) > MOST:
        names = st.multiselect("Designs", list(found), default=list(found)[:MOST], max_selections=MOST)
        found = {name: found[name] for name in names}
    if len(found) < 2:
        st.info(
            "Select two to four designs: with a lasso or **Add to the selection** on the **Front** page, or rows of "
            "its table, or write one above."
        )
        return
    table = side_by_side(found, trials)
    st.dataframe(table.style.apply(_marked, axis=1), row_height=32, height="content")
    st.caption("Marked rows differ between the designs.")
    modules = {name: _modules(chosen, context.accounting) for name, chosen in found.items()}
    bars = side_by_side_bars(modules, f"GFLOPs ({context.accounting})")
    st.plotly_chart(bars, key="modules", config=style.CONFIG, alt="FLOPs of the designs by part")
    for name, chosen in found.items():
        shown = "" if chosen.trial is None else f"**{name}** · "
        st.markdown(f"{shown}{text.code(chosen.design)}")
        st.plotly_chart(
            drawing(chosen.design), key=f"drawing_{name}", config=style.CONFIG, alt=f"Architecture of {chosen.design}"
        )


def _modules(chosen: Chosen, accounting: str) -> dict[str, tuple[int, int]]:
    from piip_explore import cost

    return dict(cost.count(chosen.design, accounting).by_module)


def side_by_side(found: dict[str, Chosen], trials: Trials | None) -> pd.DataFrame:
    """Return what there is to compare, a row per property and a column per design, as texts."""
    from piip_explore import cost

    columns = {}
    most = max(len(chosen.design.branches) for chosen in found.values())
    for name, chosen in found.items():
        design = chosen.design.sorted()
        branches = [str(branch) for branch in design.branches]
        published, built = (cost.count(design, accounting) for accounting in ("published", "built"))
        interaction = design.interaction
        rows = {f"branch {i + 1}": branches[i] if i < len(branches) else "–" for i in range(most)}
        rows |= {
            "exchanges": str(interaction.count) if interaction else "none",
            "direction": interaction.direction if interaction else "–",
            "attention": interaction.attention if interaction else "–",
            "merge": design.merge.kind,
            "branches merged": ", ".join(str(index + 1) for index in design.out),
            "GFLOPs published": text.number(published.macs / 1e9, 4),
            "GFLOPs built": text.number(built.macs / 1e9, 4),
            "parameters (M)": text.number(published.params / 1e6, 4),
        }
        if trials is not None:
            rows |= _scores(chosen, trials)
        columns[name] = rows
    return pd.DataFrame(columns)


def _scores(chosen: Chosen, trials: Trials) -> dict[str, str]:
    row = chosen.trial
    if row is None:
        return {trials.metric: "–", "± standard error": "–"}
    return {trials.metric: text.number(trials.score[row], 4), "± standard error": text.number(trials.error[row], 2)}


def _marked(row: pd.Series) -> list[str]:
    """Mark a row whose cells differ; the blue is readable on both backgrounds."""
    return ["background-color: rgba(86, 180, 233, 0.28)" if row.nunique() > 1 else ""] * len(row)


def _fronts(context: Context) -> None:
    others = [label for label in context.sources if context.source and label != context.source.label]
    if not others or context.source is None:
        st.caption("There is no other study here to compare with. Several open with `--storage` given several times.")
        return
    chosen = st.multiselect("Over this study's front, draw those of", others, key="with", bind="query-params")
    labels = [context.source.label, *chosen]
    studies, problems = [], []
    for label in labels:
        try:
            studies.append((label, pinned(context.sources[label]).trials))
        except InputError as error:
            problems.append(f"{label}: {error}")
    for problem in problems:
        st.warning(text.prose(problem))
    if len(studies) < 2:
        return
    _numbers(studies)
    lines = [(label, _front(trials, context.accounting)) for label, trials in studies]
    axes = (
        Axis(f"GFLOPs ({context.accounting})", log=True),
        Axis(f"proxy score: {studies[0][1].metric}", maximize=True),
    )
    st.plotly_chart(
        fronts(lines, axes),
        key="fronts",
        config=style.CONFIG,
        alt=f"Pareto fronts of {len(lines)} studies",
    )


def _front(trials: Trials, accounting: str) -> pd.DataFrame:
    x, y = trials.floats(f"gflops_{accounting}"), trials.score
    rows = front_rows(x, y, (Axis("x"), Axis("y", maximize=True)), trials.scored)
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
            f"both fronts together; **{found.covered[0]:.0%}** of the first's front and **{found.covered[1]:.0%}** of "
            f"the second's are dominated or equalled by the other."
        )
