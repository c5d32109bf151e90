"""Predicted against measured latency of fresh random designs, and twelve million latencies at once.

    python benchmarks/latency.py check NAME [--designs 40] [--rounds 2]   # devices/NAME.json, of the space below
    python benchmarks/latency.py space > cpu_latency.yaml                 # for piip-explore measure-device
    python benchmarks/latency.py columns                                  # FLOPs, activations, latency of 12 M designs

`check` times designs that the profile has never seen, by the same runner, in rounds, each in another order. Appends
to results/latency.csv and latency_designs.csv. `columns` needs no device: the times are made up. On a machine that does
other things too, pin it to one core and raise its priority, as the profile was measured.
"""

from __future__ import annotations

import argparse
import os
import random
import statistics
import tempfile
import time
from pathlib import Path

RESULTS = Path(__file__).parent / "results" / "latency.csv"
DESIGNS = Path(__file__).parent / "results" / "latency_designs.csv"
SPACE = """\
name: cpu_latency
branches:
  - models: ["vit[depth=12,dim=96,heads=3]", vit_tiny]
    resolutions: {from: 128, to: 320, step: 16}
    windows: [none, w7]
  - models: [vit_tiny, "vit[depth=12,dim=256,heads=4]"]
    resolutions: {from: 96, to: 256, step: 16}
    windows: [none, w7]
  - models: ["vit[depth=12,dim=256,heads=4]", vit_small]
    resolutions: {from: 64, to: 208, step: 16}
interactions: [2, 3, 4, 6]
heads: 4
direction: [both, up, down]
merge: linear
constraints: {parameter_inverted: yes}
"""


def check(name: str, number: int, rounds: int) -> None:
    import torch

    from piip_explore.cost import count
    from piip_explore.latency import load
    from piip_explore.latency.model import error
    from piip_explore.latency.runners import DTYPES, Runner
    from piip_explore.space import SearchSpace

    profile = load(name)
    given = profile.conditions
    torch.set_num_threads(given.threads)
    space = SearchSpace.parse(SPACE, "benchmark")
    seen = {timed.design for timed in profile.designs}
    rows = random.Random(2026).sample(range(space.size), number + len(seen))
    designs = [design for design in space.designs(rows) if str(design) not in seen][:number]
    ratios: list[list[float]] = [[] for _ in designs]
    with tempfile.TemporaryDirectory() as folder:
        runner = Runner(
            torch.device("cpu"), DTYPES[given.dtype], given.batch, given.backend, given.threads, Path(folder)
        )
        for turn in range(rounds):
            order = list(range(len(designs)))
            random.Random(turn).shuffle(order)
            for index in order:
                ratios[index].append(runner.time(designs[index], designs[index].id).ratio)
            print(f"round {turn + 1}, load {os.getloadavg()[0]:.1f}", flush=True)
    measured = [profile.reference * statistics.median(found) for found in ratios]
    predicted = [profile.model.seconds(design) for design in designs]
    flops = [count(design, "built").macs for design in designs]
    found = error(predicted, measured, flops)
    row = {
        "backend": given.backend,
        "dtype": given.dtype,
        "batch": given.batch,
        "threads": given.threads,
        "clock": given.clock,
        "space": space.size,
        "parts": sum(len(times) for times in profile.parts.values()),
        "calibration_designs": sum(not timed.held_out for timed in profile.designs),
        "held_out": profile.error.designs,
        "held_out_mape": round(profile.error.mape, 4),
        "fresh": len(designs),
        "mape": round(found.mape, 4),
        "worst": round(found.worst, 4),
        "tau": round(found.tau, 4),
        "tau_flops": round(found.tau_flops, 4),
        "fastest_ms": round(1e3 * min(measured), 1),
        "slowest_ms": round(1e3 * max(measured), 1),
        "device": given.device,
        "torch": given.torch,
        "runtime": given.runtime,
        "load": round(os.getloadavg()[2], 1),
    }
    print(row)
    append(RESULTS, [row])
    each = zip(designs, predicted, measured, flops, strict=True)
    append(
        DESIGNS,
        [
            {
                "backend": given.backend,
                "design": str(design),
                "predicted_ms": round(1e3 * told, 2),
                "measured_ms": round(1e3 * seconds, 2),
                "gflops_built": round(macs / 1e9, 4),
            }
            for design, told, seconds, macs in each
        ],
    )


def columns() -> None:
    """Time FLOPs, activations and latency of twelve million designs: warm, then again in memory."""
    from enumerate import spaces

    from piip_explore.cost.table import enumerate_space
    from piip_explore.latency.kinds import name
    from piip_explore.latency.model import LatencyModel, PartTimes
    from piip_explore.latency.plan import points
    from piip_explore.space import SearchSpace

    text = spaces()["step 16, one setting"]
    measured: dict[str, dict[tuple[int, ...], float]] = {}
    for point in points(SearchSpace.parse(text, "benchmark").columns()):  # counts the parts, too: warm from here on
        measured.setdefault(name(point.kind), {})[point.sides] = 1e-12 * point.work
    for turn in ("warm", "again"):
        start, start_cpu = time.perf_counter(), time.process_time()
        table = enumerate_space(SearchSpace.parse(text, "benchmark"))
        activations = table.activations
        latency = LatencyModel(PartTimes(measured)).column(table.columns)
        seconds, cpu = time.perf_counter() - start, time.process_time() - start_cpu
        assert len(activations) == len(latency) == len(table)
        row = {"what": f"FLOPs, activations and latency, {turn}", "designs": len(table), "seconds": round(seconds, 3)}
        row["cpu_seconds"] = round(cpu, 3)
        row["machine"] = f"{len(os.sched_getaffinity(0))} cores, load {os.getloadavg()[0]:.1f}"
        print(row)
        append(RESULTS.with_name("latency_columns.csv"), [row])


def append(path: Path, rows: list[dict[str, object]]) -> None:
    from records import Table

    table = Table(path, ())
    for row in rows:
        table.append(row)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["check", "space", "columns"])
    parser.add_argument("name", nargs="?", help="of the profile")
    parser.add_argument("--designs", type=int, default=40)
    parser.add_argument("--rounds", type=int, default=2)
    options = parser.parse_args()
    if options.what == "check":
        check(options.name, options.designs, options.rounds)
    elif options.what == "space":
        print(SPACE, end="")
    else:
        columns()


if __name__ == "__main__":
    main()
