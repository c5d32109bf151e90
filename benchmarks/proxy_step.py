"""How long is a training step of a proxy run: plain, with weights in bfloat16, and replayed from a CUDA graph?

    python -m benchmarks.proxy_step --device cuda                            # gpu-60s, TSB and SBL
    python -m benchmarks.proxy_step --preset demo --designs "demo space"     # on this machine's CPU, no graph

A step is launch-bound where the host needs as long for starting its kernels as the GPU for running them: compare
`host ms`, until the host is free, with `ms`, until the device is done. Every row is a design with fresh weights on a
few rendered images; start-up, data and validation are not in it (`benchmarks.proxy_throughput` has whole runs).
`loss`, after the last step, should agree: between plain and lean to the last digit, but for sums by atomics. MFU is
that of the design as it is trained, shrunken, and small therefore; what a search gains is samples per second. Rows
are printed, and appended to `benchmarks/results/proxy-step-PRESET.csv`, as they are measured; a second run measures
what is missing.
"""

from __future__ import annotations

import itertools
import os
import sys
import time
import warnings
from collections.abc import Sequence
from dataclasses import replace

import torch
from torch.utils._python_dispatch import TorchDispatchMode

from benchmarks import records
from benchmarks.proxy_throughput import CONDITIONS, DESIGNS, conditions
from piip_explore import Design, proxy
from piip_explore.device_name import resolve
from piip_explore.errors import InputError
from piip_explore.proxy.network import Network
from piip_explore.proxy.presets import Preset
from piip_explore.proxy.run import Run
from piip_explore.proxy.steps import ENVIRONMENT_VARIABLE, KINDS
from piip_explore.proxy.trainer import Training, throughput

FIRST = {"cuda": 10, "cpu": 1}
"""Steps before the clock starts: on a GPU kernels are compiled and the graph is captured in them."""


class Operations(TorchDispatchMode):
    """Counts what PyTorch is asked to do; on a GPU about one kernel each."""

    count = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        self.count += 1
        return func(*args, **(kwargs or {}))


def measured(design: Design, preset: Preset, kind: str, count: int, device: torch.device) -> dict[str, object]:
    """Train for some steps of one kind; return the row's figures."""
    first = FIRST[device.type]
    samples = (first + count + 1) * preset.batch
    small = replace(preset, train_images=2 * preset.batch, val_images=1, samples=samples, supernet=None)
    run = Run(small.shrink(design.sorted()), small, 0, 1.0, device)
    torch.manual_seed(0)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", RuntimeWarning)
        os.environ[ENVIRONMENT_VARIABLE] = kind
        training = Training(run, Network(run.design, small))
        del os.environ[ENVIRONMENT_VARIABLE]
        training.network.train()

        def step() -> torch.Tensor:
            training.state.step += 1
            return training._step(training.order[(training.state.step - 1) * small.batch :][: small.batch])

        for _ in range(first):
            step()
        wait(device)
        began = time.perf_counter()
        for _ in range(count):
            loss = step()
        issued = time.perf_counter() - began
        wait(device)
        taken = time.perf_counter() - began
    with Operations() as operations:
        step()
    fallen_back = [str(warning.message) for warning in caught if "CUDA graph" in str(warning.message)]
    return {
        "ms": round(1000 * taken / count, 2),
        "host ms": round(1000 * issued / count, 2),
        "operations from the host": operations.count,
        "samples per second": round(small.batch * count / taken, 1),
        "MFU percent": throughput(run, small.batch * count / taken).get("MFU"),
        "loss": float(loss),
        "fallen back": "; ".join(fallen_back),
    }


def wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = records.parser(__doc__)
    parser.add_argument("--preset", default="gpu-60s")
    parser.add_argument(
        "--designs", action="append", help=f"how a design begins: {'; '.join(DESIGNS)}; default: TSB, SBL"
    )
    parser.add_argument("--step", action="append", choices=KINDS, help="default: all that the device has")
    parser.add_argument("--steps", type=int, default=100, help="steps that are timed")
    options = parser.parse_args(arguments)
    table = records.Table(options.out / f"proxy-step-{options.preset}.csv", [*CONDITIONS, "step", "steps"])
    clock = records.Clock(options.limit)
    try:
        designs = conditions(options.designs or ["TSB", "SBL"], options.preset, options.device)
        device, preset = resolve(options.device), proxy.preset(options.preset)
        kinds = options.step or [kind for kind in KINDS if kind != "graphed" or device.type == "cuda"]
        ways = itertools.product(designs, kinds)
        for wanted in table.missing(({**design, "step": kind, "steps": options.steps} for design, kind in ways), clock):
            name, kind = str(wanted["design"]), str(wanted["step"])
            figures = measured(Design.parse(DESIGNS[name]), preset, kind, options.steps, device)
            table.append({**wanted, **figures})
            print(f"{name}, {kind}: " + ", ".join(f"{column} {value}" for column, value in figures.items()), flush=True)
    except InputError as error:
        print(f"benchmarks.proxy_step: {error}", file=sys.stderr)
        return 2
    if clock.stopped:
        return records.UNFINISHED
    print("\n".join(comparison(table.rows)))
    return 0


def comparison(rows: list[dict[str, str]]) -> list[str]:
    """Return lines: every design's steps, and how many times faster than the plain one they are."""
    lines = []
    for design in dict.fromkeys(row["design"] for row in rows):
        of_design = {row["step"]: row for row in rows if row["design"] == design}
        for kind, row in of_design.items():
            factor = ""
            if "plain" in of_design and kind != "plain":
                factor = f", {float(of_design['plain']['ms']) / float(row['ms']):.2f} times as fast as plain"
            note = f" ({row['fallen back']})" if row["fallen back"] else ""
            lines.append(f"{design}  {kind:8}{float(row['ms']):9.2f} ms a step{factor}{note}")
    return lines


if __name__ == "__main__":
    sys.exit(main())
