"""Measuring on this machine: real parts and designs, small ones."""

import json
import os
from dataclasses import replace
from unittest.mock import Mock

import numpy as np
import pytest
import torch

from piip_explore import Design, SearchSpace, catalog
from piip_explore.cli import main
from piip_explore.cost.table import enumerate_space
from piip_explore.errors import InputError
from piip_explore.latency import load, measure, runners
from piip_explore.latency.device_profile import path_of
from piip_explore.latency.kinds import Gather, Stem, ViTBlock
from piip_explore.latency.networks import network
from piip_explore.latency.plan import Point
from piip_explore.latency.runners import Runner
from piip_explore.models import program
from tests.damage import damaged

SPACE = """
name: tiny
branches:
  - {models: ["vit[depth=2,dim=32,heads=2]"], resolutions: [64, 96, 112], windows: [none, w3]}
  - {models: ["vit[depth=2,dim=64,heads=2]", "convnext[depths=1-1-2-1,dims=32-32-64-96]"], resolutions: [32, 48]}
interactions: [1, 2]
heads: 2
merge: [linear, conv]
constraints: {decreasing_resolution: yes}
"""
DESIGNS = [
    Design.parse("vit[depth=2,dim=32,heads=2]@80:w3 vit[depth=2,dim=64,heads=2]@48; interactions=2; heads=2"),
    Design.parse(
        "convnext[depths=1-1-2-1,dims=32-32-64-96]@64 vit[depth=2,dim=64,heads=2]@48; interactions=1; heads=2; "
        "merge=linear"
    ),
]


@pytest.fixture
def work():
    return measure.plan(enumerate_space(SearchSpace.parse(SPACE, "test")), 12)


def runner(backend="eager", name="here", device="cpu"):
    return Runner(torch.device(device), torch.float32, 1, backend, 1, measure.folder_of(name))


class Killed(BaseException):
    pass


def test_a_measuring_resumes_after_a_kill_and_repeats_nothing(work):
    visited = []

    def kill(number, done, visits, seconds):
        visited.append((number, done))
        if len(visited) == 31:
            raise Killed

    with pytest.raises(Killed):
        measure.measure(work, "tiny", runner(), "here", 0, kill)
    assert not path_of("here").exists()
    before = path_of("here").with_suffix(".measuring").read_bytes()
    assert before.count(b"\n") == 1 + 30

    more = []
    made = measure.measure(work, "tiny", runner(), "here", 0, lambda *at: more.append(at[:2]))
    assert visited[-1] == more[0] == (1, 30)
    assert len(more) == len(work.keys) - 30, "one whole round, what was done is not done again"
    assert made.rounds == 1
    assert sum(len(times) for times in made.parts.values()) == len(work.parts)
    assert load("here").model.factors == made.factors
    assert (made.error.designs, len(made.designs)) == (4, 12)
    assert np.isfinite([made.error.mape, made.error.worst, made.error.tau]).all()
    assert all(seconds > 0 for times in made.parts.values() for seconds in times.values())
    assert not path_of("here").with_suffix(".measuring").exists()
    with pytest.raises(InputError, match=r"'devices/here.json' exists: choose another --name"):
        measure.measure(work, "tiny", runner(), "here", 0)


def test_too_few_designs_are_no_calibration(work):
    table = enumerate_space(SearchSpace.parse(SPACE, "test"))
    with pytest.raises(InputError, match="11 whole designs: expected at least 12"):
        measure.plan(table, 11)
    with pytest.raises(InputError, match="the space has only 96 designs"):
        measure.plan(table, 500)


def test_every_kind_of_part_runs(work):
    kinds = {}
    for point in work.parts.values():
        kinds.setdefault(type(point.kind), point)
    assert len(kinds) == 7
    for point in kinds.values():
        module, inputs = network(point, 2, torch.device("cpu"), torch.float32)
        out = module(*inputs)
        first = out[0] if isinstance(out, list) else out
        assert first.shape[0] == 2
        assert torch.isfinite(first).all()


@pytest.mark.parametrize("kind", [Stem, ViTBlock], ids=["stem", "block"])
def test_parts_with_registers_and_rotary_positions_run(kind):
    spec = catalog.model("dinov3_base[depth=1,dim=32,heads=2,patch=8]")
    point = Point(Stem(spec, True) if kind is Stem else ViTBlock(spec, 3, True), (4,))
    module, inputs = network(point, 2, torch.device("cpu"), torch.float32)
    assert module(*inputs).shape == (2, 1 + 4 + 4**2, 32)


@pytest.mark.parametrize("design", DESIGNS, ids=["conv", "convnext"])
def test_onnx_runtime_runs_the_same_network(design, tmp_path):
    runtime = pytest.importorskip("onnxruntime", reason="onnxruntime runs the model; it is not installed")
    pytest.importorskip("onnxscript", reason="ONNX is written by onnx and onnxscript; they are not installed")
    torch.manual_seed(0)
    module, inputs = network(design, 1, torch.device("cpu"), torch.float32)
    for name, parameter in module.named_parameters():  # fresh interactions change nothing
        if "gamma" in name:
            torch.nn.init.normal_(parameter)
    with torch.no_grad():
        want = module(*inputs)
    program.trace_onnx(module, inputs, tmp_path / "a.onnx", ["images"])
    got = runtime.InferenceSession(tmp_path / "a.onnx").run(None, {"images": inputs[0].numpy()})
    for one, other in zip(want, got, strict=True):
        assert torch.allclose(one, torch.from_numpy(other), atol=2e-4)


def test_onnx_runtime_times_parts(work):
    pytest.importorskip("onnxruntime", reason="onnxruntime runs the model; it is not installed")
    pytest.importorskip("onnxscript", reason="ONNX is written by onnx and onnxscript; they are not installed")
    run = runner("onnxruntime")
    run.check()
    key, point = next((key, point) for key, point in work.parts.items() if type(point.kind).__name__ == "Unit")
    assert isinstance(point, Point)
    timing = run.time(point, key)
    assert 0 < timing.ratio < 100
    assert 0 < timing.reference < 1
    assert timing.memory is None
    written = run.folder / f"{key}.traced"
    before = written.stat().st_mtime_ns
    run.time(point, key)
    assert written.stat().st_mtime_ns == before, "a second round writes no file again"


def test_a_damaged_model_or_another_one_in_its_place_is_traced_again(work, monkeypatch):
    given = []

    def session(content, options, providers):
        given.append(content)
        return Mock(get_outputs=list)

    traced = []
    monkeypatch.setattr(runners, "_onnxruntime", lambda: Mock(InferenceSession=session))
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)  # takes most of the time
    monkeypatch.setattr(runners, "_traced", lambda *_: traced.append(1) or b"a traced network " * 8)
    run = runner("onnxruntime")
    key, point = next((key, point) for key, point in work.parts.items() if isinstance(point.kind, Gather))
    run._onnx_step(point, key)
    for times, _ in enumerate(damaged(run.folder / f"{key}.traced", flips=400), start=1):
        assert len(traced) == times
        run._onnx_step(point, key)
    assert set(given) == {b"a traced network " * 8}
    replace(run, batch=2)._onnx_step(point, key)
    assert len(traced) == times + 2


def test_a_backend_that_cannot_run_here_says_why(monkeypatch):
    pytest.importorskip("onnxruntime", reason="asks onnxruntime for its devices; it is not installed")
    with pytest.raises(InputError, match="cannot run on cuda: install onnxruntime-gpu"):
        runner("onnxruntime", device="cuda").check()
    half = Runner(torch.device("cpu"), torch.bfloat16, 1, "onnxruntime", 1, measure.folder_of("x"))
    with pytest.raises(InputError, match="float32: drop --dtype"):
        half.check()


def test_command(tmp_path, capsys):
    (tmp_path / "tiny.yaml").write_text(SPACE)
    arguments = ["measure-device", "tiny.yaml", "--device", "cpu", "--minutes", "0", "--designs", "12"]
    threads = torch.get_num_threads()
    main([*arguments, "--json"])
    told = json.loads(capsys.readouterr().out)
    assert told["conditions"]["threads"] == threads
    assert told["error"]["designs"] == 4
    made = load("cpu")
    ratios = [made.model.seconds(Design.parse(timed.design)) / timed.seconds for timed in made.designs]
    assert 0.5 < np.median(ratios) < 2, "close even on a busy machine; benchmarks/latency.py says how close"
    design = "vit[depth=2,dim=32,heads=2]@96 vit[depth=2,dim=64,heads=2]@48; interactions=2; heads=2"
    main(["cost", design, "--latency", "cpu", "--json"])
    cost = json.loads(capsys.readouterr().out)["latency"]
    assert cost["ms"] == pytest.approx(1e3 * made.model.seconds(Design.parse(design)))
    assert cost["error_ms"] == pytest.approx(cost["ms"] * told["error"]["mape"])
