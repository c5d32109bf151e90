import io
import math
from types import SimpleNamespace

from rich.console import Console

from piip_explore.search import progress
from piip_explore.search.evaluators import Outcome, Place
from piip_explore.search.launch import Request
from piip_explore.search.progress import SearchProgress
from piip_explore.search.telling import Told, shown
from tests.search.replayed import Troubled, replayed_pool, start, supervised


def running(tmp_path):
    launch = start(
        replayed_pool(), Troubled({}), str(tmp_path / "s.journal"), "s", Request(trials=4, sampler="exhaustive")
    )
    supervisor = supervised(launch.study, Troubled({}), ["cpu", "cpu"])
    shown = SearchProgress(supervisor)
    for score in (40.0, 45.0):
        launch.study.complete(launch.study.next(Place("cpu")), Outcome("ok", score, None, 1800.0))
    supervisor.slots[0].task, supervisor.slots[0].share = launch.study.next(Place("cpu")), 0.5
    return supervisor, shown


def test_counts_say_done_running_left_hours_and_time(tmp_path, monkeypatch):
    supervisor, shown = running(tmp_path)
    clock = supervisor.began + 10
    monkeypatch.setattr(progress, "time", SimpleNamespace(monotonic=lambda: clock))
    shown.clock.ended(8.0, 2.0)
    supervisor.slots[0].trained = clock - 2.0
    text = shown.counts()
    assert text.startswith("2 done, 0 failed, 1 running, 1 left")
    assert "1.00 CPU-hours" in text
    assert "about 3 s to go" in text, "2.5 runs took 10 s of training, 1.5 are left for two workers"
    supervisor.stopping = 1
    assert "to go" not in shown.counts()


def test_counts_plan_for_every_rung(tmp_path):
    request = Request(trials=4, sampler="exhaustive", rungs=(0.5, 1.0))
    launch = start(replayed_pool(), Troubled({}), str(tmp_path / "s.journal"), "s", request)
    shown = SearchProgress(supervised(launch.study, Troubled({}), ["cpu"]))
    assert shown.counts().startswith("0 done, 0 failed, 0 running, 6 left"), "four short runs, two full ones"
    for _ in range(4):
        launch.study.complete(launch.study.next(Place("cpu")), Outcome("ok", 40.0, None, 60.0))
    launch.study.complete(launch.study.next(Place("cpu")), Outcome("diverged", math.nan, None, 60.0))
    assert shown.counts().startswith("4 done, 1 failed, 0 running, 1 left")
    launch.study.complete(launch.study.next(Place("cpu")), Outcome("ok", 40.0, None, 120.0))
    assert shown.counts().startswith("5 done, 1 failed, 0 running, 0 left"), "full runs count too"


def test_the_live_table_shows_workers_and_the_front(tmp_path):
    _, shown = running(tmp_path)
    console = Console(file=io.StringIO(), width=200)
    console.print(shown.table())
    text = console.file.getvalue()
    assert "cpu:  50% of vit" in text
    assert "cpu: idle" in text
    assert "front: score 45" in text


def test_without_a_terminal_there_is_a_last_line_and_no_escape(tmp_path):
    launch = start(replayed_pool(), Troubled({}), str(tmp_path / "s.journal"), "s", Request(trials=2, sampler="random"))
    console = Console(file=io.StringIO(), width=200)
    supervisor = supervised(launch.study, Troubled({}), ["cpu"])
    with shown(supervisor, Told(console)):
        supervisor.run()
    text = console.file.getvalue()
    assert "2 done, 0 failed, 0 running, 0 left" in text
    assert "\x1b" not in text


def test_a_stop_is_said_at_once(tmp_path):
    supervisor, _ = running(tmp_path)
    console = Console(file=io.StringIO(), width=200)
    with shown(supervisor, Told(console)):
        supervisor.report(supervisor)
        assert console.file.getvalue() == ""
        supervisor.stopping = 1
        supervisor.report(supervisor)
        supervisor.report(supervisor)
    assert console.file.getvalue().count("Stopping at the next step; Ctrl-C again stops at once.") == 1
