"""Trainings of a user's own that are killed in the middle and resume, by command and by evaluator."""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from piip_explore.search import custom
from piip_explore.search.columns import read
from piip_explore.search.launch import Request
from tests.search.replayed import replayed_pool, start, supervised, until
from tests.search.test_cli import TINY

ROOT = Path(__file__).parents[2]

TRAINING = '''
"""Trains the exported design for a few steps on noise; every step is kept."""
import json, sys
from pathlib import Path

import torch
import yaml

from piip_explore.design import Design
from piip_explore.models import build

config, out = Path(sys.argv[1]), Path(sys.argv[2])
design = Design.parse(yaml.safe_load(config.read_text())["design"])
torch.manual_seed(0)
model = build(design)
optimiser = torch.optim.SGD(model.parameters(), 1e-3)
kept, done = out / "kept.pt", 0
if kept.exists():
    state = torch.load(kept)
    model.load_state_dict(state["model"])
    done = state["done"]
for step in range(done, 6):
    maps = model(torch.randn(1, 3, design.resolution, design.resolution))
    loss = sum(level.square().mean() for level in maps)
    optimiser.zero_grad()
    loss.backward()
    optimiser.step()
    torch.save({"model": model.state_dict(), "done": step + 1}, out / "new.pt")
    (out / "new.pt").rename(kept)
    with (out / "steps").open("a") as steps:
        steps.write(f"{step}\\n")
    while step == 2 and not Path("go").exists():  # until it is killed here
        pass
(out / "metrics.json").write_text(json.dumps({"score": -float(loss.detach())}))
'''


@pytest.mark.slow
def test_a_training_on_exported_configs_that_is_killed_resumes_where_it_was(tmp_path):
    (tmp_path / "tiny.yaml").write_text(TINY.replace("tiny-for-tests", "demo"))
    (tmp_path / "mine.py").write_text(TRAINING)
    scores = shlex.join([sys.executable, "mine.py", "{config}", "{out}"])
    search = [sys.executable, "-m", "piip_explore", "search", "tiny.yaml", "--workers", "1", "--devices", "cpu"]
    search += ["--evaluator-command", scores]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(search, cwd=tmp_path, env=environment, stdout=subprocess.DEVNULL) as process:
        until(lambda: any(path.read_text().count("\n") == 3 for path in tmp_path.rglob("out/steps")))
        everything = [psutil.Process(process.pid), *psutil.Process(process.pid).children(recursive=True)]
        for one in everything:
            one.kill()
    psutil.wait_procs(everything)
    (tmp_path / "go").touch()
    subprocess.run(search, cwd=tmp_path, env=environment, check=True, stdout=subprocess.DEVNULL)
    (steps,) = tmp_path.rglob("out/steps")
    assert steps.read_text().split() == ["0", "1", "2", "3", "4", "5"], "none is lost, none repeated"
    study = read(tmp_path / "studies" / "tiny.journal", "tiny")
    assert study.full.sum() == 1
    assert study.values[study.full][0][0] < 0


EVALUATOR = '''
"""An evaluator that keeps how far it is, and whose first process ends in the middle."""
import os, signal
from dataclasses import dataclass

from piip_explore.search.evaluators import Outcome


@dataclass(frozen=True)
class Training:
    def describe(self):
        return {"kind": "own training"}

    def conditions(self, device):
        return {"code_version": "1", "kernel_backend": "none"}

    def evaluate(self, task, progress):
        task.checkpoints.mkdir(parents=True, exist_ok=True)
        kept = task.checkpoints / f"{task.design_id}.steps"
        while (done := len(kept.read_text()) if kept.exists() else 0) < 4:
            with kept.open("a") as steps:
                steps.write("x")
            progress(done / 4)
            if done == 1:
                os.kill(os.getpid(), signal.SIGKILL)
        return Outcome("ok", float(done), None, 0.1)
'''


def test_an_evaluator_whose_process_is_killed_gets_its_folder_again(tmp_path, monkeypatch):
    (tmp_path / "own_training.py").write_text(EVALUATOR)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path), str(ROOT)]))
    scores, path = custom.load("own_training:Training"), tmp_path / "s.journal"
    study = start(replayed_pool(), scores, str(path), "s", Request(trials=2, sampler="random")).study
    assert supervised(study, scores, ["cpu"]).run()
    found = read(path, "s")
    assert found.values[found.full][:, 0].tolist() == [4.0, 4.0]
    reason = f"the worker process died of {signal.SIGKILL.name}"
    assert found.attributes["failure"].dropna().tolist() == [reason, reason]
    assert [len(steps.read_text()) for steps in study.checkpoints.glob("*.steps")] == [4, 4]
