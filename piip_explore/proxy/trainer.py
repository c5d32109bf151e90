"""One training run: a design, a preset and a seed to a score; resumable, and honest about how it ended."""

from __future__ import annotations

import json
import math
import pickle
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from functools import lru_cache
from pathlib import Path

import torch
from torch import Tensor

from piip_explore.files import write_whole
from piip_explore.proxy.data.source import DataSource, Samples, Split
from piip_explore.proxy.network import Network
from piip_explore.proxy.run import Run
from piip_explore.proxy.score import Score, Status

Progress = Callable[[int, int, float], None]
"""Called with samples seen, samples in all, and the smoothed training loss."""

_LOOK_EVERY = 10
"""Steps between looks at the loss: each one waits for the device."""
_SAVE_EVERY = 20.0
"""Seconds between checkpoints."""
_PARTS = 4
"""Parts that a batch is run in after memory ran out."""
_SMOOTHING = 0.95
_PEAK = {"H200": 989.0, "H100": 989.0, "A100": 312.0, "L40S": 362.0, "RTX 4090": 165.0}
"""Dense bfloat16 TFLOP/s of GPUs, from their data sheets."""
_DIVERGED = 2.0
"""A run whose smoothed loss ends above this multiple of its first one has diverged."""


@dataclass
class _State:
    """Where a run stands; everything but the networks' tensors."""

    step: int = 0
    loss: float = math.nan
    first_loss: float = math.nan
    seconds: float = 0.0
    curve: list[tuple[int, float]] = field(default_factory=list)


def train(
    run: Run, network: Callable[[], Network], progress: Progress | None = None, resume_dir: Path | None = None
) -> Score:
    """Train and validate; with `resume_dir`, go on from a checkpoint there, or return the score if the run is done.

    `network` is called once, if there is anything left to train, and returns it with its first weights.

    Raises:
        InputError: the data cannot be read.
    """
    finished = resume_dir and resume_dir / f"{run.key}.json"
    if finished and finished.exists():
        return Score.from_dict(json.loads(finished.read_text()))
    score = _within_memory(run, network, resume_dir and resume_dir / f"{run.key}.pt", progress)
    if finished:
        write_whole(finished, lambda path: path.write_text(json.dumps(score.to_dict(), indent=1)))
        finished.with_suffix(".pt").unlink(missing_ok=True)
    return score


def _within_memory(
    run: Run, network: Callable[[], Network], checkpoint: Path | None, progress: Progress | None
) -> Score:
    """Train; if memory runs out, once more in smaller parts of a batch; else say what was wanted."""
    message = ""
    for parts in (1, _PARTS):
        try:
            return Training(run, network(), checkpoint, parts).score(progress)
        except torch.OutOfMemoryError as error:
            message = str(error).partition("\n")[0]
        # Outside the handler: the exception held the failed attempt's tensors.
        if run.device.type == "cuda":
            torch.cuda.empty_cache()
    return Score(
        value=math.nan,
        standard_error=None,
        seeds=(run.seed,),
        metric=run.preset.task.metric,
        fidelity=run.fidelity,
        seconds=0.0,
        peak_memory=_peak_memory(run.device),
        train_loss=(),
        status="infeasible",
        conditions=run.conditions,
        message=f"out of memory, with batches in {_PARTS} parts too: {message}",
    )


class Training:
    """The live side of a run: network, optimiser, data on the device.

    Every batch is run in `parts` equal parts whose gradients are summed.
    """

    def __init__(self, run: Run, network: Network, checkpoint: Path | None = None, parts: int = 1) -> None:
        self.run, self.checkpoint, self.parts, self.state = run, checkpoint, parts, _State()
        preset = run.preset
        if run.device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(run.device)
        self.train = _load(preset.data, "train", preset.train_images, preset.size, run.device)
        self.val = _load(preset.data, "val", preset.val_images, preset.size, run.device)
        self.classes = len(preset.data.classes(preset.task.needs))
        self.objective = preset.task.objective(self.train, self.classes)
        self.order = _order(len(self.train), run.samples, run.seed).to(run.device)
        self.network = network.to(run.device)
        self.optimizer = torch.optim.AdamW(self.network.parameter_groups(preset), fused=True)
        self._restore()

    def score(self, progress: Progress | None) -> Score:
        """Train to the end, validate, and say how it went."""
        preset, state = self.run.preset, self.state
        status = self.fit(progress)
        metrics = self._validate() if status == "ok" else {}
        seen = state.step * preset.batch
        return Score(
            value=metrics.pop(preset.task.metric, math.nan),
            standard_error=None,
            seeds=(self.run.seed,),
            metric=preset.task.metric,
            fidelity=self.run.fidelity,
            seconds=state.seconds,
            peak_memory=_peak_memory(self.run.device),
            train_loss=tuple(state.curve),
            status=status,
            conditions=self.run.conditions,
            message="" if status == "ok" else f"training loss {state.loss:.4g} after {seen} samples",
            details=metrics | _throughput(self.run, seen / state.seconds),
        )

    def fit(self, progress: Progress | None) -> Status:
        """Train to the end and say how it went: "ok" or "diverged"."""
        run, state = self.run, self.state
        began = time.monotonic() - state.seconds
        last_saved = time.monotonic()
        losses: list[Tensor] = []
        self.network.train()
        while state.step < run.steps:
            losses.append(self._step(self.order[state.step * run.preset.batch : (state.step + 1) * run.preset.batch]))
            state.step += 1
            if state.step % _LOOK_EVERY and state.step < run.steps:
                continue
            if not self._look(torch.stack(losses).tolist()):
                state.seconds = time.monotonic() - began
                return "diverged"
            losses.clear()
            state.seconds = time.monotonic() - began
            self._tell(progress)
            if self.checkpoint and time.monotonic() - last_saved > _SAVE_EVERY:
                self._save()
                last_saved = time.monotonic()
        return "diverged" if state.loss > _DIVERGED * state.first_loss else "ok"

    def _tell(self, progress: Progress | None) -> None:
        """Report progress; if that stops the run (a search that ends does so), keep what was trained."""
        if progress is None:
            return
        try:
            progress(self.state.step * self.run.preset.batch, self.run.samples, self.state.loss)
        except BaseException:
            if self.checkpoint:
                self._save()
            raise

    def _step(self, index: Tensor) -> Tensor:
        run, preset = self.run, self.run.preset
        factor = self._rate_factor()
        for group in self.optimizer.param_groups:
            group["lr"] = group["peak"] * factor
        self.optimizer.zero_grad(set_to_none=True)
        total = torch.zeros((), device=run.device)
        for part in index.chunk(self.parts):
            with torch.autocast(run.device.type, torch.bfloat16, enabled=run.device.type == "cuda"):
                output = self.network(self.train.images[part], run.resolution(self.state.step))
            loss = self.objective(output, part) * (len(part) / len(index))
            loss.backward()
            total += loss.detach()
        torch.nn.utils.clip_grad_norm_(self.network.parameters(), preset.clip)
        self.optimizer.step()
        return total

    def _look(self, losses: list[float]) -> bool:
        """Update the smoothed loss; return False if it is no number any more."""
        state = self.state
        for loss in losses:
            state.loss = loss if math.isnan(state.loss) else _SMOOTHING * state.loss + (1 - _SMOOTHING) * loss
        if math.isnan(state.first_loss):
            state.first_loss = losses[0]
        state.curve.append((state.step * self.run.preset.batch, state.loss))
        return all(map(math.isfinite, losses))

    def _rate_factor(self) -> float:
        """Return the share of the peak rate at this step: linear warm-up, then half a cosine to zero."""
        step, steps = self.state.step, self.run.steps
        warm = max(1, round(self.run.preset.warmup * steps))
        if step < warm:
            return (step + 1) / warm
        return 0.5 * (1 + math.cos(math.pi * (step - warm) / max(1, steps - warm)))

    @torch.no_grad()
    def _validate(self) -> dict[str, float]:
        preset = self.run.preset
        self.network.eval()
        metric = preset.task.evaluation(self.val, self.classes)
        for index in torch.arange(len(self.val), device=self.run.device).split(2 * preset.batch):
            with torch.autocast(self.run.device.type, torch.bfloat16, enabled=self.run.device.type == "cuda"):
                output = self.network(self.val.images[index])
            metric.update(output, index)
        return metric.compute()

    def _save(self) -> None:
        assert self.checkpoint is not None
        values = {
            "network": self.network.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "state": asdict(self.state),
        }
        write_whole(self.checkpoint, lambda path: torch.save(values, path))

    def _restore(self) -> None:
        """Go on from the checkpoint, if there is one that can be read; a damaged one only costs its time.

        Training draws no random numbers after the first weights, so there is no generator to restore.
        """
        if self.checkpoint is None or not self.checkpoint.exists():
            return
        try:
            values = torch.load(self.checkpoint, map_location=self.run.device, weights_only=True)
        except (RuntimeError, EOFError, OSError, pickle.UnpicklingError):
            return
        self.network.load_state_dict(values["network"])
        self.optimizer.load_state_dict(values["optimizer"])
        self.state = _State(**values["state"])


@lru_cache(maxsize=2)
def _load(data: DataSource, split: Split, count: int, size: int, device: torch.device) -> Samples:
    """Load samples, and keep the last two sets on the device for the next candidate."""
    return data.load(split, count, size, device)


def _throughput(run: Run, rate: float) -> dict[str, float]:
    """Return samples per second; on a GPU also what that is in TFLOP/s of the design, and of the GPU's peak.

    Three times the forward pass, two FLOPs per multiply-accumulate; the head is not counted.
    """
    found = {"samples per second": rate}
    if run.device.type == "cuda":
        from piip_explore import cost

        found["TFLOP/s"] = 6 * rate * cost.count(run.design, accounting="built").macs / 1e12
        peak = next((p for name, p in _PEAK.items() if name in torch.cuda.get_device_name(run.device)), None)
        if peak:
            found["MFU"] = 100 * found["TFLOP/s"] / peak
    return found


def _order(images: int, samples: int, seed: int) -> Tensor:
    """Return which image is seen when, the same for every design: whole shuffled passes, cut off at `samples`."""
    generator = torch.Generator().manual_seed(seed)
    passes = [torch.randperm(images, generator=generator) for _ in range(math.ceil(samples / images))]
    return torch.cat(passes)[:samples]


def _peak_memory(device: torch.device) -> int:
    """Peak bytes: of the run on a GPU; of this process so far on the CPU."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
