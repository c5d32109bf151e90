"""One optimiser step of a proxy run: as PyTorch writes it, with few kernels, or replayed from a CUDA graph.

A shrunken design's step is thousands of short kernels, and the host starts them more slowly than a GPU runs them. Over
a third of them cast weights for autocast; the rest can be started at once, if the step is captured as a graph.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from piip_explore.errors import InputError, expected
from piip_explore.proxy.network import Trainable
from piip_explore.proxy.tasks.task import Objective

ENVIRONMENT_VARIABLE = "PIIP_EXPLORE_STEP"
KINDS = ("plain", "lean", "graphed")
AUTOMATIC = "auto"

_WARM = 3
"""Steps outside the graph first: they compile kernels and make the libraries' workspaces."""
_LOSS_TOLERANCE, _UPDATE_TOLERANCE = 0.01, 0.1
"""How far a replayed step may lie from the same step outside the graph, as a share: atomic sums have no fixed order."""


@dataclass(frozen=True)
class Setting:
    """What a step works on.

    `groups` of the optimiser hold their learning rates as tensors; `autocast` is the dtype of matrix products, None to
    leave them in float32. A batch is run in `parts` equal parts whose gradients are summed.
    """

    network: Trainable
    images: Tensor
    objective: Objective
    optimizer: torch.optim.Optimizer
    clip: float
    parts: int
    autocast: torch.dtype | None

    def precision(self) -> AbstractContextManager[Any]:
        """Return the context that the network runs in."""
        return torch.autocast(self.images.device.type, self.autocast) if self.autocast else nullcontext()


class Step(Protocol):
    """Trains on the samples at `index` (B,)."""

    def __call__(self, index: Tensor, number: int) -> Tensor:
        """Do the run's step of this number and return its loss, a scalar on the device."""
        ...


def choose(setting: Setting, device: torch.device) -> Step:
    """Return the step for a run: graphed on a GPU where every step is alike, else plain.

    The environment variable PIIP_EXPLORE_STEP (`auto`, `plain`, `lean`, `graphed`) overrides that.

    Raises:
        InputError: an unknown kind, or a graph without a GPU.
    """
    kind = os.environ.get(ENVIRONMENT_VARIABLE) or AUTOMATIC
    if kind not in (AUTOMATIC, *KINDS):
        raise InputError(f"{ENVIRONMENT_VARIABLE}: unknown step '{kind}': {expected(kind, [AUTOMATIC, *KINDS])}")
    if kind == "graphed" and device.type != "cuda":
        raise InputError(
            f"{ENVIRONMENT_VARIABLE}=graphed needs a GPU, and this run is on '{device}': use lean or plain"
        )
    if kind == "plain" or not setting.network.steady or setting.parts > 1:
        return PlainStep(setting)
    if kind == "lean":
        return LeanStep(setting)
    return GraphedStep(LeanStep(setting), Recorder(device)) if device.type == "cuda" else PlainStep(setting)


class PlainStep:
    """A step as PyTorch writes it."""

    def __init__(self, setting: Setting) -> None:
        self.setting = setting
        self.parameters = [p for p in setting.network.parameters() if p.requires_grad]

    def __call__(self, index: Tensor, number: int) -> Tensor:
        """Do the run's step of this number and return its loss."""
        self.setting.optimizer.zero_grad(set_to_none=True)
        loss = self._differentiate(index, number)
        nn.utils.clip_grad_norm_(self.parameters, self.setting.clip)
        self.setting.optimizer.step()
        return loss

    def _differentiate(self, index: Tensor, number: int) -> Tensor:
        """Leave the gradients with the parameters; return the loss."""
        total = torch.zeros((), device=index.device)
        for part in index.chunk(self.setting.parts):
            with self.setting.precision():
                output = self._forward(self.setting.images[part], number)
            loss = self.setting.objective(output, part) * (len(part) / len(index))
            loss.backward()
            total += loss.detach()
        return total

    def _forward(self, images: Tensor, number: int) -> Any:
        return self.setting.network(images, number)


class LeanStep(PlainStep):
    """The same step to the same bits in fewer kernels: weights in the dtype of autocast beside their float32 masters.

    The parameters that autocast only casts have copies in its dtype, which the network runs with. All their gradients
    are cast to the masters' dtype at once, and the new masters to the copies. The masters are the network's own
    parameters, so its state, checkpoints and validation know nothing of this.
    """

    def __init__(self, setting: Setting) -> None:
        super().__init__(setting)
        casts = _Casts(list(setting.network.parameters()))
        with torch.no_grad(), setting.precision(), casts:
            setting.network(setting.images[:1], 0)
        self.masters: list[Tensor] = []
        self.copies: dict[str, Tensor] = {}
        for name, parameter in setting.network.named_parameters():
            if setting.autocast is not None and casts.are_all_of(parameter):
                self.masters.append(parameter)
                self.copies[name] = parameter.detach().to(setting.autocast).requires_grad_(parameter.requires_grad)

    def __call__(self, index: Tensor, number: int) -> Tensor:
        """Do the run's step of this number and return its loss."""
        loss = super().__call__(index, number)
        with torch.no_grad():
            if self.copies:
                torch._foreach_copy_(list(self.copies.values()), self.masters)
        return loss

    def _differentiate(self, index: Tensor, number: int) -> Tensor:
        for copy in self.copies.values():
            copy.grad = None
        loss = super()._differentiate(index, number)
        wide, narrow = [], []
        for master, copy in zip(self.masters, self.copies.values(), strict=True):
            if copy.grad is not None:
                master.grad = torch.empty_like(master)
                wide.append(master.grad)
                narrow.append(copy.grad)
        if wide:
            torch._foreach_copy_(wide, narrow)
        return loss

    def _forward(self, images: Tensor, number: int) -> Any:
        return torch.func.functional_call(self.setting.network, self.copies, (images, number))

    def tensors(self) -> list[Tensor]:
        """Return all that a step changes: the parameters first, then the copies and the optimiser's state."""
        states = (self.setting.optimizer.state.get(parameter, {}) for parameter in self.parameters)
        held = [value for state in states for value in state.values() if isinstance(value, Tensor)]
        return [*self.parameters, *self.copies.values(), *held]


class Recorder:
    """Work on a GPU, set aside from the stream that it is ordered on, or captured as a graph."""

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.stream = torch.cuda.Stream(device)

    def aside(self, work: Callable[[], Tensor]) -> Tensor:
        """Do the work on a stream of its own, after and before what is ordered."""
        with torch.cuda.device(self.device):
            ordered = torch.cuda.current_stream()
            self.stream.wait_stream(ordered)
            with torch.cuda.stream(self.stream):
                done = work()
            ordered.wait_stream(self.stream)
        return done

    def capture(self, work: Callable[[], Tensor]) -> tuple[Callable[[], None], Tensor]:
        """Return what replays the work, which is not done now, and the tensor that will then hold its result."""
        graph = torch.cuda.CUDAGraph()
        with (
            torch.cuda.device(self.device),
            torch.cuda.graph(graph, stream=self.stream, capture_error_mode="thread_local"),
        ):
            result = work()
        return graph.replay, result


class GraphedStep:
    """A lean step that is replayed from a CUDA graph, once the graph is seen to do the same.

    After some steps outside it, one step is done both ways from the same start. If the graph cannot be captured or
    gives another result, a warning says so, and the run trains on without it.
    """

    def __init__(self, lean: LeanStep, recorder: Recorder) -> None:
        self.lean, self.recorder = lean, recorder
        self.warm, self.given_up = 0, False
        self.index: Tensor | None = None
        self.replay: Callable[[], None] | None = None
        self.loss = torch.empty(0)

    def __call__(self, index: Tensor, number: int) -> Tensor:
        """Do the run's step of this number, for the network the same as any other, and return its loss."""
        if self.given_up:
            return self.lean(index, number)
        if self.index is None:
            self.index = index.clone()
        self.index.copy_(index)
        if self.replay is not None:
            self.replay()
            return self.loss.clone()
        if self.warm < _WARM:
            self.warm += 1
            return self.recorder.aside(lambda: self.lean(index, number))
        reason = self._capture(self.index, number)
        if not reason:
            return self.loss.clone()
        self.given_up, self.replay = True, None
        warnings.warn(
            f"training steps run one kernel at a time and not from a CUDA graph, with the same results: {reason}",
            RuntimeWarning,
            stacklevel=2,
        )
        return self.lean(index, number)

    def _capture(self, index: Tensor, number: int) -> str:
        """Capture a step and do it; return why not, with everything as it was before, or nothing."""
        try:
            replay, loss = self.recorder.capture(lambda: self.lean(index, number))
        except torch.OutOfMemoryError:
            raise  # a smaller batch may fit
        except RuntimeError as error:
            return f"capturing failed ({str(error).partition(chr(10))[0]})"
        before = [tensor.detach().clone() for tensor in self.lean.tensors()]
        plain_loss = self.lean(index, number)
        plain = [parameter.detach().clone() for parameter in self.lean.parameters]
        self._restore(before)
        replay()
        found = [parameter.detach() for parameter in self.lean.parameters]
        difference = _difference(before[: len(plain)], plain, found)
        if not _close(loss, plain_loss) or not difference <= _UPDATE_TOLERANCE:
            self._restore(before)
            return (
                f"a replayed step differs from the same step outside the graph: loss {float(loss):.6g} and not"
                f" {float(plain_loss):.6g}, {difference:.2g} of the weights' change"
            )
        self.replay, self.loss = replay, loss
        return ""

    @torch.no_grad()
    def _restore(self, before: Sequence[Tensor]) -> None:
        for tensor, value in zip(self.lean.tensors(), before, strict=True):
            tensor.copy_(value)


class _Casts(TorchDispatchMode):
    """Notes which uses of parameters are casts to another dtype."""

    def __init__(self, parameters: Sequence[Tensor]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.uses: dict[int, set[bool]] = {id(parameter): set() for parameter in parameters}

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        casts = func is torch.ops.aten._to_copy.default and kwargs.get("dtype") is not None
        for leaf in tree_leaves((args, kwargs)):
            if id(leaf) in self.uses:
                self.uses[id(leaf)].add(casts)
        return func(*args, **kwargs)

    def are_all_of(self, parameter: Tensor) -> bool:
        """Whether the parameter was used, and only to be cast."""
        return self.uses.get(id(parameter)) == {True}


def _close(loss: Tensor, wanted: Tensor) -> bool:
    return torch.allclose(loss, wanted, rtol=_LOSS_TOLERANCE, atol=0, equal_nan=True)


def _difference(start: list[Tensor], wanted: list[Tensor], found: list[Tensor]) -> float:
    """Return how far the found parameters are from the wanted ones, as a share of how far these moved."""
    moved = torch.stack(torch._foreach_norm(torch._foreach_sub(wanted, start))).norm()
    apart = torch.stack(torch._foreach_norm(torch._foreach_sub(found, wanted))).norm()
    return float(apart / moved.clamp(min=torch.finfo(moved.dtype).tiny))
