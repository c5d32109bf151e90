"""Telling memory that does not suffice from other errors."""

from __future__ import annotations


def is_out_of_memory(error: RuntimeError) -> bool:
    """Whether PyTorch could not allocate memory: on a GPU by an error of its own, on a CPU by its message."""
    import torch

    return isinstance(error, torch.OutOfMemoryError) or "can't allocate memory" in str(error)
