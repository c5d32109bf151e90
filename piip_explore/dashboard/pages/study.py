"""A study while it runs: progress, trials, failures, workers; and starting, pausing and resuming a search."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np
import pandas as pd
import streamlit as st

from piip_explore.dashboard import address, control, fleet, plot, studies, tables, text
from piip_explore.dashboard.context import Context, next_steps, pinned, sentences
from piip_explore.dashboard.figures.study import hypervolume, importance, timeline
from piip_explore.dashboard.trials import Trials
from piip_explore.search import report
from piip_explore.search.storage import FAIL, RUNNING, STATES

MOST_ROWS = 1000
"""Rows of a table that is sent again whenever something changes."""

LOST = "lost with its search"
"""The state of a trial that a killed search left running; the next search queues it again."""


def show(context: Context) -> None:
    """Draw the page."""
    st.title("Search")
    control.starting(context)
    if context.source is None:
        next_steps(None)
    else:
        _live(context, context.source)
        _importance(context.source)
    first = context.source is None or context.source.example
    fields = st.expander(
        "Start a new study", expanded=first, icon=":material/rocket_launch:", key="new", on_change="rerun"
    )
    if fields.open:
        with fields, sentences():
            control.new(context)


def _importance(source: studies.Source) -> None:
    if not st.toggle("Which choices matter", **address.one("importance", [False, True], False)):
        return
    pin = pinned(source)
    table, trust, runs_used = _shares(source.label, pin.version, pin.trials)
    shares = dict(zip(table["axis"], table["score"], strict=True))
    plot.draw(importance(shares), "importance_chart", "Importance of the choices")
    st.caption(
        f"How much worse a random forest predicts the score when a choice is shuffled, from {runs_used} full runs. "
        f"{text.trust(trust)}"
    )


@st.cache_data(max_entries=4, show_spinner="Learning which choices matter")
def _shares(label: str, version: int, _trials: Trials) -> tuple[pd.DataFrame, float, int]:
    from piip_explore.search.importance import importance as learn

    table = learn(_trials.columns)
    return table, float(table.attrs["r2"]["score"]), int(table.attrs["trials"])


@dataclass(frozen=True)
class Snapshot:
    """What the page shows of a study at one moment."""

    counts: dict[str, int]
    conditions: str
    history: pd.DataFrame
    gpu_hours: float
    table: pd.DataFrame
    failures: pd.DataFrame
    workers: pd.DataFrame
    waiting: pd.DataFrame
    devices: pd.DataFrame
    bars: pd.DataFrame


@st.fragment(run_every=2.0)
def _live(context: Context, source: studies.Source) -> None:
    """Draw the current state; this part refreshes by itself."""
    with sentences():
        live = studies.open_live(source)
        version, trials = live.trials()
        held = live.held(str(worker.get("lease", "")) for worker in trials.workers)
        control.draw(context, source, trials, held)
        _draw(progress_of(source.label, version, held, trials))


def _draw(progress: Snapshot) -> None:
    _numbers(progress)
    st.caption(text.prose(progress.conditions))
    if len(progress.history):
        _hypervolume(progress.history)
    if len(progress.bars):
        plot.draw(timeline(progress.bars), "timeline", "Who ran which trial when")
    frames = {
        f"Workers ({len(progress.workers)})": (progress.workers, "No evaluation is running."),
        f"Waiting ({len(progress.waiting)})": (progress.waiting, "Nothing is waiting."),
        f"Devices ({len(progress.devices)})": (progress.devices, "No trial records where it ran."),
        f"Failures ({progress.counts['fail']})": (progress.failures, "No trial has failed."),
    }
    *tabs, everything = st.tabs([*frames, f"Trials ({sum(progress.counts.values()):,})"])
    for tab, (frame, nothing) in zip(tabs, frames.values(), strict=True):
        if len(frame):
            tab.dataframe(frame, hide_index=True)
        else:
            tab.caption(nothing)
    if len(progress.devices):
        tabs[2].caption(
            "A search stops using a device after a few failures in a row, and logs it. This table covers every device "
            "and all searches."
        )
    with everything:
        _trials(progress)


def _numbers(progress: Snapshot) -> None:
    counts = progress.counts
    with st.container(horizontal=True):
        st.metric("Full runs done", f"{counts['complete']:,}", border=True)
        if counts["pruned"]:
            st.metric("Shorter runs done", f"{counts['pruned']:,}", border=True)
        lost = int((progress.workers["state"] == LOST).sum())
        st.metric("Running", f"{counts['running'] - lost:,}", border=True)
        if lost:
            st.metric("Lost", f"{lost:,}", border=True, help="Their search was killed; the next one queues them again.")
        st.metric("Waiting", f"{counts['waiting']:,}", border=True)
        st.metric("Failed", f"{counts['fail']:,}", border=True)
        st.metric("Training time (h)", text.number(progress.gpu_hours, 3), border=True, help="All workers together.")
        if len(progress.history):
            st.metric(
                "Hypervolume",
                text.number(progress.history["hypervolume"].iloc[-1], 4),
                border=True,
                help="What the front dominates, in the objectives' own units, measured from the worst of the full "
                "runs. Compare it only within one study.",
            )


def _hypervolume(history: pd.DataFrame) -> None:
    choices = ["trials", "training time"]
    over = st.segmented_control("Over", choices, required=True, **address.one("over", choices, choices[0]))
    shown = history.assign(done=np.arange(1, len(history) + 1))
    column, label = ("done", "full runs") if over == "trials" else ("gpu_hours", "training time (h)")
    plot.draw(hypervolume(shown, column, label), "hypervolume", "Hypervolume over time")


def _trials(progress: Snapshot) -> None:
    table = progress.table
    tables.table(table, [str(trial) for trial in table["trial"]], "study_trials", "Trials of the study")
    total = sum(progress.counts.values())
    if len(table) < total:
        st.caption(
            f"The last {len(table):,} of {total:,} trials. "
            f"{text.command('piip-explore pareto --all-trials --out trials.csv')} writes them all."
        )


@st.cache_data(max_entries=4, show_spinner=False)
def progress_of(label: str, version: int, held: frozenset[str], _trials: Trials) -> Snapshot:
    """Return what the page shows of a study; `held` are the leases of searches that still run."""
    trials = _trials
    workers = _workers(trials, held)
    lost = workers.loc[workers["state"] == LOST, "trial"].to_numpy()
    return Snapshot(
        counts=report.counts(trials.columns),
        conditions=trials.conditions,
        history=report.history(trials.columns),
        gpu_hours=float(np.nansum(trials.floats("seconds")) / 3600),
        table=_table(trials, np.arange(len(trials))[::-1][:MOST_ROWS]),
        failures=_failures(trials),
        workers=workers,
        waiting=fleet.waiting(trials),
        devices=fleet.devices(trials),
        bars=fleet.timeline(trials, lost, np.datetime64(datetime.now(UTC).replace(tzinfo=None), "us")),
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


def _workers(trials: Trials, held: frozenset[str]) -> pd.DataFrame:
    rows = np.flatnonzero(trials.state == RUNNING)
    return pd.DataFrame(
        {
            "host": [str(worker.get("host", "?")) for worker in trials.workers],
            "device": [str(worker.get("device", "?")) for worker in trials.workers],
            "process": [str(worker.get("pid", "?")) for worker in trials.workers],
            "trial": rows,
            "since (UTC)": trials.columns.started[rows],
            "state": ["running" if worker.get("lease") in held else LOST for worker in trials.workers],
            "design": trials.designs[rows],
        }
    )
