"""The day with a GPU: its dry run on the CPU, what it resumes, and what it says."""

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from benchmarks import gpu_day, kernel_launch
from benchmarks.gpu_day import Step

ROOT = Path(__file__).parents[2]


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.skipif(shutil.which("make") is None, reason="make is not installed")
def test_the_dry_run_goes_through_every_step(tmp_path):
    command = ["make", "gpu", "DEVICE=cpu", f"GPU_PYTHON={sys.executable}", f"GPU_OUT={tmp_path}"]
    for _ in range(2):
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr
    assert " ...\n" not in done.stdout  # the second found everything done
    page = (tmp_path / "summary.md").read_text()
    for step in gpu_day.toy_steps(tmp_path):
        assert f"| {step.name} | done |" in page
    for name in (
        "kernel-check-*.csv",
        "kernel-launch-*.csv",
        "proxy-step-demo.csv",
        "proxy-throughput-demo.csv",
        "validate/statistics.json",
    ):
        assert list(tmp_path.glob(name)), name


def script(name, code, needs=()):
    return Step(name, f"Does {name} work?", tuple(needs), ("-c", code))


def day(monkeypatch, out, steps, *more):
    monkeypatch.setattr(gpu_day, "toy_steps", lambda out: steps)
    return gpu_day.main(["--device", "cpu", "--out", str(out), *more])


def test_a_step_that_fails_or_lacks_wheels_does_not_stop_the_others(monkeypatch, tmp_path):
    steps = [
        script("bad", "print('before'); raise ValueError('broken')"),
        script("bare", "", needs=["no_such_module"]),
        script("good", "print('measured')"),
    ]
    assert day(monkeypatch, tmp_path, steps) == 1
    page = (tmp_path / "summary.md").read_text()
    assert "| bad | failed: exit status 1 |" in page
    assert "    ValueError: broken" in page
    assert "| bare | lacks wheels: no module no_such_module |" in page
    assert "Modules without a wheel here: no_such_module." in page
    assert "| good | done |" in page
    assert "    measured" in page


def test_what_ended_is_not_repeated_and_what_was_cut_off_is(monkeypatch, tmp_path):
    count = "from pathlib import Path; p = Path({!r}); p.open('a').write('x'); "
    steps = [
        script("first", count.format(str(tmp_path / "first"))),
        script("second", count.format(str(tmp_path / "second")) + f"raise SystemExit({gpu_day.UNFINISHED})"),
        script("third", count.format(str(tmp_path / "third")) + "import time; time.sleep(600)"),
    ]
    monkeypatch.setattr(gpu_day, "LIMIT", 10)
    for _ in range(2):
        assert day(monkeypatch, tmp_path, steps) == 1
    assert [(tmp_path / step.name).read_text() for step in steps] == ["x", "xx", "xx"]
    page = (tmp_path / "summary.md").read_text()
    assert "| second | unfinished: exit status 3 |" in page
    assert "| third | unfinished: cut off after 10 s |" in page


def test_a_step_ends_with_the_day_that_started_it(tmp_path):
    """Terminated from outside: no orphan holds the GPU, and the summary says what was interrupted."""
    sleeper = "import os, time; open({!r}, 'w').write(str(os.getpid())); time.sleep(600)".format(str(tmp_path / "pid"))
    code = f"""
from pathlib import Path
from benchmarks import gpu_day, kernel_launch
gpu_day.toy_steps = lambda out: [gpu_day.Step("sleep", "?", (), ("-c", {sleeper!r}))]
raise SystemExit(gpu_day.main(["--device", "cpu", "--out", {str(tmp_path)!r}]))
"""
    day = subprocess.Popen([sys.executable, "-c", code], cwd=ROOT)
    while not ((tmp_path / "pid").exists() and (tmp_path / "pid").read_text()):
        assert day.poll() is None
        time.sleep(0.05)
    day.terminate()
    assert day.wait() == 1
    with pytest.raises(ProcessLookupError):
        os.kill(int((tmp_path / "pid").read_text()), 0)
    assert "| sleep | interrupted |" in (tmp_path / "summary.md").read_text()


def test_time_that_is_up_leaves_the_rest_for_the_next_run(monkeypatch, tmp_path, capsys):
    steps = [script("first", ""), script("second", "")]
    assert day(monkeypatch, tmp_path, steps, "--minutes", "0") == 1
    assert "time is up" in capsys.readouterr().out
    assert day(monkeypatch, tmp_path, steps, "--step", "second") == 0
    assert "| first | not run yet |" in (tmp_path / "summary.md").read_text()


def test_bad_arguments_are_named(monkeypatch, tmp_path, capsys):
    assert day(monkeypatch, tmp_path, [script("first", "")], "--step", "fist") == 2
    assert "no step begins with 'fist': first" in capsys.readouterr().err
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert gpu_day.main(["--out", str(tmp_path)]) == 2
    assert "make gpu DEVICE=cpu is a dry run" in capsys.readouterr().err


def test_every_step_on_a_gpu_names_what_exists(tmp_path):
    """Options and modules of the steps that no dry run starts."""
    for step in gpu_day.steps(tmp_path, "cuda"):
        assert not gpu_day.missing([name for name in step.needs if name != "iopath"])
        if step.arguments[1].startswith("benchmarks."):
            module = __import__(step.arguments[1], fromlist=["main"])
            with pytest.raises(SystemExit) as ended:
                module.main([*step.arguments[2:], "--help"])
            assert ended.value.code == 0


def test_the_summary_holds_a_launch_steps_ranking_whole():
    """Its fastest program stands first."""
    others = ("gathering", "ordered")
    counts = {name: len(kernel_launch.PROGRAMS) + len(ways) for name, ways in kernel_launch.LAYOUTS.items()}
    counts["value_gradient"] += len(others)
    shapes, heading = 2, 1
    assert shapes * (heading + max(counts.values())) <= gpu_day.TAIL
