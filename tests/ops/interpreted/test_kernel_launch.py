"""The benchmark of launch parameters, with the kernels interpreted: every kernel runs in every program asked for."""

import csv

import torch

from benchmarks import kernel_launch, records
from piip_explore.ops import bench, launch, triton_backend
from piip_explore.ops.launch import FORWARD_OF_SHORT_ROWS, Program


def test_every_kernel_in_every_program_once(monkeypatch, tmp_path, capsys):
    launched = []

    def recorded(program, *sizes):
        launched.append(program)
        return launch.launch(program, *sizes)

    programs = [FORWARD_OF_SHORT_ROWS, Program(threads_per_row=8, warps=1)]
    table = {
        "forward": FORWARD_OF_SHORT_ROWS,
        "sampling_gradient": launch.SAMPLING_GRADIENT,
        "value_gradient": launch.VALUE_GRADIENT,
    }
    monkeypatch.setattr(triton_backend, "launch", recorded)
    monkeypatch.setattr(kernel_launch, "PROGRAMS", programs)
    command = ["--device", "cpu", "--toy", "--out", str(tmp_path)]
    assert kernel_launch.main([*command, "--limit", "0"]) == records.UNFINISHED
    assert kernel_launch.main([*command, "--kernel", "forward"]) == 0
    assert kernel_launch.main(command) == 0
    (path,) = tmp_path.glob("kernel-launch-*.csv")
    rows = list(csv.DictReader(path.open()))
    layouts = [(row["kernel"], row["layout"]) for row in rows if row["layout"]]
    assert layouts == [("forward", "square ahead"), ("sampling_gradient", "square"), ("value_gradient", "square")]
    assert [
        (row["kernel"], row["threads_per_row"], row["warps"], row["chosen"]) for row in rows if not row["layout"]
    ] == [
        (kernel, str(program.threads_per_row), str(program.warps), str(program == table[kernel]))
        for kernel in kernel_launch.KERNELS
        for program in programs
    ] + [("value_gradient", "gathering", "1", "False"), ("value_gradient", "ordered", "1", "False")]
    assert all(float(row["microseconds"]) > 0 for row in rows)
    assert set(launched) == {*programs, *(ways[-1] for ways in kernel_launch.LAYOUTS.values())}
    assert (triton_backend.FORWARD, triton_backend.VALUE_GRADIENT_BY) == (None, "adding")
    launched.clear()
    capsys.readouterr()
    assert kernel_launch.main(command) == 0
    assert not launched  # nothing is measured twice
    assert capsys.readouterr().out.count("threads per row") == len(rows) - 2
    assert bench.TOY.name in path.read_text()


def test_a_crowd_looks_at_one_pixel(tmp_path, monkeypatch):
    """Seen by the operator: a map of ones but for the four pixels in the middle, which are zero."""
    shape = bench.Shape("crowd", 1, (3, 5), (6, 4), 2, heads=2)
    value = torch.ones(1, 6, 4, 4)
    value[:, 2:4, 1:3] = 0
    offsets, logits = torch.zeros(1, 15, 2, 4, 2), torch.zeros(1, 15, 2, 4)
    kernel_launch.crowd(shape, offsets)
    out = triton_backend.forward(value.reshape(1, 24, 4), offsets, logits, shape.key_grid, shape.query_grid)
    assert out.abs().max() == 0
    monkeypatch.setattr(kernel_launch, "PROGRAMS", [])
    command = ["--device", "cpu", "--toy", "--crowded", "--kernel", "value_gradient", "--out", str(tmp_path)]
    assert kernel_launch.main(command) == 0
    (path,) = tmp_path.glob("kernel-launch-*.csv")
    assert [row["shape"] for row in csv.DictReader(path.open())] == ["toy, crowded"] * 3
