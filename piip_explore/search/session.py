"""One run of `piip-explore search`: its workers, the first words and the last."""

from __future__ import annotations

import os
import shlex
from collections.abc import Sequence
from dataclasses import dataclass

from piip_explore.device_name import canonical, resolve
from piip_explore.errors import InputError
from piip_explore.search.evaluators import Evaluator
from piip_explore.search.executors import Engine
from piip_explore.search.executors.local import LocalEngine
from piip_explore.search.forecast import Forecast, forecast
from piip_explore.search.launch import Launch, default_storage, scored_by
from piip_explore.search.storage import StorageURL
from piip_explore.search.supervisor import Supervisor
from piip_explore.search.telling import Told, shown

_MAX_CPU_WORKERS = 4


def device_slots(devices: Sequence[str] | None, workers: int | None) -> tuple[str, ...]:
    """Return the device of each worker: `workers` of them over `devices` in turn.

    By default there is one worker per device, and the devices are all GPUs; without one, up to four workers share the
    CPU.

    Raises:
        InputError: a device that this machine does not have.
    """
    if not devices:
        import torch

        devices = [f"cuda:{number}" for number in range(torch.cuda.device_count())] or ["cpu"]
    devices = ["cpu" if canonical(device) == "cpu" else str(resolve(device)) for device in devices]
    if workers is None:
        workers = min(_MAX_CPU_WORKERS, os.cpu_count() or 1) if devices == ["cpu"] else len(devices)
    return tuple(devices[number % len(devices)] for number in range(workers))


def engine(
    executor: str,
    devices: Sequence[str] | None,
    workers: int | None,
    address: str | None,
    worker_gpus: float | None,
    worker_cpus: float | None,
) -> Engine:
    """Return what runs the evaluations: "local" on `devices`, or "ray" with what each worker takes of the cluster.

    Raises:
        InputError: an option of the other one, a device that is not there, or no such cluster.
    """
    if executor == "ray":
        from piip_explore.search.executors.ray import RayEngine

        if devices:
            raise InputError("--devices names devices of this machine; with --executor ray, give --worker-gpus")
        return RayEngine(address, workers, worker_gpus, 1.0 if worker_cpus is None else worker_cpus)
    if any(option is not None for option in (address, worker_gpus, worker_cpus)):
        raise InputError("--address, --worker-gpus and --worker-cpus need --executor ray")
    return LocalEngine(device_slots(devices, workers))


def run(launch: Launch, evaluator: Evaluator, engine: Engine, told: Told) -> bool:
    """Say what is about to happen, and run the study; return False if it was stopped.

    Raises:
        SearchFailedError: every evaluation fails.
    """
    study = launch.study
    supervisor = Supervisor(study, engine.start(evaluator, study.files / "logs"))
    devices = [slot.place.device for slot in supervisor.slots] or [engine.device]
    expected = forecast(evaluator, study.pool, study.work_left, devices, os.cpu_count() or 1)
    for line in opening(launch, engine, expected):
        told.line(line)
    with shown(supervisor, told, expected):
        return supervisor.run()


def opening(launch: Launch, engine: Engine, forecast: Forecast | None = None) -> list[str]:
    """Return what there is to say before the first evaluation."""
    study, record = launch.study, launch.study.record
    known = sum(len(rung.evaluated) for rung in study.ledger.rungs)
    failed = sum(len(rung.failed) for rung in study.ledger.rungs)
    failures = f", {failed} failed" if failed else ""
    begin = (
        f"Resuming study '{study.store.study}' ({known} evaluations done{failures})"
        if launch.resumed
        else (f"New study '{study.store.study}'")
    )
    lines = [
        f"{begin} in {study.store.url}: {study.budget:,} of {len(study.pool):,} designs, {engine}{hardware(engine)}",
        f"Score: {scored_by(record)}",
        f"Sampler: {launch.sampler.name} ({launch.sampler.reason})",
    ]
    if len(record.rungs) > 1:
        shares = ", ".join(f"{rung:.3g}" if rung else "untuned" for rung in record.rungs)
        lines.append(f"Rungs: {shares} of a full run")
    lines += [f"Time: {line}" for line in (forecast.lines() if forecast else ())]
    return [*lines, *launch.notes]


def hardware(engine: Engine) -> str:
    """Return what this machine's devices are, in brackets; nothing of another's."""
    if not isinstance(engine, LocalEngine):
        return ""
    if engine.device.startswith("cuda"):
        import torch

        return f" ({torch.cuda.get_device_name(torch.device(engine.device))})"
    return f" ({os.cpu_count()} cores)"


@dataclass(frozen=True)
class Again:
    """What of a search's command line a study does not keep, to print how it is resumed.

    `space`, `study` and `storage` are as they were typed, None where they were not; `machine` are the words of further
    options.
    """

    space: str
    study: str | None = None
    storage: str | None = None
    machine: tuple[str, ...] = ()

    def command(self, shown: StorageURL, *more: str) -> list[str]:
        """Return the words of the command that resumes the study; `shown` is its storage without a password."""
        words = ["piip-explore", "search", self.space]
        words += [] if self.study is None else ["--study", self.study]
        words += [] if self.storage is None or _hides_password(shown) else ["--storage", self.storage]
        return [*words, *self.machine, *more]


def farewell(launch: Launch, again: Again, finished: bool) -> list[str]:
    """Return where the results are, how to resume, and how to open the dashboards."""
    study, url = launch.study, launch.study.store.url
    name = study.store.study
    lines = ["", f"Results: {url} (study '{name}')"]
    if not finished:
        lines.insert(0, "Stopped before the end; nothing that was finished is lost.")
        lines.append(f"Resume:    {shlex.join(again.command(url))}")
    elif study.budget < len(study.pool):
        more = min(2 * study.budget, len(study.pool))
        lines.append(f"Extend:    {shlex.join(again.command(url, '--trials', str(more)))}")
    where = located(url, name)
    lines.append(f"Front:     {shlex.join(['piip-explore', 'pareto', *where])}")
    by_option = ["--storage", str(url)] if not _hides_password(url) else []
    lines.append(f"Dashboard: {shlex.join(['piip-explore', 'dashboard', *by_option, '--study', name])}")
    if _hides_password(url):
        lines.append("           (with PIIP_EXPLORE_STORAGE set to the address, whose password is not shown)")
    return lines


def located(url: StorageURL, study: str) -> list[str]:
    """Return the words with which other commands find a study."""
    if str(url) == default_storage(study) or _hides_password(url):
        return [study]
    return [study, "--storage", str(url)]


def _hides_password(url: StorageURL) -> bool:
    return url.shown != url.secret
