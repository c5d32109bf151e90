import io
from types import SimpleNamespace

from rich.console import Console

from piip_explore.search import progress
from piip_explore.search.evaluators import Outcome
from piip_explore.search.launch import Request
from piip_explore.search.progress import Progress
from piip_explore.search.supervisor import Supervisor
from tests.search.replayed import Troubled, replayed_pool, start


def running(tmp_path):
    launch = start(
        replayed_pool(), Troubled({}), str(tmp_path / "s.journal"), "s", Request(trials=4, sampler="exhaustive")
    )
    supervisor = Supervisor(launch.study, Troubled({}), ["cpu", "cpu"])
    shown = Progress(supervisor)
    for score in (40.0, 45.0):
        launch.study.complete(launch.study.next("cpu"), Outcome("ok", score, None, 1800.0))
    supervisor.slots[0].task, supervisor.slots[0].share = launch.study.next("cpu"), 0.5
    return supervisor, shown


def test_counts_say_done_running_left_hours_and_time(tmp_path, monkeypatch):
    supervisor, shown = running(tmp_path)
    monkeypatch.setattr(progress, "time", SimpleNamespace(monotonic=lambda: supervisor.began + 10))
    text = shown.counts()
    assert text.startswith("2 done, 0 failed, 1 running, 1 left")
    assert "1.00 CPU-hours" in text
    assert "about 6 s to go" in text, "2.5 of 4 runs took 10 s"
    supervisor.stopping = 1
    assert "to go" not in shown.counts()


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
    supervisor = Supervisor(launch.study, Troubled({}), ["cpu"])
    with progress.shown(supervisor, console):
        supervisor.run()
    text = console.file.getvalue()
    assert "2 done, 0 failed, 0 running, 0 left" in text
    assert "\x1b" not in text


def test_a_stop_is_said_at_once(tmp_path):
    supervisor, _ = running(tmp_path)
    console = Console(file=io.StringIO(), width=200)
    with progress.shown(supervisor, console):
        supervisor.report(supervisor)
        assert console.file.getvalue() == ""
        supervisor.stopping = 1
        supervisor.report(supervisor)
        supervisor.report(supervisor)
    assert console.file.getvalue().count("Stopping at the next step; Ctrl-C again stops at once.") == 1
