"""What a new user sees: commands run as processes, their output read, what they print run again."""

from __future__ import annotations

import json
import os
import re
import shlex
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from piip_explore.search.columns import read
from tests.search.replayed import until

ROOT = Path(__file__).parents[2]

SPACE = """
name: small
pool:
  models: ["vit[depth=6,dim=96,heads=3]", vit_tiny]
  branches: [2]
  resolutions: [112, 224, 336]
interactions: [2, 3]
"""


@pytest.fixture(scope="module")
def environment(tmp_path_factory):
    """Commands find `piip-explore`, this checkout and an empty cache that they share."""
    folder = tmp_path_factory.mktemp("first-day")
    program = folder / "bin" / "piip-explore"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -m piip_explore "$@"\n')
    program.chmod(0o755)
    return os.environ | {
        "PATH": f"{program.parent}:{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT),
        "PIIP_EXPLORE_CACHE": str(folder / "cache"),
        "CUDA_VISIBLE_DEVICES": "",
    }


@pytest.fixture
def run(tmp_path, environment):
    (tmp_path / "small.yaml").write_text(SPACE)

    def run(line: str, **more: str) -> subprocess.CompletedProcess[str]:
        words = shlex.split(line)
        return subprocess.run(words, cwd=tmp_path, env=environment | more, capture_output=True, text=True, check=False)

    return run


def printed(output: str, name: str) -> str:
    """Return the command that a search has printed behind `name`."""
    (command,) = re.findall(rf"^{name}: +(piip-explore .*)$", output, re.MULTILINE)
    return command


SEARCH = "piip-explore search small.yaml --workers 1 --devices cpu"


@pytest.mark.slow
def test_every_printed_command_works_as_pasted_and_a_study_keeps_its_settings(run, tmp_path):
    first = run(f"{SEARCH} --evaluator tests.search.own:twice --sampler random --seed 7 --trials 3 --study 'my first'")
    assert first.returncode == 0, first.stderr
    extend = printed(first.stdout, "Extend")
    assert "--workers 1 --devices cpu --trials 6" in extend
    second = run(extend)
    assert second.returncode == 0, second.stderr
    assert "Resuming study 'my first' (3 evaluations done)" in second.stdout
    assert "Sampler: random (as asked)" in second.stdout
    found = read(tmp_path / "studies/my first.journal", "my first")
    assert found.full.sum() == 6
    assert found.record["seed"] == 7
    assert found.record["evaluator"] == {"kind": "length", "scale": 2.0}
    third = run(f"{SEARCH} --study 'my first'")
    assert third.returncode == 0, third.stderr
    assert len(read(tmp_path / "studies/my first.journal", "my first")) == 6, "the study knows how many it evaluates"
    front = run(printed(second.stdout, "Front"))
    assert front.returncode == 0
    assert "knee" in front.stdout
    dashboard = shlex.split(printed(second.stdout, "Dashboard"))
    assert dashboard[2:] == ["--storage", "studies/my first.journal", "--study", "my first"]


def test_off_a_terminal_every_trial_has_one_line_and_a_log_has_them_too(run, tmp_path):
    done = run(f"{SEARCH} --evaluator tests.search.own:Length --trials 4 --log-file logs/s.log")
    assert done.returncode == 0, done.stderr
    lines = [line for line in done.stdout.splitlines() if line.startswith("trial ")]
    trials = [line for line in lines if re.match(r"trial \d+: score [\d.]+  gflops [\d.]+", line)]
    assert [int(line.split()[1].rstrip(":")) for line in trials] == [0, 1, 2, 3]
    assert trials[-1].endswith("[4 done, 0 to do]")
    assert "4 done, 0 failed, 0 running, 0 left" in done.stdout
    logged = (tmp_path / "logs/s.log").read_text().splitlines()
    assert [line[20:].partition("  [")[0] for line in logged] == [line.partition("  [")[0] for line in trials]
    quiet = run(f"{SEARCH} --trials 5 --quiet")
    assert quiet.returncode == 0, quiet.stderr
    assert quiet.stdout.startswith("trial  score")
    assert not re.search("New study|Sampler|Results|done", quiet.stdout)
    assert quiet.stderr == ""


@pytest.mark.slow
def test_a_design_that_cannot_be_trained_does_not_use_up_a_trial_and_is_listed(run, tmp_path):
    done = run(f"{SEARCH} --evaluator tests.search.own:refuses_some --sampler exhaustive --trials 2")
    assert done.returncode == 0, done.stderr
    found = read(tmp_path / "studies/small.journal", "small")
    assert found.full.sum() == 2
    assert re.search(r"failed \(infeasible: '.*@112 vit.*' has no eyes\)", done.stdout)
    for output in (done.stdout, run("piip-explore pareto small").stdout):
        assert re.search(r"\d designs? failed:\n  \d x infeasible: .* has no eyes \(trials? [\d, ]+\)", output)
    listed = run("piip-explore trials small --failed").stdout
    assert "has no eyes" in listed
    assert "complete" not in listed
    again = run(SEARCH)
    assert "Resuming study 'small' (2 evaluations done, " in again.stdout


@pytest.mark.parametrize(
    ("evaluator", "reason"), [("refuses_all", "has no eyes"), ("crashes_always", "RuntimeError: the disk is on fire")]
)
def test_when_everything_fails_the_reason_is_said_and_the_status_is_1(run, tmp_path, evaluator, reason):
    done = run(f"{SEARCH} --evaluator tests.search.own:{evaluator} --trials 1")
    assert done.returncode == 1
    (last,) = done.stderr.splitlines()
    assert last.startswith("piip-explore: ")
    assert reason in last
    (log,) = (tmp_path / "studies/small.journal.files/logs").iterdir()
    assert reason in log.read_text()
    front = run("piip-explore pareto small").stdout
    assert front.startswith("No design is evaluated in full yet.")
    assert re.search(r"\d designs? failed:\n", front)
    assert reason in front
    assert reason in json.loads(run("piip-explore pareto small --json").stdout)["failures"][0]["reason"]


def begin(folder: Path, environment: dict[str, str], line: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        shlex.split(line),
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # a shell's background jobs ignore it
    )


@pytest.mark.parametrize("evaluator", ["Waiting", "Silent"])
def test_ctrl_c_ends_a_search_soon_once_and_what_it_prints_resumes_it(run, tmp_path, environment, evaluator):
    line = f"{SEARCH} --evaluator tests.search.own:{evaluator} --trials 2"
    search = begin(tmp_path, environment, line)
    until((tmp_path / "begun").exists)
    search.send_signal(signal.SIGINT)
    out, err = search.communicate()
    assert search.returncode == 1
    assert out.count("Stopping") == 1
    assert "nothing that was finished is lost" in out
    assert err == ""
    if evaluator == "Waiting":
        (tmp_path / "open").touch()
        resumed = run(printed(out, "Resume"))
        assert resumed.returncode == 0, resumed.stderr
        assert read(tmp_path / "studies/small.journal", "small").full.sum() == 2


def test_ctrl_c_ends_the_command_that_scores_a_design(tmp_path, environment):
    (tmp_path / "small.yaml").write_text(SPACE)
    note = tmp_path / "note"
    command = f"sh -c 'echo $$ > {note}.part && mv {note}.part {note} && exec sleep 3600'"
    search = begin(tmp_path, environment, f"{SEARCH} --trials 1 --evaluator-command {shlex.quote(command)}")
    until(note.exists)
    process = psutil.Process(int(note.read_text()))
    search.send_signal(signal.SIGINT)
    out, err = search.communicate()
    assert (search.returncode, out.count("Stopping"), err) == (1, 1, "")
    try:
        until(lambda: not process.is_running())
    finally:
        with suppress(psutil.NoSuchProcess):
            process.kill()


@pytest.mark.skipif(not Path("/proc/self/maps").exists(), reason="only Linux tells what a process has loaded")
def test_ctrl_c_while_pytorch_is_loaded_is_one_line(tmp_path, environment):
    (tmp_path / "small.yaml").write_text(SPACE)
    search = begin(tmp_path, environment, f"{SEARCH} --preset demo")
    until(lambda: "libtorch" in Path(f"/proc/{search.pid}/maps").read_text())
    search.send_signal(signal.SIGINT)
    out, err = search.communicate()
    assert (search.returncode, out, err.strip()) == (1, "", "piip-explore: interrupted")


REFUSED = """
import sys
sys.modules["torch"] = None  # an import of it fails
from piip_explore.cli import main
for words in (
    ["--seed", "12345678901234567890"],
    ["--sampler", "bo"],
    ["--preset", "nope"],
    ["--devices", "mps"],
    ["--study", "a/b"],
    ["--study", ".."],
    ["--objectives", "score,speed"],
    ["--rungs", "1/3"],
    ["--task", "classification"],
):
    try:
        main(["search", "small.yaml", *words])
    except SystemExit as stop:
        assert stop.code == 2, (words, stop.code)
    else:
        raise AssertionError(words)
"""


def test_options_are_checked_before_pytorch_is_loaded(tmp_path, environment):
    (tmp_path / "small.yaml").write_text(SPACE)
    command = [sys.executable, "-c", REFUSED]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    refusals = done.stderr.splitlines()
    assert len(refusals) == 9
    for line, words in zip(
        refusals,
        (
            "0<=x<=4294967295",
            "unknown sampler 'bo'",
            "unknown preset 'nope'",
            "unknown device 'mps'",
            "study name 'a/b'",
            "study name '..'",
            "unknown objective 'speed'",
            "rungs 0.333333: expected rising shares of a full run that end with 1",
            "merge=conv cannot be trained for classification",
        ),
        strict=True,
    ):
        assert words in line
    assert [path.name for path in tmp_path.iterdir()] == ["small.yaml"]
