"""`piip-explore train`: full training of a design on this machine."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from piip_explore.train.estimate import Estimate
    from piip_explore.train.settings import Settings
    from piip_explore.train.stepper import Machine


@click.command("train")
@click.argument("settings", type=click.Path(path_type=Path), metavar="DESIGN.YAML")
@click.option(
    "--out", type=click.Path(path_type=Path, file_okay=False), help="Folder of the run; the same one resumes."
)
@click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda or cuda:N.")
@click.option(
    "--devices", type=click.IntRange(1), help="How many, one process each (default: every GPU, else one CPU)."
)
@click.option("--batch-per-device", type=click.IntRange(1), help="Pictures at once (default: 2; classification 64).")
@click.option(
    "--workers", default=4, show_default=True, type=click.IntRange(0), help="Processes that read data, per device."
)
@click.option("--save-every", default=600.0, show_default=True, help="Seconds between checkpoints.")
@click.option("--dry-run", is_flag=True, help="Run the first steps, print memory and time, write nothing.")
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
def command(
    settings: Path,
    out: Path | None,
    device: str,
    devices: int | None,
    batch_per_device: int | None,
    workers: int,
    save_every: float,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Train what `piip-explore export --target native` wrote: a detector, segmenter or classifier, as its data require.

    Run the same command again to resume after a stop of any kind. On several machines, start it with torchrun.
    """
    from piip_explore.extras import need
    from piip_explore.train import launch
    from piip_explore.train.settings import read_settings

    read = read_settings(settings)
    if out is None and not dry_run:
        raise click.UsageError("give --out FOLDER, or --dry-run")
    need("training", "accelerate", "timm", "torchvision", "tensorboard", "PIL", "pycocotools")
    if launch.is_worker():
        launch.end_with_launcher()
        processes = 1
    else:
        processes = launch.count(device, devices)
    from piip_explore.train.stepper import Machine

    machine = Machine(device, batch_per_device, workers, save_every)
    if dry_run:
        _dry_run(read, machine, processes, as_json)
        return
    assert out is not None
    if processes > 1:
        _check(read, machine, processes)
        status = launch.run(sys.argv[1:], processes)
        if status:
            sys.exit(status)
        return
    _train(read, out, machine, as_json)


def _check(settings: Settings, machine: Machine, processes: int) -> None:
    """Find what is wrong before there are several processes to say it."""
    from piip_explore.train import stepper
    from piip_explore.train.tasks import make

    stepper.plan(settings, len(make(settings).samples("train")), processes, machine)


def _train(settings: Settings, out: Path, machine: Machine, as_json: bool) -> None:
    from piip_explore.errors import InputError
    from piip_explore.train import launch
    from piip_explore.train.loop import train

    try:
        metrics = train(settings, out, machine)
    except (RuntimeError, InputError) as error:
        if launch.is_worker() and not (launch.is_first() and isinstance(error, InputError)):
            launch.wait_to_be_ended()  # what the first process says, it says for all
        raise
    if launch.is_first():
        click.echo(
            json.dumps(metrics) if as_json else f"score {metrics['score']:.2f} after epoch {metrics['epoch']}: {out}"
        )


def _dry_run(settings: Settings, machine: Machine, processes: int, as_json: bool) -> None:
    from piip_explore.train.estimate import estimate

    found = estimate(settings, machine, processes)
    click.echo(json.dumps(asdict(found), indent=2) if as_json else _text(settings, found))


def _text(settings: Settings, found: Estimate) -> str:
    from piip_explore.terminal import duration

    plan, (train, val) = found.plan, found.pictures
    hours = duration(found.train_seconds)
    return (
        f"{settings.task} on {settings.data}: {train} training and {val} validation pictures\n"
        f"{settings.recipe.epochs} epochs of {plan.per_epoch} steps; a step is {plan.world} x {plan.mine} pictures, "
        f"{plan.at_once} at once\n"
        f"{found.params / 1e6:.1f} M parameters; {found.fixed_memory / 2**30:.2f} GiB of weights, gradients and AdamW\n"
        f"measured: {found.peak_memory / 2**30:.2f} GiB at most per device\n"
        f"about {hours} for all steps (without the exchange of gradients), {duration(found.judge_seconds)} for judging"
    )
