"""What a training would take: its first steps run and measured, nothing written."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from itertools import islice

import torch
from torch.utils.data import DataLoader

from piip_explore.memory import peak_bytes
from piip_explore.train import stepper as steppers
from piip_explore.train.samples import in_own_words, shares
from piip_explore.train.settings import Settings
from piip_explore.train.stepper import Machine, Plan, Stepper
from piip_explore.train.tasks import make

_STEPS = 3
"""Steps that are run; the first, which compiles kernels and fills caches, is not timed."""
_JUDGED = 2


@dataclass(frozen=True)
class Estimate:
    """A run in numbers, memory in bytes per device and times in seconds.

    `fixed_memory` are weights, gradients and the optimizer's state; `peak_memory` is measured, of the device, or on
    a CPU of the whole process. `train_seconds` are those of all steps on `plan.world` devices that need no time to
    exchange gradients; `judge_seconds` of all judging. Pictures are read by the measured process itself.
    """

    plan: Plan
    pictures: tuple[int, int]
    params: int
    fixed_memory: int
    peak_memory: int
    train_seconds: float
    judge_seconds: float


def estimate(settings: Settings, machine: Machine, world: int) -> Estimate:
    """Run the first steps of a training as one of `world` devices would, and measure them.

    Raises:
        InputError: it could not be trained; the sentence says why.
    """
    accelerator = steppers.accelerator(settings, machine)
    task, device = make(settings), accelerator.device
    train, val = task.samples("train"), task.samples("val")
    plan = steppers.plan(settings, len(train), world, machine)
    stepper = Stepper(task, plan, accelerator)
    recipe = settings.recipe
    keys = shares(len(train), recipe.batch_size, plan.at_once, 0, world, recipe.seed, range(plan.steps))
    batches = in_own_words(DataLoader(train, batch_sampler=islice(keys, _STEPS * plan.parts), collate_fn=task.collate))
    steps = min(_STEPS, plan.steps)
    stepper.run(batches)
    step_seconds = _timed(lambda: [stepper.run(batches) for _ in range(steps - 1)], device) / max(1, steps - 1)
    looked = list(range(min(_JUDGED, len(val))))
    seen = DataLoader(val, batch_sampler=([(0, row)] for row in looked), collate_fn=task.collate)
    network = stepper.judged.eval()
    with torch.no_grad(), accelerator.autocast():
        judge_seconds = _timed(lambda: task.judge(network, in_own_words(seen), device, list), device) / len(looked)
    copies = 4 + (stepper.ema is not None)
    params = sum(parameter.numel() for parameter in stepper.network.parameters())
    return Estimate(
        plan=plan,
        pictures=(len(train), len(val)),
        params=params,
        fixed_memory=copies * 4 * params,
        peak_memory=peak_bytes(device),
        train_seconds=step_seconds * plan.steps,
        judge_seconds=judge_seconds * len(val) / world * recipe.epochs,
    )


def _timed(work: Callable[[], object], device: torch.device) -> float:
    began = time.perf_counter()
    work()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter() - began
