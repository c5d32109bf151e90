"""A study while it runs: progress, trials, failures, workers; and starting, pausing and resuming a search."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import streamlit as st

from piip_explore.dashboard import runs, spaces, studies, text, view
from piip_explore.dashboard.context import Context, next_steps, pinned
from piip_explore.dashboard.figures import style
from piip_explore.dashboard.figures.study import hypervolume, importance
from piip_explore.dashboard.trials import Trials
from piip_explore.errors import InputError
from piip_explore.search import report
from piip_explore.search.storage import FAIL, RUNNING, STATES, StorageURL

MOST_ROWS = 1000
"""Rows of a table that is sent again whenever something changes."""


def show(context: Context) -> None:
    """Draw the page."""
    st.title("Study")
    if context.source is None:
        next_steps(None)
    else:
        _live(context, context.source)
        _importance(context.source)
    first = context.source is None or context.source.example
    with st.expander("Start a new study", expanded=first, icon=":material/rocket_launch:"):
        _new(context)


# --- starting, pausing, resuming --------------------------------------------------------------------------------------


def _control(context: Context, source: studies.Source, trials: Trials) -> None:
    if source.example:
        st.info("This is the example that comes with the program. Start a study of your own below.")
        return
    now = runs.running(source.storage, source.name)
    with st.container(horizontal=True, vertical_alignment="bottom"):
        if now is None:
            _resume(context, source, trials)
        elif st.session_state.get("_pausing") == now.pid:
            st.markdown(":material/hourglass_top: pausing: what is being evaluated is put back at its next step")
        else:
            st.markdown(f":green-badge[:material/play_arrow: running], started from this page as process {now.pid}")
            st.button("Pause", icon=":material/pause:", on_click=_pause, args=(now,), key="pause")
    printed = runs.log(source.storage, source.name)
    if printed:
        with st.expander("What the search printed"):
            st.code(printed, language=None)


def _pause(run: runs.Run) -> None:
    runs.pause(run)
    st.session_state["_pausing"] = run.pid


def _resume(context: Context, source: studies.Source, trials: Trials) -> None:
    before = runs.last(source.storage, source.name)
    found = spaces.files(context.options.spaces)
    name = str(trials.record.space.get("name", ""))
    path = found.get(name)
    if path is None:
        st.caption(
            text.prose(
                f"To go on with this study, open the dashboard with the folder of its space '{name}' (--spaces)."
            )
        )
        return
    done = trials.finished
    goal = st.number_input(
        "Designs in all", 1, 1_000_000, max(before.trials if before else 24, done), key="goal", width=180
    )
    if st.button("Resume", icon=":material/play_arrow:", key="resume", disabled=_others_run(trials)):
        _start(source.storage, source.name, path, int(goal), before.workers if before else None)


def _others_run(trials: Trials) -> bool:
    """Whether a search that no page started seems to run: it must be paused where it was started."""
    return bool((trials.state == RUNNING).any())


def _new(context: Context) -> None:
    found = spaces.files(context.options.spaces)
    if not found:
        st.caption("There are no space files: open the dashboard with `--spaces FOLDER`.")
        return
    with st.form("new_study", border=False):
        left, middle, right = st.columns(3)
        name = left.text_input("Name", placeholder="demo", key="new_name")
        space = middle.selectbox("Space", list(found), key="new_space")
        trials = right.number_input("Designs to evaluate", 1, 1_000_000, 24, key="new_trials")
        workers = left.number_input("Workers (0: one per GPU)", 0, 64, 0, key="new_workers")
        if st.form_submit_button("Start", icon=":material/rocket_launch:", type="primary"):
            storage = runs.storage_of(context.options, name)
            taken = [source for source in context.sources.values() if source.name == name and not source.example]
            if taken:
                raise InputError(f"there is a study '{name}' already: choose another name, or resume that one")
            _start(storage, name, found[space], int(trials), int(workers) or None)


def _start(storage: StorageURL, study: str, space: Path, trials: int, workers: int | None) -> None:
    runs.start(storage, study, space, trials, workers)
    st.toast(f"The search of {text.code(study)} has started. It goes on when this page is closed.")
    st.cache_data.clear()


# --- what happens -----------------------------------------------------------------------------------------------------


def _importance(source: studies.Source) -> None:
    if not st.toggle("Which choices matter", key="importance", bind="query-params"):
        return
    pin = pinned(source)
    table, trust, runs_used = _shares(source.label, pin.version, pin.trials)
    shares = dict(zip(table["axis"], table["score"], strict=True))
    st.plotly_chart(importance(shares), key="importance_chart", config=style.CONFIG, alt="Importance of the choices")
    st.caption(
        f"How much worse a random forest predicts the score when a choice is shuffled, from {runs_used} full runs. "
        f"Its R² on runs that it has not seen is {trust:.2f}" + (": trust this little." if trust < 0.5 else ".")
    )


@st.cache_data(max_entries=4, show_spinner="Learning which choices matter")
def _shares(label: str, version: int, _trials: Trials) -> tuple[pd.DataFrame, float, int]:
    from piip_explore.search.importance import importance as learn

    table = learn(_trials.columns)
    return table, float(table.attrs["r2"]["score"]), int(table.attrs["trials"])


@dataclass(frozen=True)
class Progress:
    """What the page shows of a study at one moment."""

    counts: dict[str, int]
    conditions: str
    history: pd.DataFrame
    gpu_hours: float
    table: pd.DataFrame
    failures: pd.DataFrame
    workers: pd.DataFrame


@st.fragment(run_every=2.0)
def _live(context: Context, source: studies.Source) -> None:
    """Draw what happens; this part refreshes by itself."""
    live = studies.open_live(source)
    try:
        version, trials = live.trials()
    except InputError as error:
        st.error(text.prose(error))
        return
    _control(context, source, trials)
    progress = _progress(source.label, version, trials)
    _numbers(progress)
    st.caption(text.prose(progress.conditions))
    if len(progress.history):
        _hypervolume(progress.history)
    running, failed, everything = st.tabs(
        [
            f"Workers ({len(progress.workers)})",
            f"Failures ({progress.counts['fail']})",
            f"Trials ({sum(progress.counts.values()):,})",
        ]
    )
    with running:
        _frame(progress.workers, "No evaluation runs at the moment.")
    with failed:
        _frame(progress.failures, "No trial has failed.")
    with everything:
        _trials(progress)


def _numbers(progress: Progress) -> None:
    counts = progress.counts
    with st.container(horizontal=True):
        st.metric("Full runs done", f"{counts['complete']:,}", border=True)
        if counts["pruned"]:
            st.metric("Shorter runs done", f"{counts['pruned']:,}", border=True)
        st.metric("Running", f"{counts['running']:,}", border=True)
        st.metric("Waiting", f"{counts['waiting']:,}", border=True)
        st.metric("Failed", f"{counts['fail']:,}", border=True)
        st.metric("Training time (h)", text.number(progress.gpu_hours, 3), border=True, help="All workers together.")
        if len(progress.history):
            st.metric("Hypervolume", text.number(progress.history["hypervolume"].iloc[-1], 4), border=True)


def _hypervolume(history: pd.DataFrame) -> None:
    over = st.segmented_control("Over", ["trials", "training time"], default="trials", required=True, key="over")
    shown = history.assign(done=np.arange(1, len(history) + 1))
    column, label = ("done", "full runs") if over == "trials" else ("gpu_hours", "training time (h)")
    st.plotly_chart(
        hypervolume(shown, column, label), key=f"hypervolume_{column}", config=style.CONFIG, alt="Hypervolume over time"
    )


def _frame(frame: pd.DataFrame, nothing: str) -> None:
    if len(frame):
        st.dataframe(frame, hide_index=True)
    else:
        st.caption(nothing)


def _trials(progress: Progress) -> None:
    table = progress.table
    st.dataframe(
        table, key="study_trials", hide_index=True, on_select=lambda: _on_rows(table), selection_mode="multi-row"
    )
    total = sum(progress.counts.values())
    if len(table) < total:
        st.caption(
            f"The last {len(table):,} of {total:,} trials. `piip-explore show --out trials.csv` writes them all."
        )


def _on_rows(table: pd.DataFrame) -> None:
    rows = st.session_state["study_trials"]["selection"]["rows"]
    if rows:
        view.select([int(table["trial"].iloc[row]) for row in rows if row < len(table)])


@st.cache_data(max_entries=4, show_spinner=False)
def _progress(label: str, version: int, _trials: Trials) -> Progress:
    return progress_of(_trials)


def progress_of(trials: Trials) -> Progress:
    """Return what the page shows of a study."""
    columns = trials.columns
    history = report.history(columns)
    return Progress(
        counts=report.counts(columns),
        conditions=trials.conditions,
        history=history,
        gpu_hours=float(np.nansum(trials.floats("seconds")) / 3600),
        table=_table(trials, np.arange(len(trials))[::-1][:MOST_ROWS]),
        failures=_failures(trials),
        workers=_workers(trials),
    )


def _table(trials: Trials, rows: np.ndarray[tuple[int], np.dtype[np.int64]]) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "trial": rows,
            "state": [STATES[code].lower() for code in trials.state[rows]],
            trials.metric: trials.score[rows].round(3),
            "GFLOPs published": trials.floats("gflops_published")[rows].round(2),
            "fidelity": trials.columns.fidelity[rows],
            "seconds": trials.floats("seconds")[rows].round(1),
            "design": trials.designs[rows],
        }
    )


def _failures(trials: Trials) -> pd.DataFrame:
    rows = np.flatnonzero(trials.state == FAIL)[::-1][:MOST_ROWS]
    return pd.DataFrame({"trial": rows, "reason": trials.texts("failure")[rows], "design": trials.designs[rows]})


def _workers(trials: Trials) -> pd.DataFrame:
    rows = np.flatnonzero(trials.state == RUNNING)
    workers = trials.texts("worker")[rows]
    found = [worker if isinstance(worker, dict) else {} for worker in workers]
    return pd.DataFrame(
        {
            "host": [str(worker.get("host", "?")) for worker in found],
            "device": [str(worker.get("device", "?")) for worker in found],
            "process": [str(worker.get("pid", "?")) for worker in found],
            "trial": rows,
            "since (UTC)": trials.columns.started[rows],
            "design": trials.designs[rows],
        }
    )
