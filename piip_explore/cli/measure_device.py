"""`piip-explore measure-device`: time the parts of a space on a device, to predict the latency of every design."""

from __future__ import annotations

import json
import time
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from piip_explore.latency import DeviceProfile


@click.command("measure-device")
@click.argument("space", type=click.Path(path_type=Path))
@click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda or cuda:N.")
@click.option("--name", help="Name of the profile (default: the device's kind), written to devices/NAME.json.")
@click.option("--backend", type=click.Choice(["eager", "compile", "onnxruntime"]), default="eager", show_default=True)
@click.option("--dtype", type=click.Choice(["float32", "bfloat16", "float16"]), default="float32", show_default=True)
@click.option("--batch", type=click.IntRange(min=1), default=1, show_default=True, help="Images at once.")
@click.option("--threads", type=click.IntRange(min=1), help="CPU threads (default: PyTorch's).")
@click.option(
    "--minutes", type=click.FloatRange(min=0), default=10.0, show_default=True, help="How long to keep measuring."
)
@click.option("--designs", type=int, default=36, show_default=True, help="Whole designs to calibrate and check with.")
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
def command(
    space: Path,
    device: str,
    name: str | None,
    backend: str,
    dtype: str,
    batch: int,
    threads: int | None,
    minutes: float,
    designs: int,
    as_json: bool,
) -> None:
    """Time the parts of SPACE on a device, to predict the latency of every design.

    Parts (a block or stem of a branch, one direction of an interaction, a merge) and a few whole designs are timed in
    rounds. Each round has a new order, and every timing stands between two runs of one small network, so that drift
    cancels out. Two thirds of the designs calibrate how parts add up; the rest measure the error. Run the same command
    again to resume after a stop of any kind.
    """
    import torch

    from piip_explore.cost.table import enumerate_space
    from piip_explore.device_name import resolve
    from piip_explore.latency import measure
    from piip_explore.latency.runners import DTYPES, Runner
    from piip_explore.space import SearchSpace

    where = resolve(device)
    if threads is not None:
        torch.set_num_threads(threads)
    called = name or where.type
    loaded = SearchSpace.load(space)
    runner = Runner(where, DTYPES[dtype], batch, backend, torch.get_num_threads(), measure.folder_of(called))
    work = measure.plan(enumerate_space(loaded), designs)
    click.echo(f"{len(work.parts)} parts and {len(work.designs)} of {loaded.size:,} designs", err=True)
    made = measure.measure(work, loaded.name, runner, called, minutes, _Progress(minutes))
    click.echo(json.dumps(_summary(made), indent=1) if as_json else _text(made))


class _Progress:
    """Reports progress every ten seconds."""

    def __init__(self, minutes: float) -> None:
        self.minutes, self.said = minutes, 0.0

    def __call__(self, number: int, done: int, visits: int, seconds: float) -> None:
        if time.monotonic() - self.said > 10:
            self.said = time.monotonic()
            click.echo(f"round {number}: {done} of {visits}, {seconds / 60:.1f} of {self.minutes:g} minutes", err=True)


def _text(made: DeviceProfile) -> str:
    from piip_explore.latency.device_profile import path_of

    given = made.conditions
    return "\n".join(
        [
            f"{given.device}, {given.backend}, {given.dtype}, batch {given.batch}, {given.threads} threads",
            f"{made.rounds} rounds; on {made.error.designs} designs that took no part in the calibration, predictions "
            f"are {made.error.text()} (FLOPs: {made.error.tau_flops:.2f})",
            f"written to {path_of(made.name)}; use it as --latency {made.name} or --max-latency-ms 25@{made.name}",
        ]
    )


def _summary(made: DeviceProfile) -> dict[str, object]:
    return {
        "name": made.name,
        "date": made.date,
        "space": made.space,
        "conditions": asdict(made.conditions),
        "rounds": made.rounds,
        "factors": dict(made.factors),
        "error": asdict(made.error),
    }
