"""The network of a run on its devices, and one step of its training."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.utils import DistributedDataParallelKwargs
from torch import Tensor, nn

from piip_explore.device_name import resolve
from piip_explore.errors import InputError
from piip_explore.export.recipe import TaskName
from piip_explore.train import optimizer
from piip_explore.train.samples import reseed
from piip_explore.train.settings import Settings
from piip_explore.train.tasks.task import TrainingTask

_AT_ONCE: dict[TaskName, int] = {"detection": 2, "segmentation": 2, "classification": 64}
"""Pictures that a device runs at once, where nothing else is asked for."""
_FIRST_WEIGHTS, _STEPS = 1, 2
"""What random numbers are drawn for."""


@dataclass(frozen=True)
class Machine:
    """Where a run takes place; nothing of it decides the result.

    Attributes:
        device: auto, cpu, cuda or cuda:N.
        at_once: pictures that a device runs at once; None for the task's usual number.
        workers: processes that read pictures, per device.
        save_every: seconds between checkpoints.
    """

    device: str = "auto"
    at_once: int | None = None
    workers: int = 4
    save_every: float = 600.0


@dataclass(frozen=True)
class Plan:
    """A run in numbers: steps in all and per epoch, and how a step's pictures are shared.

    Every step, each of `world` processes runs `mine` pictures in parts of `at_once`.
    """

    steps: int
    per_epoch: int
    world: int
    mine: int
    at_once: int

    @property
    def parts(self) -> int:
        """Parts of a process's share of a step."""
        return math.ceil(self.mine / self.at_once)


def plan(settings: Settings, pictures: int, world: int, machine: Machine) -> Plan:
    """Return how a run is shared among `world` processes.

    Raises:
        InputError: the batch cannot be shared equally, or there are fewer training pictures than one.
    """
    recipe = settings.recipe
    if pictures < recipe.batch_size:
        raise InputError(f"{pictures} training pictures do not fill a batch of {recipe.batch_size}: lower batch_size")
    if recipe.batch_size % world:
        raise InputError(
            f"batch_size {recipe.batch_size} cannot be shared equally by {world} devices: change one of them"
        )
    mine, per_epoch = recipe.batch_size // world, pictures // recipe.batch_size
    at_once = min(machine.at_once or _AT_ONCE[settings.task], mine)
    return Plan(recipe.epochs * per_epoch, per_epoch, world, mine, at_once)


def accelerator(settings: Settings, machine: Machine) -> Accelerator:
    """Join the other processes of a run, where there are any.

    Raises:
        InputError: the machine has no such device.
    """
    where = resolve(machine.device)
    if where.index is not None:
        torch.cuda.set_device(where)  # Accelerate takes the current one
    # A branch that feeds no output leaves its last parameters without a gradient.
    partial = DistributedDataParallelKwargs(find_unused_parameters=settings.design.merge.out is not None)
    warnings.filterwarnings("ignore", "Grad strides do not match")  # of depth-wise kernels, too small to matter
    precision = "bf16" if settings.recipe.precision == "bf16" else "no"
    return Accelerator(cpu=where.type == "cpu", mixed_precision=precision, kwargs_handlers=[partial])


def _average(network: nn.Module, decay: float) -> Any:
    from timm.utils import ModelEmaV3  # takes seconds to import, and most runs have no average

    return ModelEmaV3(network, decay, use_warmup=True)


class Stepper:
    """Network, optimizer and moving average."""

    def __init__(self, task: TrainingTask, plan: Plan, accelerate: Accelerator) -> None:
        self.task, self.plan, self.accelerator, self.recipe = task, plan, accelerate, task.settings.recipe
        self.device: torch.device = accelerate.device
        self.step = 0
        reseed(self.recipe.seed, _FIRST_WEIGHTS)
        self.network = task.network().to(self.device)
        self.ema = _average(self.network, self.recipe.ema) if self.recipe.ema else None
        self.optimizer = optimizer.make(self.network, task.pyramid(self.network), self.recipe)
        self.model: nn.Module = accelerate.prepare_model(self.network)
        self.model.train()

    @property
    def judged(self) -> nn.Module:
        """The network that is scored and kept."""
        network: nn.Module = self.network if self.ema is None else self.ema.module
        return network

    @property
    def lr(self) -> float:
        """The learning rate of the next step."""
        plan = self.plan
        return self.recipe.lr * optimizer.rate(self.recipe, self.step, plan.steps, plan.per_epoch)

    def run(self, batches: Iterator[Any]) -> Tensor:
        """Take one step on the next parts that `batches` has; return the mean loss of all processes, ()."""
        loss = torch.zeros((), device=self.device)
        left = self.plan.mine
        for part in range(self.plan.parts):
            batch = next(batches)
            reseed(self.recipe.seed, _STEPS, self.step, self.accelerator.process_index, part)
            size = min(self.plan.at_once, left)
            left -= size
            # The gradients of a step's parts are shared with its last part's.
            with self.accelerator.no_sync(self.model) if left else nullcontext():
                found = self.task.losses(self.model, batch, self.device)
                share = torch.stack(list(found.values())).sum() * (size / self.plan.mine)
                self.accelerator.backward(share)
            loss += share.detach()
        if self.recipe.clip:
            nn.utils.clip_grad_norm_(self.network.parameters(), self.recipe.clip)
        optimizer.set_rate(self.optimizer, self.lr)
        self.optimizer.step()
        self.optimizer.zero_grad()
        if self.ema is not None:
            self.ema.update(self.network, step=self.step)
        self.step += 1
        mean: Tensor = self.accelerator.reduce(loss, "mean")
        return mean

    def state(self) -> dict[str, Any]:
        """Return what a run resumes from."""
        return {
            "step": self.step,
            "network": self.network.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "ema": None if self.ema is None else self.ema.module.state_dict(),
        }

    def load(self, state: dict[str, Any]) -> None:
        """Resume from what `state` returned."""
        self.step = state["step"]
        self.network.load_state_dict(state["network"])
        self.optimizer.load_state_dict(state["optimizer"])
        if self.ema is not None:
            self.ema.module.load_state_dict(state["ema"])
