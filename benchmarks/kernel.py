"""Check and time the deformable-attention kernels on this machine; record the figures in `benchmarks/results/`.

    python -m benchmarks.kernel        (from the project's root)

Prints the check, each row of the table as it is measured and, on a GPU, the targets; in the end writes
`kernel-DEVICE.csv` (one row per shape and dtype) and `kernel-DEVICE.json` (the same, with versions, method and the
check's errors). Exits 1 where the check or a target fails. What an H200 is expected to show, and why, stands in
`docs/kernel.md`; `benchmarks.kernel_launch` then says whether other launch parameters would be faster.
"""

from __future__ import annotations

import dataclasses
import json
import re
import sys
from pathlib import Path

import pandas as pd

from piip_explore.ops import bench, check

RESULTS = Path(__file__).parent / "results"
TARGET_PAIR = ("B@1120 reads S@1568", "S@1568 reads B@1120")


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


def main() -> int:
    device = check.device(None)
    environment = bench.environment(device)
    print(environment, flush=True)
    verdicts = check.check(device)
    print(check.format_table(verdicts))
    print(bench.HEADING, flush=True)
    rows = []
    for row in bench.table(device):
        rows.append(row)
        print(bench.format_row(row), flush=True)
    print(bench.LEGEND)
    reached = targets(rows) if device.type == "cuda" else {}
    for name, met in reached.items():
        print(f"{'met' if met else 'MISSED':8}{name}")

    stem = "kernel-" + re.sub(r"[^a-z0-9]+", "-", environment["device"].lower()).strip("-")
    RESULTS.mkdir(exist_ok=True)
    table = pd.DataFrame([dataclasses.asdict(row) for row in rows])
    table.to_csv(RESULTS / f"{stem}.csv", index=False, float_format="%.6g")
    record = {
        "environment": environment,
        "method": bench.__doc__,
        "targets": reached,
        "check": [dataclasses.asdict(verdict) for verdict in verdicts],
        "bench": table.to_dict("records"),
    }
    (RESULTS / f"{stem}.json").write_text(json.dumps(record, indent=2) + "\n")
    print(f"written to {RESULTS / stem}.csv and .json")
    return 0 if all(verdict.passed for verdict in verdicts) and all(reached.values()) else 1


if __name__ == "__main__":
    sys.exit(main())
