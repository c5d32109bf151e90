"""A small package that adds a branch model, an evaluator and a proxy task, installed and used as a user would."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.commands import ROOT, run_all

PACKAGE = Path(__file__).parent / "package"
DESIGN = "pool_tiny@64 vit[depth=4,dim=64,heads=2]@32; interactions=2; merge=linear"
SPACE = """
name: own
branches:
  - {models: [pool_tiny], resolutions: [64, 96]}
  - {models: ["vit[depth=4,dim=64,heads=2]"], resolutions: [32]}
interactions: [2]
merge: [linear]
"""

TRAIN = """
import sys
from dataclasses import replace
from piip_explore import proxy
from piip_explore.design import Design

preset = replace(proxy.preset("demo/background"), samples=64, train_images=64, val_images=32)
score = proxy.evaluate(Design.parse(sys.argv[1]), preset, device="cpu")
print(score.status, score.value, preset.task.metric, preset.hash != proxy.preset("demo").hash)
"""

REFUSED = {
    "a block that is not what it says": (
        ["cost", "liar@64"],
        "liar_modules': block 1 gives a map of (16, 6, 6), expected (16, 8, 8)",
    ),
    "a module that is not there": (["cost", "broken@64"], "(explore_example.nothing:broken): ModuleNotFoundError: "),
    "too few pixels": (["cost", "pool_tiny@28"], "'pool_tiny@28': 'pool_tiny' needs at least 32 pixels"),
    "windows": (["cost", "pool_tiny@64:w2"], "'pool_tiny' has no attention windows: drop ':w2'"),
    "a slip": (["cost", "pool_tinny@64"], "unknown model 'pool_tinny': did you mean 'pool_tiny'?"),
    "the authors' code": (
        ["export", DESIGN, "--target", "official-detection", "--out", "x"],
        "it has no class for 'pool_tiny@64'",
    ),
    "an evaluator": (["search", "own.yaml", "--evaluator", "nope"], "or an entry point (depth-of-blocks)"),
    "a task": (
        ["search", "own.yaml", "--preset", "demo/nope"],
        "offers 'nope' as an entry point of piip_explore.tasks: expected one of background",
    ),
}
WANTED = {
    "models": ["models", "--json"],
    "cost": ["cost", "pool_tiny@64", "--accounting", "built", "--json"],
    "cost of a pyramid": ["cost", DESIGN],
    "search": ["search", "own.yaml", "--evaluator", "depth-of-blocks", "--devices", "cpu", "--workers", "1", "--json"],
}


@pytest.fixture(scope="module")
def environment(tmp_path_factory):
    """An environment where the package is installed, in a folder of its own."""
    folder = tmp_path_factory.mktemp("installed")
    source = shutil.copytree(PACKAGE, tmp_path_factory.mktemp("source") / "package")
    install = [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--no-build-isolation", "--target", folder]
    subprocess.run([*install, source], check=True)
    path = os.pathsep.join([str(folder), str(ROOT), os.environ.get("PYTHONPATH", "")])
    return {**os.environ, "PYTHONPATH": path}


@pytest.fixture(scope="module")
def answers(environment, tmp_path_factory):
    """The answer of every command."""
    folder = tmp_path_factory.mktemp("work")
    (folder / "own.yaml").write_text(SPACE)
    commands = WANTED | {name: arguments for name, (arguments, _) in REFUSED.items()}
    return dict(zip(commands, run_all(commands.values(), folder, environment=environment), strict=True))


def block(dim, side):
    """Multiply-accumulates of a 3x3 depth-wise and a 1x1 convolution, and of their biases (docs/accounting.md)."""
    return (9 * dim + dim + dim * dim + dim) * side**2


def test_its_branch_is_named_and_costed_by_the_same_trace(answers):
    assert json.loads(answers["models"].out)["pool_tiny"]["dims"] == [16, 32, 64, 128]
    assert "explore_example.nothing" in answers["models"].err, "one that is broken hides no other"
    stem = (3 * 4 * 4 + 1) * 16 * 16**2
    halving = sum((4 * dim // 2 + 1) * dim * side**2 for dim, side in ((32, 8), (64, 4), (128, 2)))
    blocks = block(16, 16) + block(32, 8) + 2 * block(64, 4) + block(128, 2)
    assert json.loads(answers["cost"].out)["macs"] == stem + halving + blocks
    assert answers["cost of a pyramid"].status == 0


def test_its_evaluator_scores_designs_with_its_branch(answers):
    assert answers["search"].status == 0, answers["search"].err
    result = json.loads(answers["search"].out)
    assert result["record"]["evaluator"]["kind"] == "blocks"
    assert {row["score"] for row in result["front"]} == {12.0}, "8 blocks, layers that halve counted, and 4"


def test_its_task_trains_designs_with_its_branch(environment, tmp_path):
    design = "pool_tiny@448 vit_tiny@224; interactions=3; merge=linear"
    command = [sys.executable, "-c", TRAIN, design]
    done = subprocess.run(command, env=environment, cwd=tmp_path, check=True, capture_output=True, text=True)
    status, value, metric, other = done.stdout.split()
    assert (status, metric, other) == ("ok", "closeness", "True")
    assert 30 < float(value) < 100


@pytest.mark.parametrize("what", REFUSED)
def test_what_does_not_fit_is_one_sentence(answers, what):
    assert answers[what].status == 2
    assert REFUSED[what][1] in answers[what].err
    assert len(answers[what].err.strip().splitlines()) == 1
