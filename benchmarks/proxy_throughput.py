"""Candidate runs per hour of a proxy preset, start-up, data, training and validation included.

    python -m benchmarks.proxy_throughput                                  # the demo preset on this machine's CPU
    python -m benchmarks.proxy_throughput --preset gpu-60s --device cuda   # the H200 figures
    python -m benchmarks.proxy_throughput --preset gpu-5min --device cuda --designs TSB --compile

Every design runs in a process of its own, as a search's worker begins; what is made once per data set (scenes, warm
starts) is made before and timed apart. With `--compile` every design runs a second time with compiled blocks
(`Preset.compile`): the difference of the two, compilation included, says whether that pays within a run. Each design is
printed, and appended to `benchmarks/results/proxy-throughput-PRESET.csv`, as it ends; a second run measures what is
missing. Exits 1 where a design failed, 3 where `--limit` came first.
"""

from __future__ import annotations

import itertools
import json
import subprocess
import sys
import time
from collections.abc import Sequence

import torch

from benchmarks import records
from piip_explore.errors import InputError
from piip_explore.proxy.score import code_version

DESIGNS = {
    "TSB 1120/896/448": "vit_tiny@1120:w14 vit_small@896:w14 vit_base@448:w14",
    "SBL 1120/672/448": "vit_small@1120:w28 vit_base@672:w28 vit_large@448:w28",
    "demo space, largest": "vit[depth=6,dim=96,heads=3]@896 vit_tiny@672 vit_small@448; interactions=6",
    "demo space, smallest": "vit[depth=6,dim=96,heads=3]@336 vit_tiny@224; interactions=3",
}

RUN = """
import dataclasses, json, sys
from piip_explore import Design, proxy
design, preset = Design.parse(sys.argv[1]), proxy.preset(sys.argv[2])
preset = dataclasses.replace(preset, compile=sys.argv[5] == "True")
score = proxy.evaluate(design, preset, device=sys.argv[3], fidelity=float(sys.argv[4]))
print(json.dumps(score.to_dict()))
"""
CONDITIONS = ["design", "preset", "wanted device", "torch version", "code"]


def conditions(asked: Sequence[str], preset: str, device: str) -> list[dict[str, object]]:
    """Return `CONDITIONS` of every design that begins as asked.

    Raises:
        InputError: no design begins so.
    """
    for part in asked:
        if not any(name.startswith(part) for name in DESIGNS):
            raise InputError(f"no design begins with {part!r}: choose from {'; '.join(DESIGNS)}")
    names = [name for name in DESIGNS if name.startswith(tuple(asked))]
    return [
        dict(zip(CONDITIONS, (name, preset, device, torch.__version__, code_version()), strict=True)) for name in names
    ]


def run(design: str, preset: str, device: str, fidelity: float, compiled: bool) -> tuple[float, dict]:
    """Return the seconds of a process that evaluates the design, and its score; what it says goes to our stderr."""
    began = time.perf_counter()
    command = [sys.executable, "-c", RUN, design, preset, device, str(fidelity), str(compiled)]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    return time.perf_counter() - began, json.loads(done.stdout.splitlines()[-1])


def measured(wanted: dict[str, object]) -> dict[str, object]:
    """Run what `wanted` says, once shortly and once in full; return its row."""
    design, preset, device = DESIGNS[str(wanted["design"])], str(wanted["preset"]), str(wanted["wanted device"])
    fidelity, compiled = float(str(wanted["fidelity"])), bool(wanted["compiled"])
    once, _ = run(design, preset, device, 0.001, compiled)
    wall, score = run(design, preset, device, fidelity, compiled)
    details = score["details"]
    return {
        **wanted,
        "status": score["status"],
        "metric": score["metric"],
        "value": score["value"],
        "wall seconds": round(wall, 1),
        "training seconds": round(score["seconds"], 1),
        "runs per hour": round(3600 / wall, 1),
        "first time extra seconds": round(once, 1),
        "samples per second": round(details["samples per second"], 1),
        "TFLOP/s": details.get("TFLOP/s"),
        "MFU percent": details.get("MFU"),
        "peak memory GiB": round(score["peak_memory"] / 2**30, 2),
        **{name: score["conditions"][name] for name in ("preset_hash", "device", "backend")},
    }


def main(arguments: Sequence[str] | None = None) -> int:
    parser = records.parser(__doc__)
    parser.add_argument("--preset", default="demo")
    parser.add_argument("--fidelity", type=float, default=1.0, help="share of the preset's samples")
    parser.add_argument("--designs", action="append", help=f"how a design begins: {'; '.join(DESIGNS)}; default: all")
    parser.add_argument("--compile", dest="compiled", action="store_true", help="each design with compiled blocks too")
    options = parser.parse_args(arguments)
    try:
        designs = conditions(options.designs or [""], options.preset, options.device)
    except InputError as error:
        print(f"benchmarks.proxy_throughput: {error}", file=sys.stderr)
        return 2
    key = [*CONDITIONS, "fidelity", "compiled"]
    table = records.Table(options.out / f"proxy-throughput-{options.preset}.csv", key)
    clock, failed = records.Clock(options.limit), False
    ways = itertools.product(designs, (False, True) if options.compiled else (False,))
    rows = ({**design, "fidelity": options.fidelity, "compiled": compiled} for design, compiled in ways)
    for wanted in table.missing(rows, clock):
        try:
            row = measured(wanted)
        except subprocess.CalledProcessError as error:
            status = f"the run failed with status {error.returncode}; its traceback is above"
            print(f"{wanted['design']}: {status}", file=sys.stderr)
            failed = True
            continue
        table.append(row)
        print("\n".join(f"{column:26}{value}" for column, value in row.items()), end="\n\n", flush=True)
    return records.UNFINISHED if clock.stopped else int(failed)


if __name__ == "__main__":
    sys.exit(main())
