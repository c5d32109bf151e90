"""Check and time the deformable-attention kernels on this machine.

    python -m benchmarks.kernel                               (from the project's root)
    python -m benchmarks.kernel --only table --pair S@1568 --dtype bfloat16

Prints each row and appends it to `benchmarks/results/` as it is measured: `kernel-check-DEVICE.csv` has one per case
of the check, `kernel-DEVICE.csv` one per shape and dtype. A second run measures what is missing. Ends with the targets
on a GPU; exits 1 where a case or a target fails, 3 where `--limit` came first. What an H200 is expected to show, and
why, stands in `docs/kernel.md`; `benchmarks.kernel_launch` then says whether other launch parameters would be faster.
"""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Sequence

import torch

from benchmarks import records
from piip_explore.device_name import resolve
from piip_explore.ops import bench, check

TARGET_PAIR = ("B@1120 reads S@1568", "S@1568 reads B@1120")
CAST = {"str": str, "int": int, "float": float}


def targets(rows: list[bench.Timing]) -> dict[str, bool]:
    """The figures asked of an H200: for one pair in bfloat16, and that no shape is slower than `grid_sample`."""
    pair = [row for row in rows if row.shape in TARGET_PAIR and row.dtype == "bfloat16"]
    return {
        "forward <= 60 us": all(row.forward <= 60e-6 for row in pair),
        "forward + backward <= 350 us": all(row.both <= 350e-6 for row in pair),
        ">= 5x faster than grid_sample": all(min(row.forward_speedup, row.both_speedup) >= 5 for row in pair),
        "no shape slower than grid_sample": all(min(row.forward_speedup, row.both_speedup) >= 1 for row in rows),
        "extra memory below one float32 value and the gradients": all(r.extra_bytes < r.extra_limit for r in rows),
    }


def check_cases(device: torch.device, cases: list[check.Case], table: records.Table, clock: records.Clock) -> bool:
    """Check the cases that the table lacks; return whether all are there."""
    conditions = records.conditions(device)
    for number, case in enumerate(cases, 1):
        row: dict[str, object] = {**conditions, "case": str(case)}
        if row in table:
            continue
        if clock.over():
            return False
        errors = check.errors(case, device)
        row |= {"tolerance": check.TOLERANCES[case.dtype], **errors}
        row["passed"] = max(errors.values()) <= check.TOLERANCES[case.dtype]
        table.append(row)
        print(
            f"{number:3}/{len(cases)} {'passed' if row['passed'] else 'FAILED'} {max(errors.values()):.1e} {case}",
            flush=True,
        )
    return True


def time_shapes(
    device: torch.device, shapes: list[bench.Shape], dtypes: list[str], table: records.Table, clock: records.Clock
) -> bool:
    """Time the shapes that the table lacks; return whether all are there."""
    conditions, backend, copy = records.conditions(device), bench.environment(device)["backend"], None
    print(bench.HEADING, flush=True)
    for dtype in dtypes:
        for shape in shapes:
            if {**conditions, "shape": shape.name, "dtype": dtype} in table:
                continue
            if clock.over():
                return False
            copy = copy or bench.copy_bandwidth(device)
            row = bench.measure(shape, getattr(torch, dtype), device, backend, copy)
            table.append({**dataclasses.asdict(row), **conditions})
            print(bench.format_row(row), flush=True)
    print(bench.LEGEND)
    return True


def timings(table: records.Table, conditions: dict[str, str]) -> list[bench.Timing]:
    """Return the table's rows of these conditions."""
    fields = dataclasses.fields(bench.Timing)
    rows = [row for row in table.rows if all(row[name] == value for name, value in conditions.items())]
    return [bench.Timing(**{field.name: CAST[str(field.type)](row[field.name]) for field in fields}) for row in rows]


def main(arguments: Sequence[str] | None = None) -> int:
    parser = records.parser(__doc__)
    parser.add_argument("--only", choices=["check", "table"], help="one of the two; the default is both")
    parser.add_argument("--pair", action="append", default=[], help="shapes whose name has this in it, e.g. S@1568")
    parser.add_argument("--dtype", action="append", choices=["bfloat16", "float16", "float32"])
    parser.add_argument("--toy", action="store_true", help="a shape and three cases of seconds, to try this itself")
    options = parser.parse_args(arguments)
    device, clock = resolve(options.device), records.Clock(options.limit)
    print(bench.environment(device), flush=True)
    conditions = records.conditions(device)
    stem = records.stem(conditions["device"])
    passed = True
    if options.only != "table":
        cases = records.Table(options.out / f"kernel-check-{stem}.csv", [*conditions, "case"])
        if not check_cases(device, check.covering_cases()[: 3 if options.toy else None], cases, clock):
            return records.UNFINISHED
        passed = all(row["passed"] == "True" for row in cases.rows if {**row, **conditions} == row)
    if options.only != "check":
        dtypes = options.dtype or (["bfloat16", "float16", "float32"] if device.type == "cuda" else ["float32"])
        shapes = [bench.TOY] if options.toy else list(bench.shapes(device))
        shapes = [s for s in shapes if all(text in s.name for text in options.pair)]
        table = records.Table(options.out / f"kernel-{stem}.csv", [*conditions, "shape", "dtype"])
        if not time_shapes(device, shapes, dtypes, table, clock):
            return records.UNFINISHED
        reached = targets(timings(table, conditions)) if device.type == "cuda" else {}
        for name, met in reached.items():
            print(f"{'met' if met else 'MISSED':8}{name}")
        passed = passed and all(reached.values())
    return 0 if passed else 1


if __name__ == "__main__":
    sys.exit(main())
