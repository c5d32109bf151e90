"""One run of `piip-explore search` on this machine: devices, the live table, and the last words."""

from __future__ import annotations

import os
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from piip_explore.errors import InputError
from piip_explore.search import progress
from piip_explore.search.evaluators import Evaluator
from piip_explore.search.launch import Launch
from piip_explore.search.supervisor import Supervisor

if TYPE_CHECKING:
    from rich.console import Console

_MAX_CPU_WORKERS = 4


def device_slots(devices: Sequence[str] | None, workers: int | None) -> tuple[str, ...]:
    """Return the device of each worker: `workers` of them over `devices` in turn.

    By default there is one worker per device, and the devices are all GPUs; without one, up to four workers share the
    CPU.

    Raises:
        InputError: a device that this machine does not have.
    """
    import torch

    gpus = torch.cuda.device_count()
    if not devices:
        devices = [f"cuda:{number}" for number in range(gpus)] or ["cpu"]
    for device in devices:
        kind, _, number = device.partition(":")
        if kind not in ("cpu", "cuda") or (number and not number.isdecimal()):
            raise InputError(f"unknown device '{device}': expected cpu, cuda or cuda:N")
        if kind == "cuda" and int(number or 0) >= gpus:
            raise InputError(f"device '{device}' is not there: this machine has {gpus} CUDA devices")
    if workers is None:
        workers = min(_MAX_CPU_WORKERS, os.cpu_count() or 1) if list(devices) == ["cpu"] else len(devices)
    return tuple(devices[number % len(devices)] for number in range(workers))


def run(launch: Launch, evaluator: Evaluator, devices: Sequence[str], console: Console) -> bool:
    """Say what is about to happen, and run the study; return False if it was stopped.

    Raises:
        SearchFailedError: every evaluation fails.
    """
    study = launch.study
    for line in opening(launch, devices):
        console.print(line, soft_wrap=True, markup=False, highlight=False)
    supervisor = Supervisor(study, evaluator, devices)
    with progress.shown(supervisor, console):
        return supervisor.run()


def opening(launch: Launch, devices: Sequence[str]) -> list[str]:
    """Return what there is to say before the first evaluation."""
    study, record = launch.study, launch.study.record
    known = sum(len(rung.evaluated) + len(rung.failed) for rung in study.ledger.rungs)
    begin = (
        f"Going on with study '{study.store.study}' ({known} evaluations done)"
        if launch.resumed
        else (f"New study '{study.store.study}'")
    )
    lines = [
        f"{begin} in {study.store.url}: {study.budget:,} of {len(study.pool):,} designs, "
        f"{len(devices)} worker{'s' * (len(devices) > 1)} on {', '.join(dict.fromkeys(devices))}",
        f"Sampler: {launch.sampler.name} ({launch.sampler.reason})",
    ]
    if len(record.rungs) > 1:
        lines.append("Rungs: " + ", ".join(f"{rung:.3g}" for rung in record.rungs) + " of a full run")
    return [*lines, *launch.notes]


def farewell(launch: Launch, space: Path, default: bool, study: str | None, finished: bool) -> list[str]:
    """Return where the results lie, how to go on, and how to open the dashboards."""
    store = launch.study.store
    url = shlex.quote(str(store.url))
    name = f" --study {shlex.quote(store.study)}" if study else ""
    where = "" if default else f" --storage {url}"
    again = f"piip-explore search {shlex.quote(str(space))}{name}{where}"
    lines = ["", f"Results: {store.url} (study '{store.study}')"]
    if finished:
        lines.append(f"Go on:     {again} --trials {2 * launch.study.budget}")
    else:
        lines.insert(0, "Stopped before the end; nothing that was finished is lost.")
        lines.append(f"Resume:    {again} --trials {launch.study.budget}")
    lines.append(f"Front:     piip-explore pareto --storage {url}")
    lines.append(f"Dashboard: piip-explore dashboard --storage {url} (or: optuna-dashboard {url})")
    return lines
