"""Would other launch parameters be faster? Times each Triton kernel of the operator with other programs.

    python -m benchmarks.kernel_launch                        (from the project's root, on a GPU; bfloat16)
    python -m benchmarks.kernel_launch --pair S@1568 --kernel value_gradient
    python -m benchmarks.kernel_launch --pair S@1568 --kernel value_gradient --crowded

One row per direction of a pair, kernel and program (threads that share a row, warps), printed and appended to
`benchmarks/results/kernel-launch-DEVICE.csv` as it is measured; a second run measures what is missing. Ends with all
rows, fastest first; `*` marks the program of `piip_explore/ops/launch.py`. `square` programs take tiles of
neighbouring queries, `ahead` ones ask for offsets before anything else. The value's gradient is also timed by
gathering, and in deterministic mode; with `--crowded` all queries look at one pixel of the key map. Times are those
of `piip_explore.ops.bench`; the value's gradient includes the zeros it is added to and its conversion.
"""

from __future__ import annotations

import functools
import itertools
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace

import torch
from torch import Tensor

from benchmarks import records
from piip_explore.device_name import resolve
from piip_explore.errors import InputError
from piip_explore.ops import backend_name, bench
from piip_explore.ops.check import determinism
from piip_explore.ops.launch import Program, forward_program

GATHERING, ORDERED = "gathering", "ordered"
"""Instead of a program: the value's gradient from lists of samples, whose tiles are whole rows, or from sorted ones."""
PROGRAMS = [Program(threads, warps) for threads, warps in itertools.product((1, 2, 4, 8), (1, 2, 4, 8))]
LAYOUTS = {
    "forward": [
        Program(threads, 4, *layout) for threads in (1, 2) for layout in ((False, True), (True, False), (True, True))
    ],
    "sampling_gradient": [Program(threads, 1, square=True) for threads in (1, 2)],
    "value_gradient": [Program(2, 4, square=True)],
}
"""Programs with square tiles of queries, and such that ask for offsets first."""
KERNELS = {"forward": None, "sampling_gradient": [False, True, True], "value_gradient": [True, False, False]}
"""The launch table's names in lower case, and which gradients each kernel computes; None is the forward pass."""


def measure(
    shape: bench.Shape, kernel: str, way: Program | str, sets: list[list[Tensor]], device: torch.device
) -> dict[str, object]:
    """Time one kernel with one program, or the value's gradient in another way, over sets of inputs."""
    from piip_explore.ops import triton_backend

    program = getattr(triton_backend, kernel.upper()) or forward_program(shape.width, 2, bench.POINTS)
    chosen = way in (program, triton_backend.VALUE_GRADIENT_BY)
    with selected(kernel, way):
        taken = bench.seconds([functools.partial(run, shape, inputs, KERNELS[kernel]) for inputs in sets], device)
    return {**described(shape, kernel, way), "microseconds": f"{taken * 1e6:.2f}", "chosen": chosen}


@contextmanager
def selected(kernel: str, way: Program | str) -> Iterator[None]:
    """Let the backend compute this way within the block."""
    from piip_explore.ops import triton_backend

    name, value = (kernel.upper(), way) if isinstance(way, Program) else ("VALUE_GRADIENT_BY", GATHERING)
    before = getattr(triton_backend, name)
    setattr(triton_backend, name, value)
    try:
        with determinism(way == ORDERED):
            yield
    finally:
        setattr(triton_backend, name, before)


def crowd(shape: bench.Shape, offsets: Tensor) -> None:
    """Aim all queries at the middle of the key map, between four pixels."""
    (height, width), (query_height, query_width) = shape.key_grid, shape.query_grid
    axes = (torch.arange(query_width), torch.arange(query_height))
    query = torch.stack(torch.meshgrid(*axes, indexing="xy"), -1).reshape(1, -1, 1, 1, 2)
    centres = (query + 0.5) * torch.tensor([width / query_width, height / query_height]) - 0.5
    offsets.copy_((torch.tensor([width // 2 - 0.5, height // 2 - 0.5]) - centres).expand(offsets.shape))


def described(shape: bench.Shape, kernel: str, way: Program | str) -> dict[str, object]:
    """Return the columns that say what a row is."""
    return {
        "shape": shape.name,
        "batch": shape.batch,
        "width": shape.width,
        "kernel": kernel,
        "threads_per_row": way.threads_per_row if isinstance(way, Program) else way,
        "warps": way.warps if isinstance(way, Program) else 1,
        "layout": layout(way),
    }


def layout(way: Program | str) -> str:
    """Return what is special about a program, nothing about most."""
    if not isinstance(way, Program):
        return ""
    return " ".join(name for name in ("square", "ahead") if getattr(way, name))


def run(shape: bench.Shape, inputs: list[Tensor], needs: list[bool] | None) -> object:
    """Run the forward kernel, or the gradients needed."""
    from piip_explore.ops import triton_backend

    value, offsets, logits, upstream = inputs
    grids = shape.key_grid, shape.query_grid
    if needs is None:
        return triton_backend.forward(value, offsets, logits, *grids)
    return triton_backend.backward(upstream, value, offsets, logits, *grids, needs)


def ranking(rows: list[dict[str, str]]) -> list[str]:
    """Return lines: every shape and kernel with its programs, fastest first."""
    lines = []
    for shape, kernel in dict.fromkeys((row["shape"], row["kernel"]) for row in rows):
        lines.append(f"{shape}  {kernel}")
        of_kernel = [row for row in rows if (row["shape"], row["kernel"]) == (shape, kernel)]
        for row in sorted(of_kernel, key=lambda row: float(row["microseconds"])):
            mark = "*" if row["chosen"] == "True" else " "
            program = f"{row['threads_per_row']} threads per row, {row['warps']} warps {row['layout']}".rstrip()
            if row["threads_per_row"] in (GATHERING, ORDERED):
                program = row["threads_per_row"]
            lines.append(f"  {mark} {program}: {float(row['microseconds']):8.1f} us")
    return lines


def main(arguments: Sequence[str] | None = None) -> int:
    parser = records.parser(__doc__)
    parser.add_argument("--pair", action="append", default=[], help="shapes whose name has this in it, e.g. S@1568")
    parser.add_argument("--kernel", action="append", choices=list(KERNELS))
    parser.add_argument("--crowded", action="store_true", help="all queries look at one pixel")
    parser.add_argument("--toy", action="store_true", help="one shape and two programs, to try the benchmark itself")
    options = parser.parse_args(arguments)
    try:
        device = resolve(options.device)
        backend_name(device, "triton")
    except InputError as error:
        print(f"benchmarks.kernel_launch: {error}", file=sys.stderr)
        return 2
    conditions, clock = records.conditions(device), records.Clock(options.limit)
    path = options.out / f"kernel-launch-{records.stem(conditions['device'])}.csv"
    table = records.Table(path, [*conditions, "shape", "kernel", "threads_per_row", "warps", "layout"])
    shapes = [bench.TOY] if options.toy else list(bench.shapes(device))
    shapes = [s for s in shapes if all(text in s.name for text in options.pair)]
    if options.crowded:
        shapes = [replace(shape, name=f"{shape.name}, crowded") for shape in shapes]
    kernels = options.kernel or list(KERNELS)
    for shape in shapes:
        sets: list[list[Tensor]] = []
        programs = PROGRAMS[:2] if options.toy else PROGRAMS
        cases: list[tuple[str, Program | str]] = [*itertools.product(kernels, programs)]
        cases += [(kernel, way) for kernel in kernels for way in LAYOUTS[kernel][-1 if options.toy else 0 :]]
        cases += [("value_gradient", way) for way in (GATHERING, ORDERED) if "value_gradient" in kernels]
        for kernel, way in cases:
            if {**conditions, **described(shape, kernel, way)} in table:
                continue
            if clock.over():
                return records.UNFINISHED
            if not sets:
                sets = bench.input_sets(shape, torch.bfloat16, device)
                for inputs in sets if options.crowded else []:
                    crowd(shape, inputs[1])
            row = measure(shape, kernel, way, sets, device)
            table.append({**row, **conditions})
            print(f"{row['shape']:24}{kernel:18}{way} {row['microseconds']} us", flush=True)
    print("\n".join(ranking([row for row in table.rows if {**row, **conditions} == row])))
    return 0


if __name__ == "__main__":
    sys.exit(main())
