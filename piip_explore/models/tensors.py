"""Which tensors can be weights."""

from __future__ import annotations

import torch
from torch import Tensor

_FLOATS = (torch.float16, torch.bfloat16, torch.float32, torch.float64)
"""What weights may be stored as: narrower numbers mean nothing without the scales that they were divided by."""


def odd(tensor: object) -> str | None:
    """Return why a tensor cannot be weights, as the end of a sentence; None if it can."""
    if not isinstance(tensor, Tensor):
        return f"is not a tensor but a {type(tensor).__name__}"
    if tensor.is_meta:
        return "has no values (it is on the meta device)"
    if tensor.layout != torch.strided or tensor.is_nested:
        return "is sparse or nested: make it dense first"
    if tensor.is_quantized or tensor.dtype not in _FLOATS:
        return (
            f"is stored as {_name(tensor.dtype)}: expected weights in floating point, quantised ones times their scales"
        )
    return None if tensor.numel() else "is empty"


def not_finite(tensor: Tensor, dtype: torch.dtype) -> str | None:
    """Return, as the end of a sentence, that a tensor has numbers that are not finite in `dtype`; None if all are."""
    return None if tensor.to(dtype).isfinite().all() else f"holds numbers that are not finite as {_name(dtype)}"


def _name(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")
