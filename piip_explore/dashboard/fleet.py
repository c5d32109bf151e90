"""Who runs a study's trials: a timeline of workers, what every device did, and what waits."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pandas as pd

from piip_explore.dashboard.trials import Trials
from piip_explore.search.storage import COMPLETE, FAIL, PRUNED, RUNNING, WAITING

MOST_BARS = 400
"""Runs on the timeline, the newest."""

NAMES = {COMPLETE: "full run", PRUNED: "shorter run", FAIL: "failed", RUNNING: "running"}


def timeline(trials: Trials, lost: npt.NDArray[np.int64], now: np.datetime64) -> pd.DataFrame:
    """Return the newest runs: `lane`, `start`, `end` (UTC), `what`, `trial` and `design`, by the time of their start.

    A lane is one worker of a device: runs that overlap on a device are on several. What runs still ends `now`; of what
    is `lost`, nobody knows when it ended, and it is left out.
    """
    started = trials.columns.started
    rows = np.flatnonzero(np.isin(trials.state, list(NAMES)) & ~np.isnat(started))
    rows = rows[~np.isin(rows, lost)]
    rows = rows[np.argsort(started[rows], kind="stable")][-MOST_BARS:]
    ended = np.where(trials.state[rows] == RUNNING, now, trials.columns.completed[rows])
    known = ~np.isnat(ended)
    rows, ended = rows[known], ended[known]
    devices = np.array([device_of(worker) for worker in trials.texts("worker")[rows]], dtype=object)
    return pd.DataFrame(
        {
            "lane": lanes(devices, started[rows], ended),
            "start": started[rows],
            "end": ended,
            "what": [NAMES[state] for state in trials.state[rows].tolist()],
            "trial": rows,
            "design": trials.labels(rows),
        }
    )


def device_of(worker: object) -> str:
    """Return host and device of who ran a trial, as far as they are known."""
    known = worker if isinstance(worker, dict) else {}
    return f"{known.get('host', '?')} {known.get('device', '?')}"


def lanes(
    devices: npt.NDArray[np.object_], start: npt.NDArray[np.datetime64], end: npt.NDArray[np.datetime64]
) -> list[str]:
    """Return the lane of every run, given in the order of their starts: the first of its device that is free."""
    free: dict[str, list[np.datetime64]] = {}
    found = []
    for device, begins, ends in zip(devices, start, end, strict=True):
        until = free.setdefault(device, [])
        place = next((place for place, busy in enumerate(until) if busy <= begins), len(until))
        until[place : place + 1] = [ends]
        found.append((device, place))
    return [device if len(free[device]) == 1 else f"{device} · {place + 1}" for device, place in found]


def devices(trials: Trials) -> pd.DataFrame:
    """Return a row per device: runs done, failed and under way, failures since its last success, and the last reason.

    A device that only fails is one to look at: a search stops using it after a few failures in a row.
    """
    workers = trials.texts("worker")
    rows = np.argsort(trials.columns.completed, kind="stable")  # what has not ended comes last
    rows = rows[np.isin(trials.state[rows], list(NAMES)) & pd.notna(workers[rows])]
    state, names = trials.state[rows], [device_of(worker) for worker in workers[rows]]
    runs = pd.DataFrame({"device": names, "failed": state == FAIL, "running": state == RUNNING})
    runs.insert(1, "done", ~runs["failed"] & ~runs["running"])
    runs["failed since a success"] = runs["failed"] & ~runs[::-1].groupby("device")["done"].cummax()
    frame = runs.groupby("device", sort=False, as_index=False).sum()
    if runs["failed"].any():
        failed = runs["failed"].to_numpy()
        reasons = dict(zip(runs["device"][failed], trials.texts("failure")[rows][failed], strict=True))
        frame["last failure"] = [reasons.get(name) for name in frame["device"]]
    return frame


def waiting(trials: Trials) -> pd.DataFrame:
    """Return what is queued and why: trials that wait, the trial each repeats, and how often it was interrupted."""
    rows = np.flatnonzero(trials.state == WAITING)
    return pd.DataFrame(
        {
            "trial": rows,
            "fidelity": trials.columns.fidelity[rows],
            "repeats trial": trials.floats("retry_of")[rows],
            "interrupted": trials.floats("interruptions")[rows],
            "design": trials.designs[rows],
        }
    ).dropna(axis=1, how="all")
