"""The one layer around the operator whose precision decides where it samples."""

from __future__ import annotations

import torch
from torch import Tensor, nn


def without_autocast(linear: nn.Linear, x: Tensor) -> Tensor:
    """Apply `linear` in the dtype of its weights: offsets of 4 to 8 pixels in bfloat16 have steps of 1/32 pixel."""
    device = x.device.type
    if device in ("cpu", "cuda") and torch.is_autocast_enabled(device):
        with torch.autocast(device, enabled=False):
            return linear(x.to(linear.weight.dtype))  # type: ignore[no-any-return]
    return linear(x)  # type: ignore[no-any-return]
