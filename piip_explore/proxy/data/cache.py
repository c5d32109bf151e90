"""Loaded samples on disk, so that the next run does not render or decode them again."""

from __future__ import annotations

import hashlib
from collections.abc import Callable

import torch
from safetensors.torch import load_file, save_file

from piip_explore.files import write_whole
from piip_explore.proxy.data.source import Samples, cache_dir


def cached(key: str, device: torch.device, make: Callable[[], Samples]) -> Samples:
    """Return the samples that `key` names, on `device`: from the cache, or made and put there.

    A file appears whole or not at all; workers that make the same samples at once write the same file.
    """
    path = cache_dir() / "samples" / f"{hashlib.sha256(key.encode()).hexdigest()[:16]}.safetensors"
    if path.exists():
        return Samples(**load_file(path, device=str(device)))
    samples = make()
    columns = {name: column.cpu().contiguous() for name, column in vars(samples).items()}
    write_whole(path, lambda partial: save_file(columns, partial))
    return samples.to(device)
