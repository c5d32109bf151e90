"""How far the proxy can be trusted."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import streamlit as st

from piip_explore.dashboard import address, plot, text, validity
from piip_explore.dashboard.context import Context
from piip_explore.dashboard.figures.validity import accuracy, agreement
from piip_explore.dashboard.validity import FinishedValidation


def show(context: Context) -> None:
    """Draw the page."""
    st.title("Validity")
    st.caption(
        "A proxy is worth training if it ranks designs as full training did, and better than cheaper predictors: "
        "FLOPs, parameters or a regression. Only pairs of designs whose published results differ by at least half a "
        "point are counted."
    )
    _expected()
    found = validity.find(context.options.results)
    if not found:
        st.info("No proxy has been validated here yet. Run one (hours on a CPU), then reload this page:")
        st.code("piip-explore validate", language="bash")
        return
    names = list(found)
    name = st.selectbox("Validation", names, **address.one("validation", names, names[0]))
    path = found[name]
    validation = _read(path, (path / "rows.csv").stat().st_mtime_ns)
    for sentence in validation.verdicts:
        good = "does not beat" not in sentence and "worse" not in sentence
        (st.success if good else st.warning)(text.prose(sentence), icon=":material/balance:")
    shown = validation.comparison.accuracies
    plot.draw(accuracy(shown), "accuracy", "Pairwise accuracy per question")
    with st.expander("The numbers"):
        st.dataframe(shown.round(1), hide_index=True)
    st.header("Proxy against published")
    figure = agreement(validation.rows, validation.statistics)
    plot.draw(figure, "agreement", "Proxy score against published metric")
    st.header("By table")
    st.dataframe(tables(validation).dropna(axis=1, how="all"), hide_index=True, placeholder="–")
    _recipe(validation)


def _expected() -> None:
    """Draw on request how well expected metrics hold."""
    if not st.toggle("How well expected metrics hold", **address.one("held", [False, True], False)):
        return
    table = _held()
    st.dataframe(table, hide_index=True)
    told, inside = int(table["told"].sum()), int(table["in the 80 % interval"].sum())
    st.caption(
        f"Every table of published results, predicted from the other tables alone. Of {told} rows with a prediction, "
        f"{inside} are within the 80 % interval ({inside / told:.0%}). The regression was chosen with these rows in "
        "view, so these figures are optimistic."
    )


@st.cache_resource(show_spinner="Leaving out one table after the other")
def _held() -> pd.DataFrame:
    from piip_explore.predict import leave_tables_out

    records = [
        {
            "table": held.table,
            "rows": len(held.rows),
            "told": int(held.told.sum()),
            "in the 80 % interval": int((held.told & held.inside).sum()),
            "mean error (points)": round(float(np.abs(held.rows.value - held.mean)[held.told].mean()), 2)
            if held.told.any()
            else None,
        }
        for held in leave_tables_out()
    ]
    return pd.DataFrame(records)


@st.cache_resource(max_entries=4, show_spinner="Resampling")
def _read(path: Path, changed: int) -> FinishedValidation:
    return validity.read(path)


def tables(validation: FinishedValidation) -> pd.DataFrame:
    """Return accuracy and Kendall's tau of every predictor on every published table."""
    records = []
    for predictor, found in validation.statistics.items():
        for table, values in found["tables"].items():
            low, high = values["tau interval"]
            records.append(
                {
                    "table": table,
                    "predictor": predictor,
                    "designs": values["rows"],
                    "accuracy (%)": round(values["accuracy"], 1),
                    "tau": round(values["tau"], 2),
                    "95 % interval": f"{low:.2f} to {high:.2f}" if low == low else "–",
                    "tau given log FLOPs": round(values["partial tau given log FLOPs"], 2),
                }
            )
    return pd.DataFrame(records).sort_values("table", kind="stable")


def _recipe(validation: FinishedValidation) -> None:
    recipe = validation.recipe
    seeds = validation.statistics["proxy"].get("seed-to-seed tau", {})
    between = ", ".join(f"{table}: {tau:.2f}" for table, tau in seeds.items() if tau == tau)
    st.caption(
        text.prose(
            f"Preset {recipe.get('preset')} ({recipe.get('preset_hash')}), code {recipe.get('code_version')}, seeds "
            f"{recipe.get('seeds')}; written down before the first run."
            + (f" Tau from seed to seed: {between}." if between else "")
        )
    )
