"""A training from its first step, or the one it was killed at, to its weights."""

from __future__ import annotations

import json
import math
import signal
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.utils import gather_object
from torch import Tensor
from torch.utils.data import DataLoader
from torch.utils.tensorboard import SummaryWriter

from piip_explore.errors import InputError
from piip_explore.export.checkpoints import OurWeights, our_file, read_checkpoint
from piip_explore.train import stepper as steppers
from piip_explore.train.folder import BEST, FINAL, METRICS, WEIGHTS, RunFolder
from piip_explore.train.progress import Shown
from piip_explore.train.samples import PreparedPictures, in_own_words, shares
from piip_explore.train.settings import Settings
from piip_explore.train.stepper import Machine, Plan, Stepper
from piip_explore.train.tasks import make
from piip_explore.train.tasks.task import TrainingTask

_LOG_EVERY = 50
"""Steps between rows of metrics."""


def train(settings: Settings, out: Path, machine: Machine) -> dict[str, Any]:
    """Train, or resume, in the folder `out`, and return the last metrics; a run that is done is not repeated.

    Raises:
        InputError: data, design or folder cannot be trained with; the sentence says why.
        KeyboardInterrupt: the run was told to stop, and has saved where it stands.
    """
    accelerator = steppers.accelerator(settings, machine)
    folder = RunFolder(out)
    with ExitStack() as held:
        if accelerator.is_main_process:
            held.enter_context(folder.owned(0))
        accelerator.wait_for_everyone()
        if not accelerator.is_main_process:
            held.enter_context(folder.owned(accelerator.process_index))
        metrics = _Run(settings, folder, machine, accelerator).result()
        accelerator.end_training()
        return metrics


class _Run:
    """The live side of a training."""

    def __init__(self, settings: Settings, folder: RunFolder, machine: Machine, accelerator: Accelerator) -> None:
        self.settings, self.folder, self.machine, self.accelerator = settings, folder, machine, accelerator
        self.first: bool = accelerator.is_main_process
        self.kept = folder.load(settings.plain())
        self.rows: list[dict[str, Any]] = [] if self.kept is None else self.kept["rows"]
        self.stopping = False
        self.best, self.loss, self.since = -math.inf, torch.zeros((), device=accelerator.device), 0

    def result(self) -> dict[str, Any]:
        """Return the last metrics, once the run is done."""
        task = make(self.settings)
        pictures = task.samples("train")
        plan = steppers.plan(self.settings, len(pictures), self.accelerator.num_processes, self.machine)
        if self.kept is not None and self.kept["step"] == plan.steps:
            metrics: dict[str, Any] = self.kept["metrics"]
            if self._whole(metrics):
                return metrics
        stepper = Stepper(task, plan, self.accelerator)
        if self.kept is not None:
            stepper.load(self.kept)
            self.best, self.since = self.kept["best"], self.kept["since"]
            self.loss += self.kept["loss"]
        if self.first:
            self.folder.write(METRICS, _as_json(*self.rows))
        self._listen()
        with Shown(stepper.step, plan.steps, quiet=not self.first) as shown:
            shown.say(_opening(self.settings, plan, stepper.step))
            metrics = self._steps(task, plan, stepper, pictures, shown)
        if self.first:
            self.folder.write(WEIGHTS, self._weights(task, stepper))
            self.folder.write(FINAL, _as_json(metrics))
            self._mend_best(task, stepper, metrics, shown)
        self.accelerator.wait_for_everyone()
        return metrics

    def _whole(self, metrics: dict[str, Any]) -> bool:
        """Return whether a run that is done has all its files, none of them damaged."""
        said = self.folder.holds(FINAL, _as_json(metrics)) and self.folder.holds(METRICS, _as_json(*self.rows))
        return said and not _unreadable(self.folder.root / WEIGHTS) and not self._best_is_damaged()

    def _best_is_damaged(self) -> bool:
        best = self.folder.root / BEST
        return best.exists() and _unreadable(best)

    def _mend_best(self, task: TrainingTask, stepper: Stepper, metrics: dict[str, Any], shown: Shown) -> None:
        """Write the best network again if it is damaged and the last one; that of an earlier epoch is gone."""
        if not self._best_is_damaged():
            return
        if metrics["score"] == self.best:
            self.folder.write(BEST, self._weights(task, stepper))
        else:
            shown.say(
                f"'{self.folder.root / BEST}' is damaged, and its epoch is over: take {WEIGHTS}, or train again with "
                "another --out"
            )

    def _steps(
        self, task: TrainingTask, plan: Plan, stepper: Stepper, pictures: PreparedPictures, shown: Shown
    ) -> dict[str, Any]:
        rank = self.accelerator.process_index
        keys = shares(
            len(pictures), self.settings.recipe.batch_size, plan.at_once, rank, plan.world, self.settings.recipe.seed,
            range(stepper.step, plan.steps),
        )  # fmt: skip
        batches = in_own_words(self._loader(task, pictures, keys))
        metrics: dict[str, Any] = (self.kept or {}).get("metrics") or {}
        board = SummaryWriter(str(self.folder.root / "tensorboard"), purge_step=stepper.step) if self.first else None
        saved, logged = time.monotonic(), (time.monotonic(), stepper.step)
        while stepper.step < plan.steps:
            lr = stepper.lr
            loss = stepper.run(batches)
            self.loss += loss
            self.since += 1
            ends = stepper.step % plan.per_epoch == 0
            if self.first and (stepper.step % _LOG_EVERY == 0 or ends):
                value = _finite(loss, stepper.step)
                steps, seconds = stepper.step - logged[1], time.monotonic() - logged[0]
                rate = steps * self.settings.recipe.batch_size / seconds
                logged = time.monotonic(), stepper.step
                self._log(board, {"step": stepper.step, "step_loss": value, "lr": lr, "pictures_per_second": rate})
            shown.step(stepper.step, f"epoch {(stepper.step - 1) // plan.per_epoch + 1}")
            if ends:
                metrics = self._epoch(task, plan, stepper, board, shown)
            if self.first and (ends or self.stopping or time.monotonic() - saved > self.machine.save_every):
                _finite(loss, stepper.step)
                self._save(stepper, metrics)
                saved = time.monotonic()
            if self.stopping:
                shown.say(f"stopped after step {stepper.step}; the same command resumes")
                raise KeyboardInterrupt
        if board is not None:
            board.close()
        return metrics

    def _epoch(
        self, task: TrainingTask, plan: Plan, stepper: Stepper, board: SummaryWriter | None, shown: Shown
    ) -> dict[str, Any]:
        """Judge the network at the end of an epoch, and keep it if it is the best."""
        epoch = stepper.step // plan.per_epoch
        if not self.loss.item():
            raise InputError(f"the loss was 0 throughout epoch {epoch}: no training picture has anything to learn from")
        found = self.judge(task, plan, stepper)
        metrics = {"step": stepper.step, "epoch": epoch, "loss": self.loss.item() / self.since, **found}
        self.loss.zero_()
        self.since = 0
        said = f"loss {metrics['loss']:.4g}, {task.metric} {found['score']:.2f}"
        shown.say(f"epoch {epoch} of {self.settings.recipe.epochs}: {said}")
        self._log(board, metrics)
        if self.first and found["score"] > self.best:
            self.best = found["score"]
            self.folder.write(BEST, self._weights(task, stepper))
        return metrics

    @torch.no_grad()
    def judge(self, task: TrainingTask, plan: Plan, stepper: Stepper) -> dict[str, float]:
        """Return the metrics on the validation pictures, each of which one process looks at."""
        pictures, network = task.samples("val"), stepper.judged
        mine = range(self.accelerator.process_index, len(pictures), plan.world)
        size = plan.at_once if self.settings.task == "classification" else 1  # elsewhere their sizes differ
        keys = ([(0, row) for row in mine[start : start + size]] for start in range(0, len(mine), size))
        network.eval()
        with self.accelerator.autocast():
            batches = in_own_words(self._loader(task, pictures, keys))
            found = task.judge(network, batches, self.accelerator.device, gather_object)
        network.train()
        return found

    def _loader(
        self, task: TrainingTask, pictures: PreparedPictures, keys: Iterator[list[tuple[int, int]]]
    ) -> DataLoader[Any]:
        return DataLoader(
            pictures, batch_sampler=keys, collate_fn=task.collate, num_workers=self.machine.workers,
            pin_memory=self.accelerator.device.type == "cuda", worker_init_fn=_reader_signals,
        )  # fmt: skip

    def _log(self, board: SummaryWriter | None, row: dict[str, Any]) -> None:
        if board is None:
            return
        self.rows.append(row)
        self.folder.log(row)
        for name, value in row.items():
            if name not in ("step", "epoch"):
                board.add_scalar(name, value, row["step"])

    def _save(self, stepper: Stepper, metrics: dict[str, Any]) -> None:
        state = stepper.state() | {"settings": self.settings.plain(), "metrics": metrics, "rows": self.rows}
        self.folder.save(state | {"loss": self.loss.item(), "since": self.since, "best": self.best})

    def _weights(self, task: TrainingTask, stepper: Stepper) -> bytes:
        state = {name: tensor.cpu() for name, tensor in task.pyramid(stepper.judged).state_dict().items()}
        return our_file(OurWeights(self.settings.design, state, {}))

    def _listen(self) -> None:
        """Save and end at the next step when the system, a scheduler or a person says so.

        The first process does; it needs the others for that step, and its launcher ends them afterwards.
        """

        def stop(number: int, frame: object) -> None:
            self.stopping = self.first

        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, stop)


def _reader_signals(worker: int) -> None:
    """Leave the end of a reading process to the process that it reads for."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)


def _finite(loss: Tensor, step: int) -> float:
    value = float(loss.item())
    if not math.isfinite(value):
        raise InputError(f"the loss is {value} at step {step}: lower lr in the recipe, or set precision: fp32")
    return value


def _as_json(*rows: dict[str, Any]) -> bytes:
    return "".join(json.dumps(row) + "\n" for row in rows).encode()


def _unreadable(weights: Path) -> bool:
    try:
        read_checkpoint(weights)
    except InputError:
        return True
    return False


def _opening(settings: Settings, plan: Plan, step: int) -> str:
    shared = f"{plan.world} x {plan.mine}" + (f" in {plan.parts} parts" if plan.parts > 1 else "")
    begun = f"resuming after step {step}" if step else f"{settings.task} on {settings.data}"
    return f"{begun}: {plan.steps} steps of {settings.recipe.batch_size} pictures ({shared}), {plan.per_epoch} an epoch"
