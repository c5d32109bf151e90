"""The papers' tables, our count beside the printed one."""

from __future__ import annotations

import pandas as pd
import streamlit as st

from piip_explore import cost, published
from piip_explore.dashboard import address, plot, tables
from piip_explore.dashboard.context import Context
from piip_explore.dashboard.figures.published import results
from piip_explore.design import Design
from piip_explore.published import METRICS

_NUMBERS = {
    "gflops": st.column_config.NumberColumn("printed GFLOPs", format="%.5g"),
    "counted": st.column_config.NumberColumn("counted GFLOPs", format="%.5g"),
    "difference": st.column_config.NumberColumn("difference", format="%+.2f %%"),
    "mparams": st.column_config.NumberColumn("printed params (M)", format="%.5g"),
    "counted_params": st.column_config.NumberColumn("counted params (M)", format="%.5g"),
    **{name: st.column_config.NumberColumn(label, format="%.5g") for name, label in METRICS.items()},
}


def show(context: Context) -> None:
    """Draw the page."""
    st.title("Published results")
    st.caption(
        "What the papers print, and what this program counts for the same designs. Metrics are those of full training "
        "runs: they do not compare with proxy scores."
    )
    rows = counted()
    tasks = list(dict.fromkeys(rows["task"]))
    task = st.segmented_control("Task", tasks, required=True, **address.one("task", tasks, tasks[0]))
    rows = rows[rows["task"] == task]
    metrics = [name for name in METRICS if rows[name].notna().any()]
    drawn = rows[rows["gflops"].notna() & rows[metrics[0]].notna()]
    plot.draw(
        results(drawn, metrics[0], METRICS[metrics[0]]),
        "published_chart",
        f"Published {METRICS[metrics[0]]} against GFLOPs of {len(drawn)} designs",
        on_pick=lambda event: address.select(event["points"], add=event["add"]),
    )
    _table(rows, metrics)
    if set(address.picks()) & set(rows["design"]):
        context.link("design", "Open the selected design", icon=":material/schema:")
    _more()


def _table(rows: pd.DataFrame, metrics: list[str]) -> None:
    columns = ["row", *metrics, "gflops", "counted", "difference", "mparams", "counted_params", "design"]
    designs = [str(design) for design in rows["design"]]
    tables.table(
        rows[[*columns, "head", "pretrain", "structure", "source"]],
        designs,
        "published_table",
        "Published designs",
        column_config=_NUMBERS,
        placeholder="–",
    )
    st.caption(
        "Counted under the `published` accounting. `structure` marks designs whose structure is uncertain; their rows "
        "are not expected to agree. Click a point or select rows to open a design, or to compare several."
    )


@st.cache_data(show_spinner="Counting the published designs")
def counted() -> pd.DataFrame:
    """Return the published designs with our counts: `counted` (G), `counted_params` (M) and `difference` (%)."""
    rows = published.load()
    costs = [cost.count(Design.parse(str(design)), "published") for design in rows["design"]]
    rows["counted"] = [one.macs / 1e9 for one in costs]
    rows["counted_params"] = [one.params / 1e6 for one in costs]
    rows["difference"] = 100 * (rows["counted"] / rows["gflops"] - 1)
    return rows


def _more() -> None:
    tables = {
        "Which branches are merged (COCO, TSB 1568/1120/672)": published.merge_ablation,
        "PIIP-LLaVA": published.llava,
        "PIIP-B from scratch, by module": published.scratch_breakdown,
        "Other detectors on COCO": published.other_detectors,
    }
    for title, load in tables.items():
        with st.expander(title):
            st.dataframe(load(), hide_index=True, placeholder="–")
