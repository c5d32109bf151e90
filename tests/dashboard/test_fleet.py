"""Who runs a study's trials: lanes, devices and what waits, of a small study written by hand."""

from __future__ import annotations

import json

import numpy as np
import pytest

from piip_explore.dashboard import fleet
from piip_explore.dashboard.figures.study import timeline
from piip_explore.dashboard.trials import Trials, of
from piip_explore.search.columns import read
from tests.dashboard import synthetic

NOW = np.datetime64("2026-01-01T00:10:00", "us")


def at(second: int) -> str:
    return f"2026-01-01T00:{second // 60:02d}:{second % 60:02d}.000000"


@pytest.fixture(scope="module")
def trials(tmp_path_factory: pytest.TempPathFactory) -> Trials:
    """Two runs that overlap on one device, then one after them; a device that fails; one lost, running, waiting."""
    path = tmp_path_factory.mktemp("fleet") / "demo.journal"
    synthetic.write(path, "demo", 0)
    runs = [
        (1, "cpu", 0, 60, {}),
        (1, "cpu", 30, 90, {}),
        (1, "cpu", 70, 100, {}),
        (1, "cuda:0", 0, 10, {}),
        (3, "cuda:0", 20, 30, {"failure": "CUDA error"}),
        (3, "cuda:0", 40, 50, {"failure": "out of <b>memory"}),
        (0, "cpu", 200, None, {}),
        (0, "gone", 5, None, {}),
        (4, None, None, None, {"retry_of": 5, "interruptions": 2}),
    ]
    rng = np.random.default_rng(0)
    with path.open("a") as file:
        for number, (state, device, start, end, more) in enumerate(runs):
            worker = {"worker": {"host": "h", "pid": 1, "device": device, "lease": "x"} if device else None}
            line = synthetic.trial_line(
                number, synthetic.space().design(number), rng, state=state, user_attrs={**worker, **more},
                datetime_start=None if start is None else at(start), datetime_complete=None if end is None else at(end),
            )  # fmt: skip
            line["values"] = line["values"] if state == 1 else None
            file.write(json.dumps(line, separators=(",", ":")) + "\n")
    return of(read(path, "demo"), {})


def test_runs_that_overlap_lie_on_lanes_of_their_own(trials: Trials) -> None:
    bars = fleet.timeline(trials, np.array([7]), NOW).set_index("trial")
    assert bars["lane"].to_dict() == {
        0: "h cpu · 1", 1: "h cpu · 2", 2: "h cpu · 1", 3: "h cuda:0", 4: "h cuda:0", 5: "h cuda:0", 6: "h cpu · 1",
    }  # fmt: skip
    assert bars.loc[6, "what"] == "running"
    assert bars.loc[6, "end"] == NOW
    assert 7 not in bars.index, "of what is lost, nobody knows when it ended"


def test_a_device_that_only_fails_shows(trials: Trials) -> None:
    found = fleet.devices(trials).set_index("device")
    assert found.loc["h cuda:0", ["done", "failed", "running", "failed since a success"]].tolist() == [1, 2, 0, 2]
    assert found.loc["h cuda:0", "last failure"] == "out of <b>memory"
    assert found.loc["h cpu", ["done", "failed", "running", "failed since a success"]].tolist() == [3, 0, 1, 0]


def test_what_waits_says_what_it_repeats(trials: Trials) -> None:
    (record,) = fleet.waiting(trials).to_dict("records")
    assert (record["trial"], record["repeats trial"], record["interrupted"]) == (8, 5, 2)


def test_the_timeline_draws_every_run_once(trials: Trials) -> None:
    figure = timeline(fleet.timeline(trials, np.array([7]), NOW))
    drawn = sorted(number for trace in figure.data for number in trace.customdata)
    assert drawn == [0, 1, 2, 3, 4, 5, 6]
    failed = next(trace for trace in figure.data if trace.name == "failed")
    assert list(failed.x) == [10_000, 10_000]
