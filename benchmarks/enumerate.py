"""Counting all designs of a space, beside one fvcore trace per design.

    python benchmarks/enumerate.py [--traces 5]

Every space is counted in two fresh processes, the first without kept parts (cold), the second with them on disk (warm)
and then in memory (again), which gives the time per design. Random rows are compared with single counts, and the traces
with those, exactly. Writes results/enumerate.csv.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import platform
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

RESULTS = Path(__file__).parent / "results" / "enumerate.csv"
SPACE = """
name: tsbl-{step}-{settings}
branches:
  - {{models: [vit_tiny, vit_small], resolutions: {{from: 672, to: 1792, step: {step}}}, windows: [none, w14, w28]}}
  - {{models: [vit_small, vit_base], resolutions: {{from: 448, to: 1568, step: {step}}}, windows: [none, w14, w28]}}
  - {{models: [vit_base, vit_large], resolutions: {{from: 224, to: 1120, step: {step}}}, windows: [none, w14, w28]}}
interactions: [6, 12]
direction: [both, up]
merge: [conv, linear]
constraints: {{parameter_inverted: true}}
"""


def spaces() -> dict[str, str]:
    """Return spaces of growing size, by name: ever finer resolutions, and one with eight settings."""
    one = {"interactions: [6, 12]": "interactions: [12]", "direction: [both, up]": "direction: [both]"}
    found = {}
    for step, few in ((224, True), (112, True), (32, True), (16, True), (32, False)):
        text = SPACE.format(step=step, settings="all" if not few else "one")
        for old, new in (one | {"merge: [conv, linear]": "merge: [conv]"}).items() if few else ():
            text = text.replace(old, new)
        found[f"step {step}, {'one setting' if few else 'eight settings'}"] = text
    return found


def enumerate_once(text: str) -> dict[str, float]:
    """Count a space in this process, imports excluded; compare random rows."""
    import random

    from piip_explore.cost import count
    from piip_explore.cost.table import enumerate_space
    from piip_explore.space import SearchSpace

    start, start_cpu = time.perf_counter(), time.process_time()
    table = enumerate_space(SearchSpace.parse(text, "benchmark"))
    seconds, cpu = time.perf_counter() - start, time.process_time() - start_cpu
    start = time.perf_counter()
    table = enumerate_space(SearchSpace.parse(text, "benchmark"))
    again = time.perf_counter() - start
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    for row in random.Random(0).sample(range(len(table)), 200):
        cost = count(table.design(row))
        assert (cost.macs, cost.params) == (table.macs[row], table.params[row])
    return {"designs": len(table), "seconds": seconds, "cpu": cpu, "again": again, "peak_gb": peak / 1e9}


def trace_some(text: str, number: int) -> dict[str, float]:
    """Build and trace random designs of a space one by one, as a count per design would have to."""
    import random

    import torch

    from piip_explore.cost import count
    from piip_explore.cost.trace import trace
    from piip_explore.models import build
    from piip_explore.space import SearchSpace

    space = SearchSpace.parse(text, "benchmark")
    rows = random.Random(1).sample(range(space.size), number + 1)
    seconds = []
    for design in space.designs(rows):
        start = time.perf_counter()
        with torch.device("meta"):
            network = build(design)
        size = design.resolution
        traced = trace(network, torch.empty(1, 3, size, size, device="meta"))[""]
        seconds.append(time.perf_counter() - start)
        assert (traced.macs, traced.params) == (count(design, "built").macs, count(design, "built").params)
    return {"designs": number, "seconds": sum(seconds[1:])}  # the first one warms PyTorch up


def in_process(what: str, text: str, number: int, cache: str) -> dict[str, float]:
    """Run one measurement in a fresh process."""
    environment = os.environ | {"PIIP_EXPLORE_CACHE": cache}
    command = [sys.executable, __file__, "--worker", what, "--traces", str(number)]
    done = subprocess.run(command, input=text, env=environment, stdout=subprocess.PIPE, text=True, check=True)
    result: dict[str, float] = json.loads(done.stdout)
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--traces", type=int, default=5, help="designs to trace with fvcore, one by one")
    parser.add_argument("--worker", choices=["enumerate", "fvcore"], help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.worker:
        text = sys.stdin.read()
        result = enumerate_once(text) if options.worker == "enumerate" else trace_some(text, options.traces)
        print(json.dumps(result))
        return
    rows = []
    for name, text in spaces().items():
        with tempfile.TemporaryDirectory() as cache:
            cold, warm = (in_process("enumerate", text, 0, cache) for _ in range(2))
        rows.append(
            {
                "method": "enumerate",
                "space": name,
                "designs": int(warm["designs"]),
                "seconds_cold": round(cold["seconds"], 3),
                "seconds_warm": round(warm["seconds"], 3),
                "cpu_seconds_warm": round(warm["cpu"], 3),
                "seconds_again": round(warm["again"], 3),
                "us_per_design": round(1e6 * warm["again"] / warm["designs"], 4),
                "peak_gb": round(warm["peak_gb"], 3),
            }
        )
        print(rows[-1], flush=True)
    with tempfile.TemporaryDirectory() as cache:
        traced = in_process("fvcore", text, options.traces, cache)
    rows.append(
        {
            "method": "fvcore per design",
            "space": name,
            "designs": int(traced["designs"]),
            "seconds_warm": round(traced["seconds"], 3),
            "us_per_design": round(1e6 * traced["seconds"] / traced["designs"], 1),
        }
    )
    print(rows[-1])
    cores, load = len(os.sched_getaffinity(0)), os.getloadavg()[2]
    machine = f"{platform.machine()}, {cores} cores, load {load:.1f}, Python {platform.python_version()}"
    RESULTS.parent.mkdir(exist_ok=True)
    with RESULTS.open("w", newline="") as file:
        writer = csv.DictWriter(file, [*rows[0], "machine"])
        writer.writeheader()
        writer.writerows(row | {"machine": machine} for row in rows)


if __name__ == "__main__":
    main()
