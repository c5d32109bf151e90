"""Loaded samples on disk, so that the next run does not render or decode them again."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

import torch
from safetensors.torch import load, save

from piip_explore import cache
from piip_explore.proxy.data.source import Samples


def holds(key: str) -> bool:
    """Tell whether the cache has samples under `key`; they may be damaged."""
    return _path(key).exists()


def _path(key: str) -> Path:
    return cache.folder() / "samples" / f"{hashlib.sha256(key.encode()).hexdigest()[:16]}.samples"


def cached(key: str, device: torch.device, make: Callable[[], Samples]) -> Samples:
    """Return the samples that `key` names, on `device`: from the cache, or made and put there.

    Workers that make the same samples at once write the same file.
    """
    path = _path(key)
    content = cache.read(path, key)
    if content is not None:
        return Samples(**load(content)).to(device)
    samples = make()
    columns = {name: column.cpu().contiguous() for name, column in vars(samples).items()}
    cache.write(path, key, save(columns))
    return samples.to(device)
