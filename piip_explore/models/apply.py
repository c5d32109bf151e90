"""A part of a network, run by any function."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import Tensor, nn


class Apply(nn.Module):
    """Runs the function `forward` in place of the forward pass of `module`."""

    def __init__(self, forward: Callable[..., Any], module: nn.Module) -> None:
        super().__init__()
        self.function, self.module = forward, module

    def forward(self, *inputs: Tensor) -> Any:
        """Return what the function makes of the inputs."""
        return self.function(*inputs)
