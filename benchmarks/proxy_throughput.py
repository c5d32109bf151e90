"""Candidate runs per hour of a proxy preset, start-up, data, training and validation included.

    python benchmarks/proxy_throughput.py                                  # the demo preset on this machine's CPU
    python benchmarks/proxy_throughput.py --preset gpu-60s --device cuda   # the H200 figures
    python benchmarks/proxy_throughput.py --preset gpu-5min --device cuda --compile

Every design runs in a process of its own, as a search's worker begins; what is made once per data set (scenes, warm
starts) is made before and timed apart. With `--compile` every design runs a second time with compiled blocks
(`Preset.compile`): the difference of the two, compilation included, says whether that pays within a run. Writes
benchmarks/results/proxy-throughput-PRESET.csv.
"""

from __future__ import annotations

import itertools
import json
import subprocess
import sys
import time
from pathlib import Path

import click
import pandas as pd

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


def run(design: str, preset: str, device: str, fidelity: float, compiled: bool) -> tuple[float, dict]:
    began = time.perf_counter()
    command = [sys.executable, "-c", RUN, design, preset, device, str(fidelity), str(compiled)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return time.perf_counter() - began, json.loads(done.stdout.splitlines()[-1])


@click.command()
@click.option("--preset", default="demo", show_default=True)
@click.option("--device", default="auto", show_default=True)
@click.option("--designs", default=",".join(DESIGNS), help="Names of designs, separated by commas.")
@click.option("--compile", "compiled", is_flag=True, help="Run each design with compiled blocks too.")
@click.option("--out", type=click.Path(path_type=Path), default=Path(__file__).parent / "results")
def main(preset: str, device: str, designs: str, compiled: bool, out: Path) -> None:
    rows = []
    for name, blocks in itertools.product(designs.split(","), (False, True) if compiled else (False,)):
        once, _ = run(DESIGNS[name], preset, device, 0.001, blocks)
        wall, score = run(DESIGNS[name], preset, device, 1.0, blocks)
        details = score.pop("details")
        rows.append(
            {
                "design": name,
                "compiled": blocks,
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
                **score["conditions"],
            }
        )
        click.echo(pd.DataFrame(rows).iloc[-1].to_string() + "\n")
    out.mkdir(exist_ok=True)
    path = out / f"proxy-throughput-{preset}.csv"
    pd.DataFrame(rows).to_csv(path, index=False)
    click.echo(f"wrote {path}")


if __name__ == "__main__":
    main()
