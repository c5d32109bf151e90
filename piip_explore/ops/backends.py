"""Which backend computes the operator: that of the argument, else of the environment, else of the device.

A backend is a module with two functions, `forward` and `backward`, of the operator's contiguous, non-empty
arguments; every backend passes the same checks (`piip_explore.ops.check`).
"""

from __future__ import annotations

import functools
import importlib
import importlib.util
import os
import warnings
from collections.abc import Sequence
from typing import Protocol, cast

import torch
from torch import Tensor

from piip_explore.errors import InputError

BACKENDS = {"triton": "piip_explore.ops.triton_backend", "torch": "piip_explore.ops.torch_backend"}
"""Every backend's name and module."""

ENVIRONMENT_VARIABLE = "PIIP_EXPLORE_OPS_BACKEND"

AUTOMATIC = "auto"


class Backend(Protocol):
    """What a backend's module offers. Grids are (H, W); shapes are those of `deformable_attention`.

    Where `query_grid` is None, offsets are locations in pixels and logits are the weights themselves.
    """

    def forward(
        self,
        value: Tensor,
        offsets: Tensor,
        logits: Tensor,
        key_grid: Sequence[int],
        query_grid: Sequence[int] | None,
    ) -> Tensor:
        """Return the attended values (B, Q, heads*width) in the dtype of `value`."""

    def backward(
        self,
        gradient: Tensor,
        value: Tensor,
        offsets: Tensor,
        logits: Tensor,
        key_grid: Sequence[int],
        query_grid: Sequence[int] | None,
        needs: Sequence[bool],
    ) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
        """Return the gradients of value, offsets and logits, None for those not in `needs`."""


def backend_name(device: torch.device | str, backend: str | None = None) -> str:
    """Return the name of the backend that computes the operator on `device`: "triton" or "torch".

    `backend` chooses one by name; without it the environment variable PIIP_EXPLORE_OPS_BACKEND does. "auto" leaves the
    choice to the device. Raises `InputError` for an unknown name, and for Triton if it cannot run.
    """
    device = torch.device(device)
    name, origin = backend, "the argument `backend`"
    if name is None or name == AUTOMATIC:
        name, origin = os.environ.get(ENVIRONMENT_VARIABLE) or AUTOMATIC, ENVIRONMENT_VARIABLE
    if name == AUTOMATIC:
        return _automatic(device)
    if name not in BACKENDS:
        choices = ", ".join([AUTOMATIC, *BACKENDS])
        raise InputError(f"{origin} names the unknown operator backend {name!r}; choose one of {choices}")
    if name == "triton" and device.type != "meta":
        _require_triton(device, origin)
    return name


def load(name: str) -> Backend:
    """Import and return the backend called `name`."""
    return cast(Backend, importlib.import_module(BACKENDS[name]))


def _automatic(device: torch.device) -> str:
    if device.type != "cuda":
        return "torch"
    if _has_triton():
        return "triton"
    _warn_without_triton()
    return "torch"


@functools.cache
def _has_triton() -> bool:
    return importlib.util.find_spec("triton") is not None


@functools.cache
def _warn_without_triton() -> None:
    warnings.warn(
        "Triton is not installed, so deformable attention runs through PyTorch, several times slower;"
        " `pip install triton` brings the kernels",
        RuntimeWarning,
        stacklevel=2,
    )


def _require_triton(device: torch.device, origin: str) -> None:
    if not _has_triton():
        raise InputError(f"{origin} asks for the Triton backend, but Triton is missing: `pip install triton`")
    if device.type != "cuda" and os.environ.get("TRITON_INTERPRET") != "1":
        raise InputError(
            f"{origin} asks for the Triton backend, which does not run on {device.type!r}:"
            " use CUDA tensors, or set TRITON_INTERPRET=1 before starting Python to interpret the kernels"
        )
