"""The names of devices: `auto`, `cpu`, `cuda` and `cuda:N`; `gpu` and a number alone mean `cuda` too."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from piip_explore.errors import InputError

if TYPE_CHECKING:
    import torch


def resolve(name: str = "auto") -> torch.device:
    """Return the device that a name means; `auto` is a GPU where there is one.

    Raises:
        InputError: an unknown name, or no such device on this machine.
    """
    name = canonical(name)
    import torch

    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    kind, _, number = name.partition(":")
    if kind == "cuda" and int(number or 0) >= torch.cuda.device_count():
        raise InputError(f"device '{name}' is not available: this machine has {torch.cuda.device_count()} CUDA devices")
    return torch.device(kind, int(number)) if number else torch.device(kind)


def canonical(name: str) -> str:
    """Return the one spelling of a device's name; no PyTorch is needed to tell.

    Raises:
        InputError: no device has such a name.
    """
    if name.isascii() and name.isdecimal():
        return f"cuda:{int(name)}"
    found = re.sub(r"^gpu", "cuda", name)
    if re.fullmatch(r"auto|cpu|cuda(:\d+)?", found, re.ASCII) is None:
        raise InputError(f"unknown device '{name}': expected auto, cpu, cuda or cuda:N")
    return found
