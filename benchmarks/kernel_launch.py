"""Would other launch parameters be faster? Times each Triton kernel of the operator with other programs.

    python -m benchmarks.kernel_launch        (from the project's root, on a GPU; bfloat16)

One line per direction of a pair, kernel and program (threads that share a row, warps), fastest first; `*` marks the
program of `piip_explore/ops/launch.py`. Writes them to `benchmarks/results/kernel-launch-DEVICE.csv`. Times are those
of `piip_explore.ops.bench`; the value's gradient includes the zeros it is added to and its conversion.
"""

from __future__ import annotations

import functools
import itertools
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import torch

from piip_explore.ops import bench, triton_backend
from piip_explore.ops.launch import Program

RESULTS = Path(__file__).parent / "results"
PROGRAMS = [Program(threads, warps) for threads, warps in itertools.product((1, 2, 4, 8), (1, 2, 4, 8))]
KERNELS = {"FORWARD": None, "SAMPLING_GRADIENT": [False, True, True], "VALUE_GRADIENT": [True, False, False]}
"""The launch table's names, and which gradients each kernel computes; None is the forward pass."""


def alternatives(device: torch.device, programs: list[Program] = PROGRAMS) -> Iterator[dict[str, object]]:
    """Time every kernel with every program at every shape of the benchmark."""
    for shape, (kernel, needs) in itertools.product(bench.shapes(device), KERNELS.items()):
        sets = bench.input_sets(shape, torch.bfloat16, device)
        chosen = getattr(triton_backend, kernel)
        for program in programs:
            setattr(triton_backend, kernel, program)
            try:
                calls = [functools.partial(run, shape, inputs, needs) for inputs in sets]
                taken = bench.seconds(calls, device)
            finally:
                setattr(triton_backend, kernel, chosen)
            yield {
                "shape": shape.name,
                "batch": shape.batch,
                "width": shape.width,
                "kernel": kernel.lower(),
                "threads_per_row": program.threads_per_row,
                "warps": program.warps,
                "microseconds": taken * 1e6,
                "chosen": program == chosen,
            }


def run(shape: bench.Shape, inputs: list[torch.Tensor], needs: list[bool] | None) -> object:
    """Run the forward kernel, or the gradients needed."""
    value, offsets, logits, upstream = inputs
    grids = shape.key_grid, shape.query_grid
    if needs is None:
        return triton_backend.forward(value, offsets, logits, *grids)
    return triton_backend.backward(upstream, value, offsets, logits, *grids, needs)


def main() -> int:
    if not torch.cuda.is_available():
        print("benchmarks.kernel_launch needs a GPU: torch.cuda.is_available() is false", file=sys.stderr)
        return 2
    device = torch.device("cuda")
    table = pd.DataFrame(alternatives(device))
    for (name, kernel), rows in table.groupby(["shape", "kernel"], sort=False):
        print(f"{name}  {kernel}")
        for row in rows.sort_values("microseconds").itertuples():
            mark = "*" if row.chosen else " "
            print(f"  {mark} {row.threads_per_row} threads per row, {row.warps} warps: {row.microseconds:8.1f} us")
    stem = re.sub(r"[^a-z0-9]+", "-", bench.environment(device)["device"].lower()).strip("-")
    RESULTS.mkdir(exist_ok=True)
    table.to_csv(RESULTS / f"kernel-launch-{stem}.csv", index=False, float_format="%.6g")
    return 0


if __name__ == "__main__":
    sys.exit(main())
