"""Energy of a GPU's work, by NVML's counter of all that the GPU has used since its driver was loaded."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Any

import torch

LEAST_SECONDS = 1.0
"""The shortest time to measure over: the counter is updated only every few tens of milliseconds."""


def meter(device: torch.device) -> Callable[[], float] | None:
    """Return a function that reads the joules a GPU has used, None where they are not counted.

    The counter is the whole GPU's, idle parts and other programs on it included. Needs the extra `energy` and a GPU
    since Volta.
    """
    if device.type != "cuda":
        return None
    try:
        nvml: Any = import_module("pynvml")
    except ImportError:
        return None
    try:
        nvml.nvmlInit()
        handle = nvml.nvmlDeviceGetHandleByUUID(f"GPU-{torch.cuda.get_device_properties(device).uuid}")
        nvml.nvmlDeviceGetTotalEnergyConsumption(handle)
    except nvml.NVMLError:
        return None

    def joules() -> float:
        millijoules: int = nvml.nvmlDeviceGetTotalEnergyConsumption(handle)
        return millijoules / 1e3

    return joules
