"""One training run: from a design, a preset and a seed to a score. It resumes, and says how it ended."""

from __future__ import annotations

import io
import json
import math
import time
import warnings
from collections.abc import Callable, Collection
from dataclasses import asdict, dataclass, field
from functools import lru_cache
from pathlib import Path

import torch
from torch import Tensor

from piip_explore import cache, phases
from piip_explore.memory import peak_bytes
from piip_explore.proxy.data.source import DataSource, Samples, Split
from piip_explore.proxy.network import Trainable
from piip_explore.proxy.run import Run
from piip_explore.proxy.score import Score, Status
from piip_explore.proxy.steps import Setting, choose
from piip_explore.proxy.validation import Validation, glances

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
    """The state of a run, without the networks' tensors."""

    step: int = 0
    loss: float = math.nan
    first_loss: float = math.nan
    seconds: float = 0.0
    curve: list[tuple[int, float]] = field(default_factory=list)
    metric_curve: list[tuple[int, float]] = field(default_factory=list)


def train(
    run: Run, network: Callable[[], Trainable], progress: Progress | None = None, resume_dir: Path | None = None
) -> Score:
    """Train and validate; with `resume_dir`, resume from a checkpoint there, or return the score if the run is done.

    `network` is called once, if there is anything left to train, and returns it with its first weights.

    Raises:
        InputError: the data cannot be read.
    """
    finished = resume_dir and resume_dir / f"{run.key}.score"
    if finished and (kept := cache.read(finished, run.key)):
        return Score.from_dict(json.loads(kept))
    checkpoint = resume_dir and resume_dir / f"{run.key}.checkpoint"
    score = _within_memory(run, network, checkpoint, progress)
    if finished and checkpoint:
        cache.write(finished, run.key, json.dumps(score.to_dict(), indent=1).encode())
        checkpoint.unlink(missing_ok=True)
    return score


def _within_memory(
    run: Run, network: Callable[[], Trainable], checkpoint: Path | None, progress: Progress | None
) -> Score:
    """Train; if memory runs out, train once more with the batch in parts; then report what was needed."""
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
        peak_memory=peak_bytes(run.device),
        train_loss=(),
        status="infeasible",
        conditions=run.conditions,
        message=f"out of memory, with batches in {_PARTS} parts too: {message}",
    )


class Training:
    """The live side of a run: network, optimiser, data on the device.

    Every batch is run in `parts` equal parts whose gradients are summed.
    """

    def __init__(self, run: Run, network: Trainable, checkpoint: Path | None = None, parts: int = 1) -> None:
        self.run, self.checkpoint, self.parts, self.state = run, checkpoint, parts, _State()
        preset = run.preset
        self.train = _load(preset.data, "train", preset.train_images, preset.size, run.device)
        held_out = _load(preset.data, "val", preset.val_images, preset.size, run.device)
        self.objective = preset.task.objective(self.train, len(preset.data.classes(preset.task.needs)))
        self.order = _order(len(self.train), run.samples, run.seed).to(run.device)
        self.network = network.to(run.device)
        if run.device.type == "cuda":  # refused before a first tensor on the device has initialised CUDA
            torch.cuda.reset_peak_memory_stats(run.device)
        cuda = run.device.type == "cuda"
        autocast = torch.bfloat16 if cuda else None
        self.validation = Validation(preset, held_out, autocast)
        self.optimizer = torch.optim.AdamW(self.network.parameter_groups(preset), fused=True, capturable=cuda)
        # Tensors, so that a captured step reads its rates anew; a GPU's fused kernel takes them in float32.
        peaks = [group["peak"] for group in self.optimizer.param_groups]
        self.peaks = torch.tensor(peaks, dtype=torch.float32 if cuda else torch.float64, device=run.device)
        self.rates = torch.zeros_like(self.peaks)
        self._restore()
        for group, rate in zip(self.optimizer.param_groups, self.rates, strict=True):
            group["lr"] = rate
        setting = Setting(self.network, self.train.images, self.objective, self.optimizer, preset.clip, parts, autocast)
        self.train_on = choose(setting, run.device)

    def score(self, progress: Progress | None) -> Score:
        """Train to the end, validate, and say how it went."""
        preset, state = self.run.preset, self.state
        status = self.fit(progress, glances(self.run.steps))
        trained = time.monotonic()
        metrics, picture = self.validation.judge(self.network) if status == "ok" else ({}, b"")
        seen = state.step * preset.batch
        return Score(
            value=metrics.pop(preset.task.metric, math.nan),
            standard_error=None,
            seeds=(self.run.seed,),
            metric=preset.task.metric,
            fidelity=self.run.fidelity,
            seconds=state.seconds or time.monotonic() - trained,  # an untuned score costs only its validation
            peak_memory=peak_bytes(self.run.device),
            train_loss=tuple(state.curve),
            status=status,
            conditions=self.run.conditions,
            message="" if status == "ok" else f"training loss {state.loss:.4g} after {seen} samples",
            details=metrics | (throughput(self.run, seen / state.seconds) if seen else {}),
            metric_curve=tuple(state.metric_curve),
            picture=picture,
        )

    def fit(self, progress: Progress | None, glances: Collection[int] = ()) -> Status:
        """Train to the end, and say how it went: "ok" or "diverged"; `glances` are steps to take the metric after."""
        run, state = self.run, self.state
        began = time.monotonic() - state.seconds
        last_saved = time.monotonic()
        losses: list[Tensor] = []
        self.network.train()
        while state.step < run.steps:
            losses.append(self._step(self.order[state.step * run.preset.batch : (state.step + 1) * run.preset.batch]))
            state.step += 1
            if state.step in glances:
                state.metric_curve.append((state.step * run.preset.batch, self.validation.glance(self.network)))
            state.seconds = time.monotonic() - began
            self._say(losses)
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

    def _say(self, losses: list[Tensor]) -> None:
        """Report the run's state at every step; if that stops the run, keep what was trained."""
        try:
            phases.tell("training", self.state.step / self.run.steps)
        except BaseException:
            if self.checkpoint:
                self._smooth(torch.stack(losses).tolist())
                self._save()
            raise

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
        torch.mul(self.peaks, self._rate_factor(), out=self.rates)
        return self.train_on(index, self.state.step)

    def _smooth(self, losses: list[float]) -> None:
        state = self.state
        for loss in losses:
            state.loss = loss if math.isnan(state.loss) else _SMOOTHING * state.loss + (1 - _SMOOTHING) * loss
        if math.isnan(state.first_loss):
            state.first_loss = losses[0]

    def _look(self, losses: list[float]) -> bool:
        """Update the smoothed loss; return False if it is no longer finite."""
        state = self.state
        self._smooth(losses)
        state.curve.append((state.step * self.run.preset.batch, state.loss))
        return all(map(math.isfinite, losses))

    def _rate_factor(self) -> float:
        """Return the share of the peak rate at this step: linear warm-up, then half a cosine to zero."""
        step, steps = self.state.step, self.run.steps
        warm = max(1, round(self.run.preset.warmup * steps))
        if step < warm:
            return (step + 1) / warm
        return 0.5 * (1 + math.cos(math.pi * (step - warm) / max(1, steps - warm)))

    def _save(self) -> None:
        assert self.checkpoint is not None
        values = {
            "network": self.network.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "state": asdict(self.state),
        }
        content = io.BytesIO()
        torch.save(values, content)
        cache.write(self.checkpoint, self.run.key, content.getvalue())

    def _restore(self) -> None:
        """Resume from the checkpoint if it is whole; without one, or with a damaged one, training starts over.

        Training draws no random numbers after the first weights, so there is no generator to restore.
        """
        content = None if self.checkpoint is None else cache.read(self.checkpoint, self.run.key)
        if content is None:
            return
        values = torch.load(io.BytesIO(content), map_location=self.run.device, weights_only=True)
        self.network.load_state_dict(values["network"])
        self.optimizer.load_state_dict(values["optimizer"])
        self.state = _State(**values["state"])


@lru_cache(maxsize=2)
def _load(data: DataSource, split: Split, count: int, size: int, device: torch.device) -> Samples:
    """Load samples, and keep the last two sets on the device for the next candidate."""
    return data.load(split, count, size, device)


def throughput(run: Run, rate: float) -> dict[str, float]:
    """Return samples per second; on a GPU also what that is in TFLOP/s of the design, and of the GPU's peak.

    Three times the forward pass, two FLOPs per multiply-accumulate; the head is not counted. A design that cannot be
    counted here keeps its score and warns.
    """
    found = {"samples per second": rate}
    if run.device.type == "cuda":
        try:
            from piip_explore import cost

            macs = cost.count(run.design, accounting="built").macs
        except Exception as error:  # whatever the error, the run is trained and validated
            warnings.warn(f"no TFLOP/s for {run.design}: {error}", RuntimeWarning, stacklevel=2)
            return found
        found["TFLOP/s"] = 6 * rate * macs / 1e12
        peak = next((p for name, p in _PEAK.items() if name in torch.cuda.get_device_name(run.device)), None)
        if peak:
            found["MFU"] = 100 * found["TFLOP/s"] / peak
    return found


def _order(images: int, samples: int, seed: int) -> Tensor:
    """Return which image is seen when, the same for every design: whole shuffled passes, cut off at `samples`."""
    generator = torch.Generator().manual_seed(seed)
    passes = [torch.randperm(images, generator=generator) for _ in range(max(1, math.ceil(samples / images)))]
    return torch.cat(passes)[:samples]
