from __future__ import annotations

import json
import time

import pytest
import torch

from piip_explore import Design
from piip_explore.cli import main
from piip_explore.cost import count, traffic
from piip_explore.device import profile
from piip_explore.device.profile import WARM_UP, _time
from piip_explore.errors import InputError

DESIGN = Design.parse("vit[depth=1,dim=32,heads=2]@64 vit[depth=1,dim=64,heads=2]@32; interactions=1; heads=2")


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_profile_says_what_it_measured(dtype: str) -> None:
    made = profile(DESIGN, device="cpu", batch=2, dtype=dtype, steps=4)
    assert (made.id, made.batch, made.dtype, made.backend) == (DESIGN.id, 2, dtype, "torch")
    cost, elements = count(DESIGN, "built"), traffic(DESIGN)
    assert (made.macs, made.params) == (cost.macs, cost.params)
    assert (made.activations, made.moved) == (elements.activations, elements.moved)
    assert made.training is not None
    for timing in (made.forward, made.training):
        assert 0 < timing.median <= timing.p95
        assert timing.throughput == pytest.approx(2 / timing.median)
        assert timing.steps == 4
        assert timing.peak_memory is None


def test_times_are_those_of_the_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    now, steps = [0.0], []

    def step() -> None:
        steps.append(len(steps))
        now[0] += 1.0 if len(steps) == WARM_UP + 10 else 0.25

    monkeypatch.setattr(time, "perf_counter", lambda: now[0])
    timing = _time(step, torch.device("cpu"), 8, steps=10, seconds=60)
    assert len(steps) == WARM_UP + 10
    assert (timing.median, timing.throughput, timing.steps) == (0.25, 32, 10)
    assert 0.25 < timing.p95 < 1
    assert _time(step, torch.device("cpu"), 8, steps=10**6, seconds=0).steps == 3
    assert _time(step, torch.device("cpu"), 8, steps=10**6, seconds=10).steps == 40


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"dtype": "int8"}, "dtype 'int8'"),
        ({"device": "tpu"}, "device 'tpu'"),
        ({"device": "mps"}, "unknown device 'mps'"),
        ({"device": "cuda:99"}, "CUDA devices"),
        ({"batch": 0}, "batch 0"),
        ({"batch": 10**9, "device": "cpu"}, "batch 1000000000 of .* does not fit into the memory of cpu: lower it"),
    ],
)
def test_bad_input(options: dict[str, object], words: str) -> None:
    with pytest.raises(InputError, match=words):
        profile(DESIGN, **options)  # type: ignore[arg-type]


def test_command(capsys: pytest.CaptureFixture[str]) -> None:
    main(["profile", str(DESIGN), "--device", "cpu", "--steps", "2", "--forward-only", "--json"])
    made = json.loads(capsys.readouterr().out)
    assert made["training"] is None
    assert made["forward"]["steps"] == 2
    main(["profile", str(DESIGN), "--device", "cpu", "--steps", "2"])
    out = capsys.readouterr().out
    assert "deformable attention: torch backend" in out
    assert "training" in out
    assert f"{made['activations'] / 1e6:.3f} M activations" in out


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="measures a CUDA device; there is none")
def test_gpu_memory_is_counted_and_training_takes_more() -> None:
    made = profile(Design.parse("vit_tiny@448 vit_small@224"), device="cuda", batch=4, dtype="bfloat16", steps=5)
    assert made.training is not None
    assert made.forward.peak_memory is not None
    assert made.training.peak_memory is not None
    assert 0 < made.forward.peak_memory < made.training.peak_memory
