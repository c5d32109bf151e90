"""How networks are run to be timed: PyTorch as it is, compiled, or ONNX Runtime. Needs torch."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from piip_explore import cache
from piip_explore.catalog import ViT
from piip_explore.design import Design
from piip_explore.errors import InputError
from piip_explore.extras import need
from piip_explore.latency.kinds import ViTBlock
from piip_explore.latency.networks import network
from piip_explore.latency.plan import Point
from piip_explore.models.program import trace_onnx

BACKENDS = ("eager", "compile", "onnxruntime")

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}

_SAMPLES = 3
"""Samples per visit; their median counts."""
_REFERENCES = 3
"""Runs of the reference between two samples."""
_LARGEST = 2_000_000_000
"""Bytes that a file of ONNX holds, about."""
_SAMPLE = 0.02
"""The least duration of a sample, in seconds: it repeats calls until then."""


_REFERENCE = Point(ViTBlock(ViT(1, 192, 3), None, False), (16,))
"""What is timed before and after every sample, for the device's speed at the moment."""


class SampleTiming(NamedTuple):
    """One forward pass: its seconds over those of the reference around it, the latter, and peak bytes if counted."""

    ratio: float
    reference: float
    memory: int | None


@dataclass(frozen=True)
class Runner:
    """Times networks on one device, all in the same way.

    Other programs, heat and clocks change the speed of a device by more than the predictions' error. So every sample
    runs between two runs of a small network, the reference, and is measured in units of it. On a CPU with one thread,
    the thread's own seconds count, without the core's time for other programs.

    `folder` keeps the ONNX models of what was timed before.
    """

    device: torch.device
    dtype: torch.dtype
    batch: int
    backend: str
    threads: int
    folder: Path

    def check(self) -> None:
        """Check that the backend runs here.

        Raises:
            InputError: it does not; the sentence says what it needs.
        """
        if self.backend != "onnxruntime":
            return
        need("backend onnxruntime", "onnx", "onnxruntime")
        if self.dtype != torch.float32:
            raise InputError("backend onnxruntime runs the exported program, which is float32: drop --dtype")
        if _provider(self.device) not in _onnxruntime().get_available_providers():
            raise InputError(f"this onnxruntime cannot run on {self.device}: install onnxruntime-gpu, or use the CPU")

    @property
    def clock(self) -> str:
        """The clock that the seconds are read from."""
        return "its thread" if self.device.type == "cpu" and self.threads == 1 else "the wall clock"

    def time(self, what: Point | Design, key: str) -> SampleTiming:
        """Time a part or a design; `key` names it among the files in `folder`."""
        step = self._onnx_step(what, key) if self.backend == "onnxruntime" else self._torch_step(what)
        with torch.inference_mode():
            step()
            memory = self._memory(step)
            calls = max(1, round(_SAMPLE / self._sample(step, 1)))
            reference = [self._sample(self._reference, _REFERENCES)]
            ratios = []
            for _ in range(_SAMPLES):
                taken = self._sample(step, calls)
                reference.append(self._sample(self._reference, _REFERENCES))
                ratios.append(2 * taken / (reference[-2] + reference[-1]))
        return SampleTiming(float(np.median(ratios)), float(np.median(reference)), memory)

    def _memory(self, step: Callable[[], object]) -> int | None:
        if self.device.type != "cuda" or self.backend == "onnxruntime":
            return None
        torch.cuda.reset_peak_memory_stats(self.device)
        step()
        torch.cuda.synchronize(self.device)
        return torch.cuda.max_memory_allocated(self.device)

    @cached_property
    def _reference(self) -> Callable[[], object]:
        module, inputs = network(_REFERENCE, 1, self.device, torch.float32)
        module(*inputs)
        return lambda: module(*inputs)

    def _sample(self, step: Callable[[], object], calls: int) -> float:
        now = time.thread_time if self.clock == "its thread" else time.perf_counter
        start = now()
        for _ in range(calls):
            step()
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
        return (now() - start) / calls

    def _torch_step(self, what: Point | Design) -> Callable[[], object]:
        module, inputs = network(what, self.batch, self.device, self.dtype)
        run: Callable[..., Any] = torch.compile(module) if self.backend == "compile" else module
        return lambda: run(*inputs)

    def _onnx_step(self, what: Point | Design, key: str) -> Callable[[], object]:
        runtime = _onnxruntime()
        module, inputs = network(what, self.batch, torch.device("cpu"), self.dtype)
        names = [f"input_{number}" for number in range(len(inputs))]
        path, made_from = self.folder / f"{key}.traced", f"{what} of batch {self.batch}"
        content = cache.read(path, made_from)
        if content is None:
            content = _traced(module, inputs, names)
            cache.write(path, made_from, content)
        options = runtime.SessionOptions()
        options.intra_op_num_threads, options.inter_op_num_threads = self.threads, 1
        options.log_severity_level = 3
        session = runtime.InferenceSession(content, options, providers=[_provider(self.device)])
        binding = session.io_binding()
        for name, x in zip(names, inputs, strict=True):
            binding.bind_ortvalue_input(name, runtime.OrtValue.ortvalue_from_numpy(x.numpy(), *_place(self.device)))
        for output in session.get_outputs():
            binding.bind_output(output.name, *_place(self.device))
        return lambda: session.run_with_iobinding(binding)


def _traced(module: nn.Module, inputs: tuple[Tensor, ...], names: list[str]) -> bytes:
    """Return a module as an ONNX model."""
    size = sum(parameter.numel() * parameter.element_size() for parameter in module.parameters())
    if size > _LARGEST:
        raise InputError(f"a part or design has {size / 1e9:.1f} GB of weights, too many for one ONNX file")
    with TemporaryDirectory() as folder:
        path = Path(folder) / "model.onnx"
        trace_onnx(module, inputs, path, names)
        return path.read_bytes()


def _place(device: torch.device) -> tuple[str, int]:
    return device.type, device.index or 0


def _provider(device: torch.device) -> str:
    return "CUDAExecutionProvider" if device.type == "cuda" else "CPUExecutionProvider"


def _onnxruntime() -> Any:
    import onnxruntime

    return onnxruntime
