"""What scores a design: a proxy training run, or a table that replays scores.

An evaluator is a small picklable value; a worker process calls it. It must be importable without torch, which it loads
when it evaluates.
"""

from __future__ import annotations

import hashlib
import math
import socket
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol

from piip_explore.errors import InputError

if TYPE_CHECKING:
    from piip_explore.design import Design
    from piip_explore.device.profile import StepTiming

Status = Literal["ok", "diverged", "infeasible"]
Progress = Callable[[float], None]
"""Called now and then with the share done, 0 to 1; what it raises stops the evaluation."""


@dataclass(frozen=True)
class Place:
    """Where an evaluation runs: a device, such as cuda:0, of a host (this one by default)."""

    device: str
    host: str = field(default_factory=socket.gethostname)

    def __str__(self) -> str:
        return self.device if self.host == socket.gethostname() else f"{self.device} of {self.host}"


@dataclass(frozen=True)
class EvaluationTask:
    """One evaluation to do: of a trial's design (text and id), at a fidelity in [0, 1], with a seed, at a place.

    `checkpoints` is the folder for what a run that is interrupted needs to resume.
    """

    trial: int
    design: str
    design_id: str
    fidelity: float
    seed: int
    place: Place
    checkpoints: Path | None = None

    @property
    def device(self) -> str:
        """The device to evaluate on, as PyTorch names it."""
        return self.place.device


@dataclass(frozen=True)
class Outcome:
    """What an evaluation found.

    `score` is higher-is-better and NaN unless status is "ok"; `standard_error` its noise, None if unknown; `seconds`
    of training and `peak_memory` (bytes) of the proxy run; `latency` (milliseconds), `memory` (peak bytes) and `energy`
    (joules) of the full-scale design's forward pass, None unless the study asks for them. `conditions` are what the
    score depends on (device, code_version, kernel_backend, preset, ...), `details` further metrics, `curve` pairs of
    (samples seen, training loss), `metric_curve` pairs of (samples seen, the score's metric on some held-out samples),
    and `picture` a WebP file of what was predicted beside the truth, empty if there is none.
    """

    status: Status
    score: float
    standard_error: float | None
    seconds: float
    peak_memory: int | None = None
    latency: float | None = None
    memory: int | None = None
    energy: float | None = None
    conditions: Mapping[str, str] = field(default_factory=dict)
    details: Mapping[str, float] = field(default_factory=dict)
    curve: tuple[tuple[int, float], ...] = ()
    metric_curve: tuple[tuple[int, float], ...] = ()
    picture: bytes = field(default=b"", repr=False)
    message: str = ""


class Evaluator(Protocol):
    """Scores designs in a worker process.

    One that has `judges_untuned`, and has it true, can score a design at fidelity 0.
    """

    def describe(self) -> dict[str, Any]:
        """Return what identifies the evaluation (task, preset, data) as JSON-ready values, for the study's record."""

    def conditions(self, device: str) -> dict[str, str]:
        """Return what scores on a device depend on besides that: code_version and kernel_backend."""

    def evaluate(self, task: EvaluationTask, progress: Progress) -> Outcome:
        """Score one design."""


@dataclass(frozen=True)
class ReplayEvaluator:
    """Replays scores from a table: for recorded runs, and to test searches in seconds.

    `scores` maps design ids to scores at full fidelity. A short run scores lower, the more so the larger the design's
    `appetite` (0 to 1, by id), and with more noise: score - gap * (0.5 + appetite) * (fidelity^-0.3 - 1), plus noise
    with the standard deviation `noise * (1 + 3 * (1 - fidelity))`, the same for the same design, fidelity and seed.
    `delay` sleeps that many seconds per unit of fidelity.
    """

    scores: Mapping[str, float] = field(repr=False)
    appetite: Mapping[str, float] = field(default_factory=dict, repr=False)
    gap: float = 0.0
    noise: float = 0.0
    delay: float = 0.0

    def describe(self) -> dict[str, Any]:
        """Return the table's hash and the noise model."""
        text = repr(sorted(self.scores.items())).encode()
        digest = hashlib.sha256(text).hexdigest()[:12]
        return {"kind": "replay", "table": digest, "gap": self.gap, "noise": self.noise}

    def conditions(self, device: str) -> dict[str, str]:
        """Return constants: a table depends on no code."""
        return {"code_version": "replay", "kernel_backend": "none"}

    def evaluate(self, task: EvaluationTask, progress: Progress) -> Outcome:
        """Look the design up."""
        if task.design_id not in self.scores:
            raise InputError(f"the replayed table has no design '{task.design}'")
        self._wait(task.fidelity * self.delay, progress)
        lag = self.gap * (0.5 + self.appetite.get(task.design_id, 0.5)) * (task.fidelity**-0.3 - 1)
        deviation = self.noise * (1 + 3 * (1 - task.fidelity))
        score = self.scores[task.design_id] - lag + deviation * _normal(task)
        conditions = {"device": task.device, **self.conditions(task.device)}
        return Outcome("ok", score, deviation or None, task.fidelity * self.delay, conditions=conditions)

    def _wait(self, seconds: float, progress: Progress) -> None:
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            progress(1 - left / seconds)
            time.sleep(min(left, 0.05))


def _normal(task: EvaluationTask) -> float:
    """A standard normal number that depends on the task alone."""
    digest = hashlib.sha256(f"{task.design_id} {task.fidelity:.6g} {task.seed}".encode()).digest()
    u, v = (int.from_bytes(digest[i : i + 7], "big") / 2**56 for i in (0, 8))
    return math.sqrt(-2 * math.log(1 - u)) * math.cos(2 * math.pi * v)


@dataclass(frozen=True)
class ProxyEvaluator:
    """Trains a design on a proxy task (`piip_explore.proxy`) under the preset named `preset`.

    `measure` names what is measured of the full-scale design's forward pass on the worker's device, at batch 1:
    `latency`, `memory`, `energy`. A device that several workers share measures their sum.
    """

    preset: str
    measure: tuple[str, ...] = ()

    def describe(self) -> dict[str, Any]:
        """Return the preset's name and hash and the task's metric."""
        from piip_explore import proxy

        preset = proxy.preset(self.preset)
        return {"kind": "proxy", "preset": preset.name, "preset_hash": preset.hash, "metric": preset.task.metric}

    def conditions(self, device: str) -> dict[str, str]:
        """Return the training code's version and the deformable attention's backend."""
        from piip_explore.ops import backend_name
        from piip_explore.proxy.score import code_version

        return {"code_version": code_version(), "kernel_backend": backend_name(device.partition(":")[0])}

    @property
    def judges_untuned(self) -> bool:
        """Whether a design has a score before any training of its own: the preset has supernets."""
        from piip_explore import proxy

        recipe = proxy.preset(self.preset).supernet
        return recipe is not None and recipe.shared == "everything"

    def expect_seconds(self, designs: Sequence[Design], device: str, threads: int) -> tuple[float, dict[str, float]]:
        """Return about how long a full run of one of these designs takes, and what is made once before, by what.

        `designs` rise in cost; a worker on the CPU has so many `threads`.
        """
        from piip_explore import proxy
        from piip_explore.proxy import durations

        preset = proxy.preset(self.preset)
        middle = designs[len(designs) // 2]
        slow = 1.0 if device.startswith("cuda") else durations.slowness(middle, preset, threads)
        runs = [durations.trial_seconds(design, preset, device) for design in designs]
        before = durations.preparation_seconds(designs, preset, device)
        return slow * sum(runs) / len(runs), {what: slow * seconds for what, seconds in before.items()}

    def evaluate(self, task: EvaluationTask, progress: Progress) -> Outcome:
        """Train and validate, going on from a checkpoint if the run was interrupted."""
        from piip_explore import proxy
        from piip_explore.design import Design

        score = proxy.evaluate(
            Design.parse(task.design),
            proxy.preset(self.preset),
            seed=task.seed,
            fidelity=task.fidelity,
            device=task.device,
            progress=lambda seen, samples, loss: progress(seen / samples),  # never called where there are no samples
            resume_dir=task.checkpoints,
        )
        conditions = {**vars(score.conditions), "kernel_backend": score.conditions.backend}
        del conditions["backend"]
        forward = self._measure(task) if score.status == "ok" else None
        return Outcome(
            status=score.status,
            score=score.value,
            standard_error=score.standard_error,
            seconds=score.seconds,
            peak_memory=score.peak_memory,
            latency=None if forward is None else forward.median * 1e3,
            memory=None if forward is None else forward.peak_memory,
            energy=None if forward is None else forward.energy,
            conditions=conditions,
            details=score.details,
            curve=score.train_loss,
            metric_curve=score.metric_curve,
            picture=score.picture,
            message=score.message,
        )

    def _measure(self, task: EvaluationTask) -> StepTiming | None:
        """Return what the full-scale design's forward pass took, None where nothing is asked for."""
        if not self.measure:
            return None
        from piip_explore.design import Design
        from piip_explore.device import profile

        return profile(Design.parse(task.design), device=task.device, training=False).forward
