"""The benchmark of launch parameters, with the kernels interpreted: every kernel runs in every program asked for."""

import torch

from benchmarks import kernel_launch
from piip_explore.ops import bench, launch, triton_backend
from piip_explore.ops.launch import FORWARD, Program

TINY = bench.Shape("tiny", 1, (2, 3), (3, 2), 6)


def test_every_kernel_in_every_program(monkeypatch):
    launched = []

    def recorded(program, *sizes):
        launched.append(program)
        return launch.launch(program, *sizes)

    monkeypatch.setattr(triton_backend, "launch", recorded)
    monkeypatch.setattr(bench, "HEADS", 1)
    monkeypatch.setattr(bench, "shapes", lambda device: [TINY])
    programs = [FORWARD, Program(threads_per_row=1, warps=1)]
    rows = list(kernel_launch.alternatives(torch.device("cpu"), programs))
    assert [(row["kernel"], row["threads_per_row"], row["warps"], row["chosen"]) for row in rows] == [
        ("forward", 2, 4, True),
        ("forward", 1, 1, False),
        ("sampling_gradient", 2, 4, False),
        ("sampling_gradient", 1, 1, False),
        ("value_gradient", 2, 4, False),
        ("value_gradient", 1, 1, False),
    ]
    assert all(row["microseconds"] > 0 for row in rows)
    assert set(launched) == set(programs)
    assert triton_backend.FORWARD == FORWARD
