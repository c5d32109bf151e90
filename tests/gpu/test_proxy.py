"""A proxy run on a GPU, in a process where CUDA has not been initialised."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

RUN = """
import dataclasses, json, sys
from piip_explore import Design, proxy
shrink = proxy.Shrink(resolution=28, width=16, patch=4, depth=6)
sizes = {"size": 32, "train_images": 16, "val_images": 8, "samples": int(sys.argv[2]), "batch": 8}
preset = dataclasses.replace(proxy.preset("demo"), name="tiny", shrink=shrink, **sizes)
score = proxy.evaluate(Design.parse("vit_tiny@896 vit_small@448; interactions=6"), preset, device=sys.argv[1])
print(json.dumps(score.to_dict()))
"""


def score_on(device, step="auto", samples=16):
    """The score, and what was said."""
    done = subprocess.run(
        [sys.executable, "-c", RUN, device, str(samples)],
        cwd=Path(__file__).parents[2],
        env={**os.environ, "PIIP_EXPLORE_STEP": step},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1]), done.stderr


def test_a_first_run_counts_its_memory_and_flops():
    score, _ = score_on("cuda")
    assert score["status"] == "ok"
    assert 0 < score["peak_memory"] < 2**30
    assert score["details"]["TFLOP/s"] > 0
    assert score["conditions"]["backend"] == "triton"


def test_steps_from_a_cuda_graph_train_like_plain_ones():
    """After ten steps, seven of them replayed; what differs is the order in which atomics add."""
    plain, lean, graphed = (score_on("cuda", step, samples=80) for step in ("plain", "lean", "graphed"))
    assert "CUDA graph" not in graphed[1], "the check before the first replay found the graph wrong"
    for score, _ in (lean, graphed):
        assert score["train_loss"][-1][1] == pytest.approx(plain[0]["train_loss"][-1][1], rel=0.02)
        assert score["value"] == pytest.approx(plain[0]["value"], rel=0.1)
