"""What PyTorch says of memory: that it does not suffice, and how much was in use."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch


def is_out_of_memory(error: RuntimeError) -> bool:
    """Whether PyTorch could not allocate memory: on a GPU by an error of its own, on a CPU by its message."""
    import torch

    return isinstance(error, torch.OutOfMemoryError) or "can't allocate memory" in str(error)


def peak_bytes(device: torch.device) -> int:
    """Return the most bytes in use: on a GPU since its statistics were reset, on a CPU of this process so far."""
    if device.type == "cuda":
        import torch

        return torch.cuda.max_memory_allocated(device)
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
