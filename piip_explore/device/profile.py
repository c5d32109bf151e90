"""Measure a design: latency, throughput, peak memory and energy, of the forward pass and of training."""

from __future__ import annotations

import platform
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass

import numpy as np
import torch
from torch import Tensor

from piip_explore import phases
from piip_explore.cost import count, traffic
from piip_explore.design import Design
from piip_explore.device import energy
from piip_explore.device_name import resolve
from piip_explore.errors import InputError
from piip_explore.memory import is_out_of_memory
from piip_explore.models import Pyramid, build
from piip_explore.ops import backend_name

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}

WARM_UP = 3
"""Steps before those that are timed: they compile kernels, fill caches and make the optimizer's state."""


@dataclass(frozen=True)
class StepTiming:
    """Times of one step in seconds, images per second at the median, peak memory and energy.

    `peak_memory` is in bytes, of weights, activations and (training) gradients and optimizer; None where the device
    does not count it. `energy` is in joules per step, of the whole GPU; None where it is not counted
    (`device.energy`).
    """

    median: float
    p95: float
    throughput: float
    peak_memory: int | None
    energy: float | None
    steps: int


@dataclass(frozen=True)
class Profile:
    """A design's measured costs with all that they depend on; `training` is None where it was not asked for.

    `macs`, `params`, `activations`, `moved`, `kept` and `peak` are what is counted of the design as it is built, for
    one image.
    """

    design: str
    id: str
    batch: int
    dtype: str
    device: str
    backend: str
    torch: str
    macs: int
    params: int
    activations: int
    moved: int
    kept: int
    peak: int
    forward: StepTiming
    training: StepTiming | None


def profile(
    design: Design,
    *,
    device: str = "auto",
    batch: int = 1,
    dtype: str = "float32",
    training: bool = True,
    steps: int = 30,
    seconds: float = 20.0,
) -> Profile:
    """Build a design with fresh weights and time it.

    Args:
        design: the architecture; images have its largest branch's resolution.
        device: auto, cpu, cuda or cuda:N.
        batch: images at once.
        dtype: float32 (TF32 as PyTorch is set), or bfloat16 and float16: weights in that dtype for the forward pass,
            autocast with float32 weights for training.
        training: time a step of training too: forward, backward, AdamW.
        steps: most steps to time.
        seconds: stop timing after this long, but time at least three steps.

    Raises:
        InputError: an unknown device or dtype, or a batch that does not fit into the device's memory.
    """
    if dtype not in DTYPES:
        raise InputError(f"dtype '{dtype}': expected one of {', '.join(DTYPES)}")
    if batch < 1 or steps < 1:
        raise InputError(f"batch {batch} and steps {steps}: expected positive whole numbers")
    where = resolve(device)
    try:
        forward = _time(_forward(design, where, batch, DTYPES[dtype]), where, batch, steps, seconds)
        step = _training(design, where, batch, DTYPES[dtype]) if training else None
        trained = _time(step, where, batch, steps, seconds) if step else None
    except RuntimeError as error:
        if not is_out_of_memory(error):
            raise
        raise InputError(f"batch {batch} of '{design}' does not fit into the memory of {where}: lower it") from None
    cost = count(design, "built")
    return Profile(
        design=str(design),
        id=design.id,
        batch=batch,
        dtype=dtype,
        device=_device_name(where),
        backend=backend_name(where),
        torch=torch.__version__,
        macs=cost.macs,
        params=cost.params,
        **asdict(traffic(design)),
        forward=forward,
        training=trained,
    )


def _images(design: Design, device: torch.device, batch: int) -> Tensor:
    return torch.randn(batch, 3, design.resolution, design.resolution, device=device)


def _build(design: Design, device: torch.device) -> Pyramid:
    with device:
        return build(design)


def _forward(design: Design, device: torch.device, batch: int, dtype: torch.dtype) -> Callable[[], None]:
    model = _build(design, device).eval().to(dtype)
    images = _images(design, device, batch).to(dtype)

    def step() -> None:
        with torch.inference_mode():
            model(images)

    return step


def _training(design: Design, device: torch.device, batch: int, dtype: torch.dtype) -> Callable[[], None]:
    model = _build(design, device).train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4)
    images = _images(design, device, batch)

    def step() -> None:
        with torch.autocast(device.type, dtype, enabled=dtype != torch.float32):
            outputs = model(images)
        outputs = outputs if isinstance(outputs, list) else [outputs]
        loss = torch.stack([output.float().square().mean() for output in outputs]).sum()
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()

    return step


def _time(step: Callable[[], None], device: torch.device, batch: int, steps: int, seconds: float) -> StepTiming:
    gpu = device.type == "cuda"
    for _ in range(WARM_UP):
        phases.tell("timing the design")
        step()
    if gpu:
        torch.cuda.synchronize(device)
        torch.cuda.reset_peak_memory_stats(device)
    times: list[float] = []
    joules = energy.meter(device)
    before = joules() if joules else 0.0
    begin = time.perf_counter()

    def unfinished() -> bool:
        elapsed = time.perf_counter() - begin
        if joules is not None and elapsed < energy.LEAST_SECONDS:
            return True
        return len(times) < steps and (len(times) < 3 or elapsed < seconds)

    while unfinished():
        phases.tell("timing the design", min(1.0, len(times) / steps))
        start = time.perf_counter()
        step()
        if gpu:
            torch.cuda.synchronize(device)
        times.append(time.perf_counter() - start)
    median, p95 = np.percentile(times, [50, 95])
    peak = torch.cuda.max_memory_allocated(device) if gpu else None
    taken = (joules() - before) / len(times) if joules else None
    return StepTiming(float(median), float(p95), batch / float(median), peak, taken, len(times))


def _device_name(device: torch.device) -> str:
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"{platform.processor() or platform.machine()} CPU, {torch.get_num_threads()} threads"
